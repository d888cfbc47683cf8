//! Names in a BPF file system, which keep maps, programs and links alive without their process (`kernel/bpf/inode.c`).

use std::{
    ffi::CString,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use crate::{Error, sys::bpf};

/// Gives a map, program or link the name `path`. `attempt` is for an error, `why` for the report of the call.
pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path, attempt: String, why: &str) -> Result<(), Error> {
    bpf::obj_pin(&c_path(path, &attempt)?, object, why).map_err(|error| refused(attempt, &error))
}

/// Opens whatever is pinned at `path`.
pub(crate) fn open(path: &Path, attempt: String, why: &str) -> Result<OwnedFd, Error> {
    bpf::obj_get(&c_path(path, &attempt)?, why).map_err(|error| refused(attempt, &error))
}

fn c_path(path: &Path, attempt: &str) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::Invalid { operation: attempt.to_owned(), why: "its path holds a NUL byte".to_owned() })
}

fn refused(attempt: String, error: &std::io::Error) -> Error {
    let plain = Error::kernel(attempt, error);
    match error.raw_os_error() {
        Some(libc::EEXIST) => plain.advise("the name is taken: remove the file, or choose another"),
        Some(libc::ENOENT) => plain.advise("there is no such file or directory"),
        Some(libc::EINVAL | libc::EPERM | libc::EACCES) => plain.advise(
            "it must be in a BPF file system: `mount -t bpf bpf /sys/fs/bpf`, as root or with CAP_BPF and the right to write there",
        ),
        _ => plain,
    }
}
