//! Error numbers with their names: "EPERM" can be searched for, "Operation not permitted" cannot.

use std::{fmt, io};

use crate::names::nth;

/// An error number of the kernel. Displayed as its name with the C library's sentence, e.g.
/// `EPERM (Operation not permitted)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// Returns the errno of an I/O error; 0 if the error does not come from the operating system.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(0))
    }

    /// Creates an errno from a number such as `libc::EPERM`.
    #[must_use]
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// Returns the number, e.g. `libc::EPERM`.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Returns the name; `None` for a number that bpf(2), perf_event_open(2), mmap(2) and the other calls of these
    /// crates do not return.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        if self.0 == ENOTSUPP {
            return Some("ENOTSUPP");
        }
        let index = NUMBERS.iter().position(|&number| number == self.0)?;
        nth(NAMES, index)
    }

    /// Returns what to do about the error, if that is the same for every system call: no fd is left (EMFILE, ENFILE).
    #[must_use]
    pub const fn hint(self) -> Option<&'static str> {
        match self.0 {
            libc::EMFILE => Some("the process has no file descriptor left: raise `ulimit -n`"),
            libc::ENFILE => Some("the system has no file descriptor left: raise fs.file-max"),
            _ => None,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ENOTSUPP {
            return f.write_str("ENOTSUPP (Operation is not supported)");
        }
        let text = io::Error::from_raw_os_error(self.0).to_string();
        // std appends "(os error N)"; the errno's name replaces it.
        let sentence = text.strip_suffix(&format!(" (os error {})", self.0)).unwrap_or(&text);
        match self.name() {
            Some(name) => write!(f, "{name} ({sentence})"),
            None => write!(f, "errno {} ({sentence})", self.0),
        }
    }
}

/// Returns whether no file descriptor is left, for this process (EMFILE) or for the machine (ENFILE). Callers pass such
/// an error on unchanged, whatever file they tried to open: the errno selects the hint ([`Errno::hint`]).
#[must_use]
pub fn is_out_of_fds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The kernel's internal "not supported", which it was not meant to return to user space, and does. libc does not
/// define it.
pub const ENOTSUPP: i32 = 524;

macro_rules! names {
    ($($name:ident)*) => {
        const NUMBERS: [i32; 40] = [$(libc::$name),*];
        const NAMES: &str = concat!($(stringify!($name), " "),*);
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO E2BIG ENOEXEC EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR
    EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC EROFS ERANGE ENAMETOOLONG ENOSYS ELOOP EILSEQ EOPNOTSUPP EPROTO
    EOVERFLOW ETIMEDOUT ENOLINK EBADMSG EPIPE ESTALE ENXIO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_shown_by_name_and_sentence() {
        assert_eq!(Errno(libc::EPERM).to_string(), "EPERM (Operation not permitted)");
        assert_eq!(Errno(524).to_string(), "ENOTSUPP (Operation is not supported)");
        assert_eq!((Errno(libc::EBADMSG).name(), Errno(4000).name()), (Some("EBADMSG"), None));
        assert!(Errno(4000).to_string().starts_with("errno 4000 ("));
    }
}
