//! Error numbers by name, because "EPERM" can be searched for and "Operation not permitted" cannot.

use std::{fmt, io};

use super::names::nth;

/// An error number of the kernel; displayed as its name with the C library's sentence, e.g.
/// `EPERM (Operation not permitted)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// The errno behind an I/O error; 0 if it does not come from the operating system.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(0))
    }

    /// The number, as in `libc::EPERM`.
    #[must_use]
    pub fn raw(self) -> i32 {
        self.0
    }

    /// The name, for the errors that bpf(2), perf_event_open(2), mmap(2) and their neighbours give.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let place = NUMBERS.iter().position(|&number| number == self.0)?;
        nth(NAMES, place)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ENOTSUPP {
            return f.write_str("ENOTSUPP (Operation is not supported)");
        }
        let text = io::Error::from_raw_os_error(self.0).to_string();
        // std appends "(os error N)"; the name says the same, better.
        let sentence = text.split(" (os error").next().unwrap_or(&text);
        match self.name() {
            Some(name) => write!(f, "{name} ({sentence})"),
            None => write!(f, "errno {} ({sentence})", self.0),
        }
    }
}

/// Returns whether no file descriptor is left, for this process (EMFILE) or for the machine (ENFILE). Such an error is passed
/// on as it is, whatever could not be opened: its number says what to do.
pub(crate) fn is_out_of_fds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The kernel's own "not supported", which was never meant to reach user space and does; libc does not know it.
const ENOTSUPP: i32 = 524;

macro_rules! names {
    ($($name:ident)*) => {
        const NUMBERS: [i32; 37] = [$(libc::$name),*];
        const NAMES: &str = concat!($(stringify!($name), " "),*);
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO E2BIG ENOEXEC EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR
    EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC EROFS ERANGE ENAMETOOLONG ENOSYS ELOOP EILSEQ EOPNOTSUPP EPROTO
    EOVERFLOW ETIMEDOUT ENOLINK EBADMSG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_is_shown_by_name_and_sentence() {
        assert_eq!(Errno(libc::EPERM).to_string(), "EPERM (Operation not permitted)");
        assert_eq!(Errno(524).to_string(), "ENOTSUPP (Operation is not supported)");
        assert_eq!((Errno(libc::EBADMSG).name(), Errno(4000).name()), (Some("EBADMSG"), None));
        assert!(Errno(4000).to_string().starts_with("errno 4000 ("));
    }
}
