//! The signal mask of this thread.
#![expect(unsafe_code, reason = "the system calls themselves")]

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

/// Blocks the signals of this thread while it exists, except those that report a fault of the thread itself. Threads
/// that are started meanwhile inherit the mask.
///
/// Not `Send`: the mask belongs to the thread.
#[derive(Debug)]
pub(crate) struct BlockedSignals {
    /// The mask before; `None` if it could not be changed.
    before: Option<libc::sigset_t>,
    of_this_thread: PhantomData<*const ()>,
}

impl BlockedSignals {
    /// Blocks the signals. They stay pending until this value is dropped.
    pub(crate) fn new() -> Self {
        // The kernel ends the process if one of these is blocked when its fault occurs: a handler for stack overflows
        // would not run, nor the one of a seccomp filter that emulates system calls by SIGSYS.
        const FAULTS: [libc::c_int; 6] =
            [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
        let mut mask = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: `mask` is writable and as large as the call wants it.
        unsafe { libc::sigfillset(mask.as_mut_ptr()) };
        // SAFETY: zeroes are a valid set, and the call has written no other value than a set.
        let mut mask = unsafe { mask.assume_init() };
        for signal in FAULTS {
            // SAFETY: `mask` is an initialized set.
            unsafe { libc::sigdelset(&raw mut mask, signal) };
        }
        // SAFETY: reads `mask` and writes `before`, both alive and of the type that the call takes.
        let value = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, before.as_mut_ptr()) };
        // SAFETY: zeroes are a valid set, and the call has written no other value than a set.
        let before = (value == 0).then(|| unsafe { before.assume_init() });
        Self { before, of_this_thread: PhantomData }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: reads a set that this value owns; the old mask is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
        }
    }
}
