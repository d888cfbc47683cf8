//! The locked-memory limit, which kernels before 5.11 charge maps and programs to.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::process;

/// How often this process has raised the limit. The lock is held while a thread raises it, so that another thread sees
/// either the old limit or the new number.
static RAISED: Mutex<u32> = Mutex::new(0);

/// Creates a map or loads a program, with the rights of `token`. If the kernel refuses with EPERM, raises the
/// locked-memory limit and tries once more: before Linux 5.11, EPERM may mean that the limit is reached. It also tries
/// once more if another thread has raised the limit meanwhile.
pub(crate) fn charged(
    token: Option<BorrowedFd<'_>>,
    create: &mut dyn FnMut(Option<BorrowedFd<'_>>) -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    // In the smallest builds, loading is for one thread.
    let before = if cfg!(feature = "parallel") { *raised() } else { 0 };
    match create(token) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            if is_raised_since(before) {
                create(token)
            } else {
                Err(error)
            }
        }
        answer => answer,
    }
}

/// Raises the limit, if there is one. Returns whether it was raised since its number was `before`.
fn is_raised_since(before: u32) -> bool {
    if !cfg!(feature = "parallel") {
        return matches!(process::memlock(), Ok(Some(_))) && process::raise_memlock().is_ok();
    }
    let mut raised = raised();
    if matches!(process::memlock(), Ok(Some(_))) && process::raise_memlock().is_ok() {
        *raised = raised.wrapping_add(1);
    }
    *raised != before
}

fn raised() -> MutexGuard<'static, u32> {
    RAISED.lock().unwrap_or_else(PoisonError::into_inner)
}
