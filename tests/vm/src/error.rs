//! What can go wrong before, around and after a guest. What goes wrong *inside* one is no error but an outcome.

use std::io;
use std::path::PathBuf;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder refused.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// The verb: `read`, `write`, `make`.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that is needed is not on this machine.
    #[error("{program} is not on this machine: {advice}")]
    NotInstalled {
        /// Its name.
        program: String,
        /// What to install.
        advice: &'static str,
    },
    /// A program that is needed ran and refused.
    #[error("{program} failed ({status}): {said}")]
    Refused {
        /// Its name.
        program: String,
        /// Its exit status.
        status: String,
        /// The last lines it printed.
        said: String,
    },
    /// No such kernel can be had here.
    #[error("no kernel {wanted}: {why}")]
    NoKernel {
        /// The version as asked for.
        wanted: String,
        /// Why, and what to do.
        why: String,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// `--exclude PACKAGE::TEST` that leaves nothing out.
    #[error("no test binary {test} was built: nothing is left out by that name")]
    NoSuchTest {
        /// The name as given.
        test: String,
    },
    /// The guest would not hold what it is to run.
    #[error(
        "the guest's files need {needed_mib} MiB of memory and it has {memory_mib}: give --memory {needed_mib} or more"
    )]
    Memory {
        /// The least that works, MiB.
        needed_mib: u64,
        /// What was asked for, MiB.
        memory_mib: u64,
    },
    /// `--accel kvm` on a machine whose KVM does not work.
    #[error("KVM was asked for and does not work here: {why}")]
    NoKvm {
        /// What the canary guest met.
        why: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn file(attempt: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { attempt, path, source }
    }
}

/// This crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Formats an error with its sources, in one line.
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
