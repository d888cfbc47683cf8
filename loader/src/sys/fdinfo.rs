//! `/proc/self/fdinfo`: the kernel's description of an open object, which needs no privileges.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Returns the lines of `/proc/self/fdinfo/FD`, in which the kernel describes the object.
pub(crate) fn fdinfo(object: BorrowedFd<'_>) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))
}
