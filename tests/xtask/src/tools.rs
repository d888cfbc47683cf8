//! Runs other programs and reports how they ended. Finds the repository's root.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// The end of a routine that did not fail.
pub enum Outcome {
    /// The routine did its work.
    Done,
    /// The routine cannot run on this machine, for this reason, and is not essential.
    Skipped(String),
}

/// The result of a routine; the error is one line.
pub type Result = std::result::Result<Outcome, String>;

/// Returns the repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `cargo` with these arguments and environment, in the workspace.
///
/// # Errors
///
/// The errors of [`run`].
pub fn cargo<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Result {
    run(Command::new(env!("CARGO")).args(arguments).envs(environment.iter().copied()))
}

/// Builds `cutaway`, `cutaway-vm` and `xtask`, which Cargo then has in one directory.
///
/// Cargo builds a package's programs for its integration tests. By `--workspace` and `--test` it selects the same
/// features as `cargo test --workspace`; `cargo build --package` selects others, and builds 30 crates again.
///
/// # Errors
///
/// The errors of [`run`].
pub fn programs() -> Result {
    cargo(&["build", "--quiet", "--workspace", "--test", "shell", "--test", "boot", "--test", "documents"], &[])
}

/// Runs a command to its end. The error names the command.
///
/// # Errors
///
/// If the command cannot be started or fails.
pub fn run(command: &mut Command) -> Result {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.join(OsStr::new(" "));
    eprintln!("$ {}", line.display());
    match command.status() {
        Ok(status) if status.success() => Ok(Outcome::Done),
        Ok(status) => Err(format!("`{}` failed: {status}", line.display())),
        Err(error) => Err(format!("cannot run `{}`: {error}", line.display())),
    }
}

/// Returns whether a command can be run and succeeds. Discards its output.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
