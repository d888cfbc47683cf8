//! Files of the kernel's that the loader reads: open(2), reported.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use log::kv;

/// Opens a file for reading.
pub(crate) fn open(path: &Path, why: &str) -> io::Result<File> {
    let opened = File::open(path);
    let answer = match &opened {
        Ok(file) => Ok(i64::from(file.as_raw_fd())),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
    };
    let path = path.display().to_string();
    let arguments: [(&str, kv::Value<'_>); 3] =
        [("dirfd", "AT_FDCWD".into()), ("pathname", path.as_str().into()), ("flags", "O_RDONLY|O_CLOEXEC".into())];
    super::report("openat", &arguments.as_slice(), &answer, why);
    opened
}
