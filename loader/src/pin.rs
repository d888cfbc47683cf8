//! Pins: files in a BPF file system that keep maps, programs and links alive without a process (`kernel/bpf/inode.c`).

use std::{
    ffi::CString,
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use crate::{Error, sys::bpf};

/// Pins a map, program or link at `path`; `why` is for the report of the call.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path, why: &str) -> io::Result<()> {
    bpf::obj_pin(&c_path(path)?, None, object, why)
}

/// Pins a map, program or link at `path`, which is relative to an open directory (Linux 6.5).
pub(crate) fn pin_at(directory: BorrowedFd<'_>, object: BorrowedFd<'_>, path: &Path, why: &str) -> io::Result<()> {
    bpf::obj_pin(&c_path(path)?, Some(directory), object, why)
}

/// Opens the map, program or link that is pinned at `path`.
pub(crate) fn open(path: &Path, why: &str) -> io::Result<OwnedFd> {
    bpf::obj_get(&c_path(path)?, None, why)
}

/// Opens the map, program or link that is pinned at `path`, which is relative to an open directory (Linux 6.5).
pub(crate) fn open_at(directory: BorrowedFd<'_>, path: &Path, why: &str) -> io::Result<OwnedFd> {
    bpf::obj_get(&c_path(path)?, Some(directory), why)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "its path holds a NUL byte"))
}

/// Returns the error of a pin that could not be created or opened, with what to do about it.
pub(crate) fn failed(attempt: String, error: &io::Error) -> Error {
    let plain = Error::kernel(attempt, error);
    match error.raw_os_error() {
        Some(libc::EEXIST) => plain.advise("the file exists: remove it, or choose another path"),
        Some(libc::EINVAL | libc::EPERM | libc::EACCES) => plain.advise(
            "it must be in a BPF file system: `mount -t bpf bpf /sys/fs/bpf`, as root or with CAP_BPF and the right \
                 to write there",
        ),
        _ => plain,
    }
}
