//! The crate's error: what was attempted, on what, why it failed and what to do about it.

use std::{fmt, io};

use crate::{
    Errno,
    privileges::{self, Capability},
};

/// The reason why an object could not be read, loaded or attached. The display is one line for the user of the program;
/// `source` repeats no part of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The object file is broken, or needs a feature that this loader lacks.
    Object {
        /// The defect.
        why: String,
    },

    /// The object has no map, program, variable or function of that name.
    NoSuchName {
        /// `map`, `program`, `variable` or `function`.
        what: &'static str,
        /// The requested name.
        name: String,
        /// The existing names.
        available: String,
    },

    /// A system call failed.
    Syscall {
        /// The attempted operation and its object, e.g. ``create the map `events` (RINGBUF, 4096 bytes)``.
        operation: String,
        /// The errno that the kernel returned.
        errno: Errno,
        /// The advice, if a remedy is known.
        hint: Option<String>,
    },

    /// The verifier refused a program.
    Verifier {
        /// The program's name.
        program: String,
        /// The line of the log with the reason.
        sentence: String,
        /// The location: the instruction, counted from the program's start, and the source line if the object has line
        /// information, with its file since Linux 6.10. `None` if the reason does not concern a single instruction.
        at: Option<String>,
        /// The kernel's answer to the first load.
        errno: Errno,
        /// The whole log. It is not part of the display, because it can have a hundred thousand lines. If it does not
        /// fit into 16 MiB, its beginning is missing (before Linux 6.4 its end, and the log says so). For a program
        /// that is too large to verify, the log contains only the reason and the statistics.
        log: String,
    },

    /// A library or executable to attach to could not be found or read.
    Library {
        /// The requested library.
        library: String,
        /// The searched locations, or why it cannot be read.
        why: String,
    },

    /// A library has no function of that name to attach to.
    Symbol {
        /// The requested function.
        symbol: String,
        /// The file that was searched.
        library: String,
        /// Why it cannot be attached to.
        why: String,
    },

    /// A ring buffer cannot be opened or read.
    #[cfg(feature = "ring")]
    Ring(mmap_ring::Error),

    /// A perf buffer cannot be opened or read.
    #[cfg(feature = "perf")]
    Perf(perf_reader::Error),

    /// A bug: this crate has violated one of its own invariants. Nothing half-built reaches the kernel.
    Bug {
        /// The violated invariant.
        what: &'static str,
        /// The location in this crate's source, as `FILE:LINE:COLUMN`; without the feature `advice` the crate's
        /// version.
        at: String,
    },

    /// The requested operation is impossible for this map or program.
    Invalid {
        /// The attempted operation and its object.
        operation: String,
        /// Why it is impossible.
        why: String,
    },
}

impl Error {
    /// Returns the error of a failed system call, with the advice for its errno.
    pub(crate) fn kernel(operation: impl Into<String>, error: &io::Error) -> Self {
        let errno = Errno::of(error);
        let hint = match errno.raw() {
            0 => return Self::Invalid { operation: operation.into(), why: error.to_string() },
            libc::EPERM | libc::EACCES => privileges::advice(privileges::USUAL),
            libc::ENOSYS => Some("this kernel, or the container's seccomp filter, has no such system call".to_owned()),
            libc::ENOMEM => Some("the kernel has no memory for it: make it smaller".to_owned()),
            _ => errno.hint().map(str::to_owned),
        };
        Self::Syscall { operation: operation.into(), errno, hint }
    }

