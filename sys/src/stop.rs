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

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is a record to read, or a discarded one to skip.
    Ready,
    /// The time limit is over. There can still be records that were sent without a wake-up.
    TimedOut,
    /// A [`Stopper`] was used. Every wait ends with this until the reader is resumed.
    Stopped,
}

/// Ends the waits of the reader that created it, from any thread, now and until the reader is resumed.
///
/// [`stop`](Self::stop) never blocks. A signal handler instead writes any bytes to the writing end of a pipe
/// ([`AsFd`]): write(2) has the same effect, and is async-signal-safe. A reader that is always busy notices such a
/// write after at most 64 waits, and a call of `stop` at its next wait. `Send` and `Sync`; clones stop the same reader.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Set by `stop`. It only saves system calls: the pipe ends a sleep.
    stopped: AtomicBool,
    /// The stopper keeps it as well. A stopper that outlives its reader would otherwise write into a pipe without a
    /// reading end, which raises SIGPIPE.
    read: OwnedFd,
    write: OwnedFd,
}

impl Stopper {
    /// Ends the current wait and all later ones.
    pub fn stop(&self) {
        // ATOMICS: a hint, read by `Stop::is_stopped`. It publishes nothing: the write to the pipe ends the sleep.
        self.0.stopped.store(true, Ordering::Relaxed);
        // EAGAIN, the only failure, means that the pipe is full of earlier stops.
        let _ = fd::write_byte(self.0.write.as_fd(), "ends a wait");
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.write.as_fd()
    }
}

/// The reader's side of a [`Stopper`].
#[derive(Debug)]
pub struct Stop {
    shared: Arc<Shared>,
    noticed: bool,
}

impl Stop {
    /// Creates the flag and the pipe.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn new() -> io::Result<Self> {
        let (read, write) = fd::pipe("creates the pipe by which another thread or a signal handler ends a wait")?;
        let shared = Shared { stopped: AtomicBool::new(false), read, write };
        Ok(Self { shared: Arc::new(shared), noticed: false })
    }

    /// Returns a handle that ends this reader's waits.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Returns the fd that becomes readable with a stop.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.shared.read.as_fd()
    }

    /// Returns whether a stop has been noticed, without a system call.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        // ATOMICS: a hint from `Stopper::stop`; a stop that this load misses has made the pipe readable.
        self.noticed || self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Notes that epoll reported [`Self::fd`] readable.
    pub fn notice(&mut self) {
        self.noticed = true;
    }

    /// Empties the pipe. Records a stop if a signal handler wrote to the pipe.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn poll(&mut self) -> io::Result<()> {
        self.noticed |= fd::empty(self.fd(), "checks whether the pipe holds a stop")?;
        Ok(())
    }

    /// Forgets all stops so far.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn resume(&mut self) -> io::Result<()> {
        // ATOMICS: pairs with nothing; a concurrent stop may come before or after this call.
        self.shared.stopped.store(false, Ordering::Relaxed);
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
