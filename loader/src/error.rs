//! What can go wrong, each with what was attempted, on what, why it failed and what to do about it.

use std::{fmt, io};

use crate::{
    privileges::{self, Capability},
    sys::Errno,
};

/// Why an object could not be read, loaded or attached. Its display is one line, fit to be shown to whoever ran the
/// program; nothing it says is repeated by a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object file is broken, or asks for something that this loader cannot do.
    #[error("cannot read the object: {why}")]
    Object {
        /// What is wrong with it.
        why: String,
    },

    /// A map or program was asked for by a name that the object does not have.
    #[error("the object has no {what} `{name}`; it has {available}")]
    NoSuchName {
        /// `map` or `program`.
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        available: String,
    },

    /// A system call failed.
    #[error("cannot {attempt}: {errno}{}", Advice(advice))]
    Kernel {
        /// What was attempted, on what, e.g. ``create the map `events` (RINGBUF, 4096 bytes)``.
        attempt: String,
        /// The kernel's answer.
        errno: Errno,
        /// What to do about it, where that is known.
        advice: Option<String>,
    },

    /// The verifier refused a program.
    #[error("the verifier refuses the program `{program}`: {sentence}{}", Place(at))]
    Verifier {
        /// The program's name.
        program: String,
        /// The line of the log that says why.
        sentence: String,
        /// Where it got to: the instruction, counted from the program's start, and if the object was compiled with it the line
        /// of source, with its file since Linux 6.10; `None` if what is wrong is no single instruction's.
        at: Option<String>,
        /// The whole log; never printed by itself, since it can have a hundred thousand lines.
        log: String,
    },

    /// A library or executable to attach to could not be found or read.
    #[error("cannot find the library `{library}`: {why}")]
    Library {
        /// As it was asked for.
        library: String,
        /// Where it was looked for, or why it cannot be read.
        why: String,
    },

    /// A library has no function of that name to attach to.
    #[error("cannot attach to `{symbol}` in {library}: {why}")]
    Symbol {
        /// The function, as it was asked for.
        symbol: String,
        /// The file that was searched.
        library: String,
        /// What stands in the way.
        why: String,
    },

    /// A ring buffer cannot be opened or read.
    #[cfg(feature = "ring")]
    #[error(transparent)]
    Ring(#[from] mmap_ring::Error),

    /// A perf buffer cannot be opened or read.
    #[cfg(feature = "perf")]
    #[error(transparent)]
    Perf(#[from] perf_reader::Error),

    /// Something that is asked for cannot be done with this map or program.
    #[error("cannot {attempt}: {why}")]
    Unfit {
        /// What was attempted, on what.
        attempt: String,
        /// Why it makes no sense.
        why: String,
    },
}

impl Error {
    /// A failed system call, with the advice that its errno calls for.
    pub(crate) fn kernel(attempt: impl Into<String>, error: &io::Error) -> Self {
        let errno = Errno::of(error);
        let advice = match errno.raw() {
            0 => return Self::Unfit { attempt: attempt.into(), why: error.to_string() },
            libc::EPERM | libc::EACCES => privileges::advice(privileges::USUAL),
            libc::EMFILE => Some("the process has too many open files: raise `ulimit -n`".to_owned()),
            libc::ENOSYS => Some("this kernel, or the container's seccomp filter, has no such system call".to_owned()),
            libc::ENOMEM => Some("the kernel has no memory for it: make it smaller".to_owned()),
            _ => None,
        };
        Self::Kernel { attempt: attempt.into(), errno, advice }
    }

    /// The kernel's answer, if this error comes from a system call.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// The verifier's whole log, if this error comes from it.
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } => Some(log),
            _ => None,
        }
    }

    /// Something that this build of the crate cannot do, since it was built without `feature`.
    pub(crate) fn left_out(attempt: String, feature: &str) -> Self {
        let why = format!("this program was built without the feature `{feature}` of the crate cutaway: enable it");
        Self::Unfit { attempt, why }
    }

    /// If it is a refusal for want of privileges: says which of these are missing, or what else stands in the way.
    pub(crate) fn wanting(mut self, wanted: &[Capability]) -> Self {
        if let Self::Kernel { errno, advice, .. } = &mut self
            && matches!(errno.raw(), libc::EPERM | libc::EACCES)
        {
            *advice = privileges::advice(wanted);
        }
        self
    }

    /// Replaces the advice.
    pub(crate) fn advise(mut self, new: &str) -> Self {
        if let Self::Kernel { advice, .. } = &mut self {
            *advice = Some(new.to_owned());
        }
        self
    }
}

struct Place<'a>(&'a Option<String>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " ({at})"),
            None => Ok(()),
        }
    }
}

struct Advice<'a>(&'a Option<String>);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