    /// Returns the errno, if this error comes from a system call: a failed one of this crate or of a reader
    /// ([`Error::Ring`], [`Error::Perf`]), or the load that the verifier refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Syscall { errno, .. } | Self::Verifier { errno, .. } => Some(*errno),
            #[cfg(feature = "ring")]
            Self::Ring(error) => error.errno(),
            #[cfg(feature = "perf")]
            Self::Perf(error) => error.errno(),
            _ => None,
        }
    }

    /// Returns the verifier's whole log, if this error comes from the verifier.
    #[doc(alias("bpf_program__log_buf", "VerifierError", "log_buf"))]
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Verifier { log, .. } => Some(log),
            _ => None,
        }
    }

    /// Returns the error for an operation that this build lacks, because it was built without `feature`.
    pub(crate) fn left_out(operation: String, feature: &str) -> Self {
        let why = format!("this program was built without the feature `{feature}` of the crate cutaway: enable it");
        Self::Invalid { operation, why }
    }

    /// Replaces the advice if the operation was not permitted: by those of these capabilities that are missing, or by
    /// what else forbids the operation.
    pub(crate) fn wanting(mut self, wanted: &[Capability]) -> Self {
        if let Self::Syscall { errno, hint, .. } = &mut self
            && matches!(errno.raw(), libc::EPERM | libc::EACCES)
        {
            *hint = privileges::advice(wanted);
        }
        self
    }

    /// Returns the error for a violated invariant of this crate. (A build without `advice` stores no source locations,
    /// which take a kilobyte.)
    #[cfg_attr(feature = "advice", track_caller)]
    #[cold]
    #[inline(never)]
    pub(crate) fn bug(what: &'static str) -> Self {
        let advice = cfg!(feature = "advice");
        let at = if advice { std::panic::Location::caller().to_string() } else { env!("CARGO_PKG_VERSION").to_owned() };
        Self::Bug { what, at }
    }

    /// Replaces the advice.
    pub(crate) fn advise(mut self, new: &str) -> Self {
        if let Self::Syscall { hint, .. } = &mut self {
            *hint = Some(new.to_owned());
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { why } => write!(f, "cannot read the object: {why}"),
            Self::NoSuchName { what, name, available } => {
                write!(f, "the object has no {what} `{name}`; it has {available}")
            }
            Self::Syscall { operation, errno, hint: None } => write!(f, "cannot {operation}: {errno}"),
            Self::Syscall { operation, errno, hint: Some(hint) } => {
                write!(f, "cannot {operation}: {errno}; {hint}")
            }
            Self::Verifier { program, sentence, at, .. } => {
                write!(f, "the verifier refuses the program `{program}`: {sentence}")?;
                at.as_ref().map_or(Ok(()), |at| write!(f, " ({at})"))
            }
            Self::Library { library, why } => {
                write!(f, "cannot find the library `{library}`: {why}")?;
                advise_on_fds(f, why)
            }
            Self::Symbol { symbol, library, why } => {
                write!(f, "cannot attach to `{symbol}` in {library}: {why}")?;
                advise_on_fds(f, why)
            }
            #[cfg(feature = "ring")]
            Self::Ring(error) => error.fmt(f),
            #[cfg(feature = "perf")]
            Self::Perf(error) => error.fmt(f),
            Self::Bug { what, at } => write!(f, "bug in the crate cutaway ({at}): {what}; please report it"),
            Self::Invalid { operation, why } => {
                write!(f, "cannot {operation}: {why}")?;
                advise_on_fds(f, why)
            }
        }
    }
}

/// Adds advice if a reason quotes an error for lack of file descriptors. A reason is text, and may quote such an error
/// inside of another one.
fn advise_on_fds(f: &mut fmt::Formatter<'_>, why: &str) -> fmt::Result {
    if !cfg!(feature = "advice") {
        return Ok(());
    }
    for errno in [libc::EMFILE, libc::ENFILE].map(Errno::new) {
        if let (Some(name), Some(hint)) = (errno.name(), errno.hint())
            && why.contains(name)
            && !why.contains(hint)
        {
            write!(f, "; {hint}")?;
        }
    }
    Ok(())
}

