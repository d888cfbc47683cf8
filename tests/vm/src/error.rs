//! Errors before, around and after a guest. A failure *inside* a guest is an outcome, not an error.

use std::io;
use std::path::PathBuf;

/// The reason why a run was not possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a file or directory failed.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// The verb: `read`, `write`, `create`.
        attempt: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A required program is not installed.
    #[error("{program} is not installed: {advice}")]
    NotInstalled {
        /// The program's name.
        program: String,
        /// How to install it.
        advice: &'static str,
    },
    /// A required program failed.
    #[error("{program} failed ({status}): {said}")]
    Refused {
        /// The program's name.
        program: String,
        /// The program's exit status.
        status: String,
        /// The last lines of its output.
        said: String,
    },
    /// The kernel is not available.
    #[error("no kernel {wanted}: {why}")]
    NoKernel {
        /// The requested version.
        wanted: String,
        /// The reason, and the remedy.
        why: String,
    },
    /// The kernel has no such module.
    #[error("no kernel module {name} in {}: {advice}", path.display())]
    NoModule {
        /// The module as requested.
        name: String,
        /// The directory that was searched.
        path: PathBuf,
        /// Similar names.
        advice: String,
    },
    /// The standard library of a target is not installed.
    #[error("Rust's standard library for {target} is not installed: run rustup target add {target}")]
    NoTarget {
        /// The target.
        target: &'static str,
    },
    /// The libraries of another architecture are not available.
    #[error("no libraries for {arch}; --sysroot names a directory that has them")]
    NoSysroot {
        /// The architecture.
        arch: &'static str,
        /// The reason.
        source: Box<Error>,
    },
    /// The program for process 1 of a guest of another architecture is not available.
    #[error("process 1 of the guest cannot be built for {arch}: {why}; {variable} names an executable to use instead")]
    NoInit {
        /// The architecture.
        arch: &'static str,
        /// The reason.
        why: String,
        /// The environment variable.
        variable: &'static str,
    },
    /// The machine of an architecture lacks something.
    #[error("{arch}: {why}")]
    Machine {
        /// The architecture.
        arch: &'static str,
        /// The reason, and the remedy.
        why: &'static str,
    },
    /// A file is not usable.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The reason, and the remedy.
        why: String,
    },
    /// `--exclude PACKAGE::TEST` names no test binary.
    #[error("--exclude {test}: no test binary of this name was built")]
    NoSuchTest {
        /// The name as given.
        test: String,
    },
    /// `--shard` with a program that has no tests to divide.
    #[error("--shard divides the tests of a test harness, but {} runs once: omit --shard", path.display())]
    NoTests {
        /// The program.
        path: PathBuf,
    },
    /// A shell with several kernels, or with the default ones.
    #[error("a shell is opened in one guest: name one kernel, by --kernel VERSION or --image FILE")]
    NotOneKernel,
    /// `--shell-on-failure` without a terminal.
    #[error("--shell-on-failure needs a terminal, but the standard input is not one: omit it")]
    NoTerminal,
    /// The guest's memory is too small for its files.
    #[error(
        "the guest's files need {needed_mib} MiB of memory, but it has {memory_mib}: use --memory {needed_mib} or more"
    )]
    Memory {
        /// The smallest size that works, in MiB.
        needed_mib: u64,
        /// The requested size, in MiB.
        memory_mib: u64,
    },
    /// `--accel kvm` on a machine where KVM does not work.
    #[error("--accel kvm: KVM does not work here: {why}")]
    NoKvm {
        /// The reason, from the canary guest.
        why: String,
    },
    /// A guest could not be saved.
    #[error("a guest could not be saved: {why}")]
    NotSaved {
        /// The reason.
        why: String,
    },
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn file(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { attempt, path, source }
    }
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Formats an error and its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
