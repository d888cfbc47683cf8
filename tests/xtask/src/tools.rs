//! Runs other programs, and says how they ended; the repository's root.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// How a routine ended that did not fail.
pub enum Outcome {
    /// It did what it is for.
    Done,
    /// It could not be tried on this machine, and is not essential.
    Skipped(String),
}

/// A routine's result; the error is one line.
pub type Result = std::result::Result<Outcome, String>;

/// Returns the repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `cargo` with these arguments and environment, in the workspace.
///
/// # Errors
///
/// As [`run`].
pub fn cargo<S: AsRef<OsStr>>(arguments: &[S], environment: &[(&str, &str)]) -> Result {
    run(Command::new(env!("CARGO")).args(arguments).envs(environment.iter().copied()))
}

/// Runs a command to its end; says which one it was if it failed.
///
/// # Errors
///
/// If it cannot be started, or does not end well.
pub fn run(command: &mut Command) -> Result {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = words.join(OsStr::new(" "));
    eprintln!("$ {}", line.display());
    match command.status() {
        Ok(status) if status.success() => Ok(Outcome::Done),
        Ok(status) => Err(format!("`{}` failed: {status}", line.display())),
        Err(error) => Err(format!("`{}` cannot be run: {error}", line.display())),
    }
}

/// Whether a command can be run and ends well, without its output.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
