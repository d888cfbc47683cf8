//! The eventfd with which the fake kernel wakes readers and writers.
#![expect(unsafe_code, reason = "eventfd(2), and reads and writes of it")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Creates an eventfd. The fake kernel writes to it where the real one wakes a wait queue.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory.
    let fd = cutaway_sys::report::check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { cutaway_sys::fd::owned(Ok(fd)) }
}

/// Wakes the readers that wait for the eventfd `bell`.
pub(crate) fn ring_bell(bell: &OwnedFd) {
    let one = 1_u64;
    // SAFETY: eight bytes are read from `one`. An eventfd that overflows after
    // 2^64 - 2 wake-ups is readable and needs no more.
    unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Wakes the writers that wait for room in the eventfd `bell`. A read makes that room.
pub(crate) fn ring_bell_for_room(bell: &OwnedFd) {
    ring_bell(bell);
    let mut count = 0_u64;
    // SAFETY: there is room for eight bytes in `count`. If there is nothing to read, another read has just woken the
    // writers.
    unsafe { libc::read(bell.as_raw_fd(), (&raw mut count).cast(), 8) };
}
