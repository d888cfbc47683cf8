//! Opens and reads files, most of which the kernel generates. Each open(2) is reported.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsRawFd,
    path::Path,
};

use crate::{report, report::outcome};

/// Opens a file for reading.
///
/// # Errors
/// Those of open(2).
pub fn open(path: &Path, why: &str) -> io::Result<File> {
    report_opened(path, File::open(path), "O_RDONLY|O_CLOEXEC", why)
}

/// Opens for reading a file that an untrusted user can replace at any time. Opening a named pipe does not block
/// (`O_NONBLOCK`). The caller must check the type of the file.
///
/// # Errors
/// Those of open(2).
pub fn open_without_waiting(path: &Path, why: &str) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    report_opened(path, opened, "O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC", why)
}

fn report_opened(path: &Path, opened: io::Result<File>, flags: &str, why: &str) -> io::Result<File> {
    report!("openat", &outcome(&opened, |file| file.as_raw_fd().into()), why;
        "dirfd" = "AT_FDCWD", "pathname" = report::Value::from_display(&path.display()), "flags" = flags);
    opened
}

/// Reads a file that the kernel generates as text.
///
/// # Errors
/// Those of [`open`] and [`bounded`], for [`LARGE`] bytes.
pub fn text(path: &Path, why: &str) -> io::Result<String> {
    bounded(open(path, why)?, LARGE)
}

/// Reads a file that an untrusted user may have created as text.
///
/// # Errors
/// Those of [`open`] and [`bounded`], for [`PAGE`] bytes.
pub fn bounded_text(path: &Path, why: &str) -> io::Result<String> {
    bounded(open(path, why)?, PAGE)
}

/// A limit in bytes, above the size of any file with one value.
pub const PAGE: usize = 4096;
/// A limit in bytes, above the size of any file that the kernel generates for one object. Only the bytes that are read
/// take memory.
pub const LARGE: usize = 1 << 20;

/// Reads a file of less than `most` bytes as text.
///
/// # Errors
/// Those of read(2). `FileTooLarge` for a longer file, which is read up to `most` bytes. `InvalidData` if the file is
/// not UTF-8.
pub fn bounded(mut file: File, most: usize) -> io::Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_an_end_is_refused() {
        let error = bounded_text(Path::new("/dev/zero"), "tests").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(bounded_text(Path::new("/dev/null"), "tests").unwrap().is_empty());
    }
}
