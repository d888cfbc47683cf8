//! Ending a wait from elsewhere.
//!
//! A pipe, and not an eventfd: a signal handler that was made for pipes writes
//! one byte, which an eventfd refuses. A flag beside it lets a busy consumer see
//! the stop without a system call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sys;
use crate::error::Error;

/// Ends the waits of the [`Ring`](crate::Ring) or set that it belongs to, from
/// any thread, now and until the waiter is resumed.
///
/// For signal handlers there is its descriptor ([`AsFd`]): writing anything to
/// it (`write(2)` is safe in a handler) does the same. It never blocks. A
/// consumer that is kept busy by its ring notices such a write within 64 waits, or
/// 64 batches of [`Ring::run`](crate::Ring::run); [`stop`](Self::stop) is noticed by
/// the next one.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Line>);

#[derive(Debug)]
struct Line {
    /// Set by `stop`. A hint that spares system calls: the pipe is what counts,
    /// and what happened before a stop is not ordered by it.
    flag: AtomicBool,
    /// Kept here too, so that a stopper which outlives its ring does not write
    /// into a pipe without a reader and earn a SIGPIPE.
    read: OwnedFd,
    write: OwnedFd,
}

impl Stopper {
    /// Ends the present wait and all to come.
    pub fn stop(&self) {
        self.0.flag.store(true, Ordering::Relaxed);
        // A full pipe (EAGAIN) holds a stop already.
        sys::write_byte(self.0.write.as_fd());
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.write.as_fd()
    }
}

/// The waiter's end.
#[derive(Debug)]
pub(crate) struct Stop {
    line: Arc<Line>,
    noticed: bool,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Error> {
        let (read, write) = sys::pipe()?;
        let line = Line { flag: AtomicBool::new(false), read, write };
        Ok(Self { line: Arc::new(line), noticed: false })
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.line))
    }

    /// What becomes readable with a stop.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.line.read.as_fd()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.noticed || self.line.flag.load(Ordering::Relaxed)
    }

    /// Epoll said that the pipe is readable.
    pub(crate) fn noticed(&mut self) {
        self.noticed = true;
    }

    /// Looks into the pipe.
    pub(crate) fn ask(&mut self) -> Result<(), Error> {
        self.noticed |= sys::drain(self.fd())?;
        Ok(())
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        self.line.flag.store(false, Ordering::Relaxed);
        self.noticed = false;
        sys::drain(self.fd()).map(drop)
    }
}
