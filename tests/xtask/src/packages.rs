//! The packages that are published: their names, the checks of `cargo publish`, and the Rust version that they promise.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use crate::tools::{self, Outcome, Result};

/// A published library.
#[derive(Debug)]
pub struct Library {
    /// The package's name.
    pub package: &'static str,
    /// Its directory, from the repository's root.
    pub directory: &'static str,
}

/// The libraries, each after those that it depends on.
pub const LIBRARIES: [Library; 6] = [
    Library { package: "cutaway-sys", directory: "sys" },
    Library { package: "mmap-ring", directory: "mmap-ring" },
    Library { package: "perf-reader", directory: "perf-reader" },
    Library { package: "cutaway-programs", directory: "programs" },
    Library { package: "cutaway-recording", directory: "recording" },
    Library { package: "cutaway", directory: "loader" },
];

/// The oldest Rust version that builds the published packages: `rust-version` in `Cargo.toml`.
const RUST: &str = "1.88";

/// Messages of cargo if it cannot reach the registry.
const OFFLINE: [&str; 5] = [
    "download of config.json failed",
    "failed to download from",
    "failed to query replaced source",
    "Could not resolve host",
    "attempting to make an HTTP request, but --offline was specified",
];

/// Packages everything that would be published, as `cargo publish` does, without uploading.
///
/// The packages are not built: the workspace has built the same files.
///
/// # Errors
///
/// If cargo refuses a package or warns.
pub fn publish() -> Result {
    let output = cargo(&["publish", "--workspace", "--dry-run", "--no-verify", "--allow-dirty"], &[])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let (false, Some(why)) = (output.status.success(), offline(&stderr)) {
        return Ok(Outcome::Skipped(format!("cargo cannot reach the registry: {why}")));
    }
    let warnings = warnings(&stderr);
    match (output.status.success(), warnings.is_empty()) {
        (true, true) => Ok(Outcome::Done),
        (true, false) => Err(format!("cargo publish --dry-run warns:\n{}", warnings.join("\n"))),
        (false, _) => Err(format!("cargo publish --dry-run: {}\n{stderr}", output.status)),
    }
}

fn offline(stderr: &str) -> Option<&str> {
    stderr.lines().find(|line| OFFLINE.iter().any(|message| line.contains(message))).map(str::trim)
}

/// Returns cargo's warnings, except that a dry run uploads nothing.
fn warnings(stderr: &str) -> Vec<&str> {
    stderr
        .lines()
        .filter(|line| line.starts_with("warning: ") && !line.ends_with("aborting upload due to dry run"))
        .collect()
}

/// Checks the published packages by the oldest Rust version that they promise.
///
/// # Errors
///
/// If a package does not build.
pub fn oldest_rust() -> Result {
    let toolchain = format!("+{RUST}");
    let installed = || tools::works("cargo", &[&toolchain, "--version"]);
    if !installed() {
        tools::works("rustup", &["toolchain", "install", RUST, "--profile", "minimal"]);
        if !installed() {
            return Ok(Outcome::Skipped(format!("no toolchain {RUST} is here, and rustup cannot install it")));
        }
    }
    // By name, because this program runs under another toolchain.
    let mut command = Command::new("cargo");
    command.args([&toolchain, "check", "--quiet", "--all-features", "--package", "cutaway-cli"]);
    for library in &LIBRARIES {
        command.args(["--package", library.package]);
    }
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    // A directory of its own, so that the toolchains do not replace each other's files.
    tools::run(command.env("CARGO_TARGET_DIR", target().join("rust-1.88")))
}

/// Targets for which the libraries have to build. The second is big-endian.
const TARGETS: [&str; 3] = ["aarch64-unknown-linux-gnu", "s390x-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu"];

/// Targets that the libraries refuse, and a part of the reason.
const REFUSED: [(&str, &str); 4] = [
    ("i686-unknown-linux-gnu", "64-bit targets only"),
    ("armv7-unknown-linux-gnueabihf", "64-bit targets only"),
    ("x86_64-unknown-linux-gnux32", "64-bit targets only"),
    ("x86_64-apple-darwin", "Linux only"),
];

