//! Ends a wait from another thread or from a signal handler.
//!
//! A pipe, not an eventfd: signal handlers made for pipes write one byte, and an eventfd refuses a write of less than
//! eight. A flag beside the pipe lets a busy reader notice a stop without a system call.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::fd;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something to read: a record, or a discarded one to skip.
    Ready,
    /// The time limit is over. Records that were sent without a wake-up can be there all the same.
    TimedOut,
    /// A [`Stopper`] was used. Each wait ends so until the reader is resumed.
    Stopped,
}

/// Ends the waits of the reader that made it, from any thread, now and until the reader is resumed.
///
/// [`stop`](Self::stop) never blocks. For signal handlers there is the writing end of a pipe ([`AsFd`]): write(2) of
/// any bytes to it does the same, and is async-signal-safe. A reader that is always busy notices such a write after at
/// most 64 waits, and a call of `stop` at the next one. `Send` and `Sync`; clones stop the same reader.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Line>);

#[derive(Debug)]
struct Line {
    /// Set by `stop`. It only spares system calls: the pipe is what ends a sleep.
    stopped: AtomicBool,
    /// Kept by the stopper as well. So a stopper that outlives its reader never writes into a pipe without a reading
    /// end, which would raise SIGPIPE.
    read: OwnedFd,
    write: OwnedFd,
}

impl Stopper {
    /// Ends the current wait and all later ones.
    pub fn stop(&self) {
        // ATOMICS: a hint, read by `Stop::is_stopped`. Nothing is published by it: the write to the pipe is what wakes.
        self.0.stopped.store(true, Ordering::Relaxed);
        // EAGAIN, the only failure, means that the pipe is full of stops.
        let _ = fd::write_byte(self.0.write.as_fd(), "ends a wait");
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.write.as_fd()
    }
}

/// The reader's end of the line that a [`Stopper`] stops.
#[derive(Debug)]
pub struct Stop {
    line: Arc<Line>,
    noticed: bool,
}

impl Stop {
    /// Creates the line.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn new() -> io::Result<Self> {
        let (read, write) = fd::pipe("creates the pipe by which another thread or a signal handler ends a wait")?;
        let line = Line { stopped: AtomicBool::new(false), read, write };
        Ok(Self { line: Arc::new(line), noticed: false })
    }

    /// Returns a handle that ends this reader's waits.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.line))
    }

    /// Returns the fd that becomes readable with a stop.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.line.read.as_fd()
    }

    /// Returns whether a stop is known, without a system call.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        // ATOMICS: a hint from `Stopper::stop`; a stop that this load misses has made the pipe readable.
        self.noticed || self.line.stopped.load(Ordering::Relaxed)
    }

    /// Records that epoll reported [`Self::fd`] readable.
    pub fn notice(&mut self) {
        self.noticed = true;
    }

    /// Asks the pipe whether a signal handler wrote to it.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn poll(&mut self) -> io::Result<()> {
        self.noticed |= fd::empty(self.fd(), "asks whether a stop came by the pipe")?;
        Ok(())
    }

    /// Forgets all stops so far.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn resume(&mut self) -> io::Result<()> {
        // ATOMICS: pairs with nothing; a stop that is made meanwhile may come before or after this call.
        self.line.stopped.store(false, Ordering::Relaxed);
        self.noticed = false;
        fd::empty(self.fd(), "empties the pipe, so that the reader can wait again").map(drop)
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn stop_is_noticed_by_flag_and_by_pipe_until_resumed() {
        let mut stop = Stop::new().unwrap();
        assert!(!stop.is_stopped());
        stop.stopper().stop();
        assert!(stop.is_stopped());
        stop.resume().unwrap();
        assert!(!stop.is_stopped());
        // As a signal handler does.
        fd::write_byte(stop.stopper().as_fd(), "tests").unwrap();
        assert!(!stop.is_stopped());
        stop.poll().unwrap();
        assert!(stop.is_stopped());
        stop.resume().unwrap();
        stop.poll().unwrap();
        assert!(!stop.is_stopped());
    }

    #[test]
    fn full_pipe_holds_a_stop() {
        let mut stop = Stop::new().unwrap();
        let stopper = stop.stopper();
        (0..70_000).for_each(|_| stopper.stop());
        stop.poll().unwrap();
        assert!(stop.is_stopped());
    }
}
