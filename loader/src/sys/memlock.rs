//! The locked-memory limit, which kernels before 5.11 charge maps and programs to.

use std::{io, os::fd::OwnedFd};

use super::process;

/// Creates a map or loads a program. If the kernel refuses with EPERM, raises the locked-memory limit and tries once
/// more: before Linux 5.11, EPERM may mean that the limit is reached.
pub(crate) fn charged(create: &mut dyn FnMut() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match create() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && matches!(process::memlock(), Ok(Some(_))) => {
            if process::raise_memlock().is_ok() {
                create()
            } else {
                Err(error)
            }
        }
        answer => answer,
    }
}