/// Checks the libraries for other targets: they build, or one error gives the reason.
///
/// A target whose standard library is not installed and cannot be is skipped.
///
/// # Errors
///
/// If a library does not build for a target, or has other errors than the reason for a refused one.
pub fn targets() -> Result {
    let mut missing = Vec::new();
    for target in TARGETS {
        if !has_std(target) {
            missing.push(target);
            continue;
        }
        let packages = LIBRARIES.iter().flat_map(|library| ["--package", library.package]);
        let check = ["check", "--quiet", "--lib", "--target", target].into_iter().chain(packages);
        tools::cargo(&check.collect::<Vec<_>>(), &[])?;
    }
    for (target, reason) in REFUSED {
        if !has_std(target) {
            missing.push(target);
            continue;
        }
        for package in LIBRARIES.iter().map(|library| library.package).chain(["cutaway-cli"]) {
            refused(package, &[], target, reason)?;
        }
        refused("cutaway", &["--no-default-features"], target, reason)?;
    }
    if missing.len() == TARGETS.len() + REFUSED.len() {
        return Ok(Outcome::Skipped(format!("the standard library is missing for {}", missing.join(", "))));
    }
    if !missing.is_empty() {
        eprintln!("skipped, because their standard library is missing: {}", missing.join(", "));
    }
    Ok(Outcome::Done)
}

/// Checks that the only error of a build is the reason.
fn refused(package: &str, features: &[&str], target: &str, reason: &str) -> std::result::Result<(), String> {
    let check = ["check", "--quiet", "--package", package, "--target", target];
    let output = cargo(&[&check[..], features].concat(), &[])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors = errors(&stderr);
    match errors[..] {
        [error] if !output.status.success() && error.contains(reason) => Ok(()),
        _ => Err(format!("{package} for {target}: expected one error that contains \"{reason}\", got {errors:#?}")),
    }
}

/// Returns the compiler's errors, without the sum at the end.
fn errors(stderr: &str) -> Vec<&str> {
    let sums = ["error: could not compile", "error: aborting due to"];
    let is_error = |line: &&str| line.starts_with("error") && !sums.iter().any(|sum| line.starts_with(sum));
    stderr.lines().filter(is_error).collect()
}

/// Returns whether a target's standard library is installed, or could be installed.
fn has_std(target: &str) -> bool {
    let installed = || {
        let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
        sysroot.is_ok_and(|output| {
            let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
            output.status.success() && path.is_dir()
        })
    };
    installed() || (tools::works("rustup", &["target", "add", target]) && installed())
}

/// Runs cargo and returns its output. Prints the command.
fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> std::result::Result<Output, String> {
    eprintln!("$ cargo {}", arguments.join(" "));
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).envs(environment.iter().copied()).current_dir(tools::root());
    command.output().map_err(|error| format!("cannot run cargo: {error}"))
}

/// Returns cargo's directory of built files.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tools::root().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_a_dry_run_are_those_about_packages() {
        let stderr = "   Packaging mmap-ring v0.1.0\nwarning: manifest has no documentation\n  |\n\
                      warning: ignoring test `live`\n   Uploading mmap-ring\n\
                      warning: aborting upload due to dry run\n";
        assert_eq!(warnings(stderr), ["warning: manifest has no documentation", "warning: ignoring test `live`"]);
    }

    #[test]
    fn missing_registry_is_not_a_faulty_package() {
        assert!(offline("error: x\nCaused by:\n  download of config.json failed\n").is_some());
        assert_eq!(offline("error: all dependencies must have a version specified when publishing.\n"), None);
    }

    #[test]
    fn sums_are_not_errors() {
        let stderr = "error: 64-bit targets only\n --> sys/src/lib.rs\nerror[E0308]: mismatched types\n\
                      error: could not compile `cutaway-sys` (lib) due to 2 previous errors\n";
        assert_eq!(errors(stderr), ["error: 64-bit targets only", "error[E0308]: mismatched types"]);
    }
}
