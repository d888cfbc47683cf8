//! Files that the loader reads, most of them the kernel's: open(2), reported; and descriptors duplicated.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use log::kv;

/// Opens a file for reading.
pub(crate) fn open(path: &Path, why: &str) -> io::Result<File> {
    report_opened(path, File::open(path), "O_RDONLY|O_CLOEXEC", why)
}

/// Opens a file for reading that anybody may have put there, or put another one in its place at any moment: a pipe does not
/// block, and the caller looks whether it is one.
#[cfg(feature = "uprobe")]
pub(crate) fn open_without_waiting(path: &Path, why: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    report_opened(path, opened, "O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC", why)
}

fn report_opened(path: &Path, opened: io::Result<File>, flags: &str, why: &str) -> io::Result<File> {
    let answer = match &opened {
        Ok(file) => Ok(i64::from(file.as_raw_fd())),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
    };
    let path = path.to_string_lossy();
    let arguments: [(&str, kv::Value<'_>); 3] =
        [("dirfd", "AT_FDCWD".into()), ("pathname", path.as_ref().into()), ("flags", flags.into())];
    super::report("openat", &arguments.as_slice(), &answer, why);
    opened
}

/// The text of a file that says one thing.
pub(crate) fn text(path: &Path, why: &str) -> io::Result<String> {
    bounded(open(path, why)?, LARGE)
}

/// As [`text`], of a file that anybody may have put there.
pub(crate) fn bounded_text(path: &Path, why: &str) -> io::Result<String> {
    bounded(open(path, why)?, PAGE)
}

/// More than a file that says one thing has.
pub(crate) const PAGE: usize = 4096;
/// More than any file has that the kernel writes for one thing. Memory is only used as far as it is written.
pub(crate) const LARGE: usize = 1 << 20;

/// The text of a file that has less than `most` bytes; a longer one is refused, and not taken into memory.
pub(crate) fn bounded(mut file: File, most: usize) -> io::Result<String> {
    let mut bytes = vec![0; most];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => {
                bytes.truncate(length);
                return String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into());
            }
            read => length += read,
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// Another descriptor of the same thing, which lives as long as whoever asks for it.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, why: &str) -> io::Result<OwnedFd> {
    let duplicated = fd.try_clone_to_owned();
    let answer = match &duplicated {
        Ok(fd) => Ok(i64::from(fd.as_raw_fd())),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
    };
    // The least number that it may have: std keeps off the three standard streams.
    let arguments: [(&str, kv::Value<'_>); 3] =
        [("fd", fd.as_raw_fd().into()), ("cmd", "F_DUPFD_CLOEXEC".into()), ("arg", 3.into())];
    super::report("fcntl", &arguments.as_slice(), &answer, why);
    duplicated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = bounded_text(Path::new("/dev/zero"), "reads what never ends").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(bounded_text(Path::new("/dev/null"), "reads nothing").unwrap().is_empty());
    }
}