impl std::error::Error for Error {
    /// Returns the source of a reader's error, because that error is displayed unchanged.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(error) => error.source(),
            #[cfg(feature = "perf")]
            Self::Perf(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(feature = "ring")]
impl From<mmap_ring::Error> for Error {
    fn from(error: mmap_ring::Error) -> Self {
        Self::Ring(error)
    }
}

#[cfg(feature = "perf")]
impl From<perf_reader::Error> for Error {
    fn from(error: perf_reader::Error) -> Self {
        Self::Perf(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_are_one_line() {
        let unfit = Error::Invalid { operation: "attach `p`".into(), why: "it is no probe".into() };
        let advised = Error::kernel("create the map `m`", &io::Error::from_raw_os_error(libc::ENOMEM));
        let plain = Error::kernel("create the map `m`", &io::Error::from_raw_os_error(libc::E2BIG));
        let verifier = |at: Option<&str>| Error::Verifier {
            program: "p".into(),
            sentence: "R1 !read_ok".into(),
            at: at.map(str::to_owned),
            errno: Errno::of(&io::Error::from_raw_os_error(libc::EACCES)),
            log: "0: (79) r0 = *(u64 *)(r1 +0)\nR1 !read_ok\n".into(),
        };
        for (error, text) in [
            (Error::Object { why: "it is empty".into() }, "cannot read the object: it is empty"),
            (
                Error::NoSuchName { what: "map", name: "m".into(), available: "`n`".into() },
                "the object has no map `m`; it has `n`",
            ),
            (
                advised,
                "cannot create the map `m`: ENOMEM (Cannot allocate memory); the kernel has no memory for it: make it smaller",
            ),
            (plain, "cannot create the map `m`: E2BIG (Argument list too long)"),
            (verifier(None), "the verifier refuses the program `p`: R1 !read_ok"),
            (verifier(Some("instruction 0")), "the verifier refuses the program `p`: R1 !read_ok (instruction 0)"),
            (
                Error::Library { library: "libx.so".into(), why: "not in /lib".into() },
                "cannot find the library `libx.so`: not in /lib",
            ),
            (
                Error::Symbol { symbol: "f".into(), library: "/lib/x".into(), why: "it is data".into() },
                "cannot attach to `f` in /lib/x: it is data",
            ),
            (unfit, "cannot attach `p`: it is no probe"),
        ] {
            assert_eq!(error.to_string(), text);
            assert!(std::error::Error::source(&error).is_none(), "{text}");
            let errno = error.errno().map(Errno::raw);
            match &error {
                Error::Syscall { .. } => assert!(matches!(errno, Some(libc::ENOMEM | libc::E2BIG)), "{text}"),
                Error::Verifier { .. } => assert_eq!(errno, Some(libc::EACCES), "{text}"),
                _ => assert_eq!(errno, None, "{text}"),
            }
        }
    }

    #[test]
    #[cfg(feature = "advice")]
    fn lack_of_fds_names_the_limit_to_raise() {
        let why = || format!("it cannot be read: {}", Errno::of(&io::Error::from_raw_os_error(libc::EMFILE)));
        let quoted = Error::Symbol { symbol: "f".into(), library: "x".into(), why: why() };
        for error in [
            Error::Library { library: "libx.so".into(), why: why() },
            Error::Invalid { operation: "attach `p`".into(), why: why() },
            Error::Invalid { operation: "attach `p`".into(), why: quoted.to_string() },
            quoted,
            Error::kernel("open it", &io::Error::from_raw_os_error(libc::EMFILE)),
        ] {
            assert_eq!(error.to_string().matches("raise `ulimit -n`").count(), 1, "{error}");
        }
        let error = Error::Library { library: "l".into(), why: "ENFILE (Too many open files in system)".into() };
        assert!(error.to_string().ends_with("; the system has no file descriptor left: raise fs.file-max"), "{error}");
        let error = Error::Library { library: "l".into(), why: "ENOENT (No such file or directory)".into() };
        assert!(error.to_string().ends_with("ENOENT (No such file or directory)"), "{error}");
    }

    #[test]
    #[cfg(feature = "ring")]
    fn errno_of_a_ring_is_returned() {
        let refused = || io::Error::from_raw_os_error(libc::EMFILE);
        for error in [
            mmap_ring::Error::Syscall { call: "epoll_create1", operation: "wait", source: refused() },
            mmap_ring::Error::Map { region: mmap_ring::Region::Data, bytes: 4096, source: refused() },
        ] {
            assert_eq!(Error::from(error).errno().map(Errno::raw), Some(libc::EMFILE));
        }
        assert_eq!(Error::from(mmap_ring::Error::OverwriteMode).errno(), None);
    }

    #[test]
    #[cfg(feature = "perf")]
    fn errno_of_a_perf_buffer_is_returned() {
        for (error, errno) in [
            (
                perf_reader::Error::Denied { cpu: 0, errno: Errno::new(libc::EACCES), paranoid: None },
                Some(libc::EACCES),
            ),
            (
                perf_reader::Error::Syscall { operation: "x".into(), errno: Errno::new(libc::EMFILE) },
                Some(libc::EMFILE),
            ),
            (perf_reader::Error::InvalidSize { bytes: 3, page: 4096 }, None),
        ] {
            assert_eq!(Error::from(error).errno().map(Errno::raw), errno);
        }
    }

    #[test]
    fn bug_names_its_location() {
        let text = Error::bug("a map is gone").to_string();
        let location = if cfg!(feature = "advice") { "error.rs:" } else { env!("CARGO_PKG_VERSION") };
        assert!(text.starts_with("bug in the crate cutaway (") && text.contains(location), "{text}");
        assert!(text.ends_with("): a map is gone; please report it"), "{text}");
    }

    #[test]
    #[cfg(feature = "ring")]
    fn reader_errors_are_displayed_unchanged() {
        let text = mmap_ring::Error::OverwriteMode.to_string();
        let error = Error::from(mmap_ring::Error::OverwriteMode);
        assert_eq!(error.to_string(), text);
        assert!(std::error::Error::source(&error).is_none());
    }
}
