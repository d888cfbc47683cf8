//! Sleeping until a CPU has records, and being stopped meanwhile.
//!
//! One epoll instance watches the perf events of all CPUs. Their readiness is not a state but a message: the kernel keeps
//! one flag a ring, sets it with each wake-up and clears it whenever anybody polls (`perf_poll`). So whoever was told must
//! drain fully, and what is told is said once, also to a second epoll that this one is nested in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::looks::Looks;
use crate::sys;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A CPU has records; look at all of them.
    Ready,
    /// The time is up. Records that woke no reader are not among the reasons, unless
    /// [looks](crate::Set::look_every) are turned off.
    TimedOut,
    /// A [`Stopper`] was used. Every wait ends so until [`Set::resume`](crate::Set::resume).
    Stopped,
}

/// Ends the waits of the [`Set`](crate::Set) that it belongs to, from any thread, now and until the set is resumed.
///
/// For signal handlers there is its descriptor ([`AsFd`]), the writing end of a pipe: writing any byte to it does the
/// same, and write(2) is safe in a handler. It never blocks.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Line>);

/// A pipe, and not an eventfd, because a handler made for pipes writes one byte, which an eventfd refuses. The flag beside
/// it ends a wait without a system call.
#[derive(Debug)]
struct Line {
    stopped: AtomicBool,
    /// Kept here too, so that a stopper which outlives its set writes into a pipe that still has a reader: no SIGPIPE.
    read: OwnedFd,
    write: OwnedFd,
}

impl Stopper {
    /// Ends the present wait and all to come.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
        // The only failure is a full pipe, and that one holds a stop already.
        let _ = sys::write_byte(self.0.write.as_fd());
    }
}

impl AsFd for Stopper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.write.as_fd()
    }
}

/// The stop line's name in epoll; events have their CPU's number.
const STOP: u64 = u64::MAX;
/// Readiness that one call takes. More CPUs than that are no harm: all are looked at anyway.
const AT_ONCE: usize = 64;

/// What a set sleeps on.
#[derive(Debug)]
pub(crate) struct Waiter {
    epoll: OwnedFd,
    line: Arc<Line>,
    sleeps: u64,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self, Error> {
        let epoll = sys::epoll_create().map_err(|error| Error::system("making an epoll instance", &error))?;
        let (read, write) = sys::pipe().map_err(|error| Error::system("making a pipe to stop by", &error))?;
        sys::epoll_add(epoll.as_fd(), read.as_fd(), STOP, "lets a stopper end the wait")
            .map_err(|error| Error::system("watching the pipe to stop by", &error))?;
        let line = Line { stopped: AtomicBool::new(false), read, write };
        Ok(Self { epoll, line: Arc::new(line), sleeps: 0 })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.line))
    }

    pub(crate) fn sleeps(&self) -> u64 {
        self.sleeps
    }

    /// Watches the perf event of `cpu`.
    pub(crate) fn watch(&self, cpu: u32, event: BorrowedFd<'_>) -> Result<(), Error> {
        sys::epoll_add(self.epoll.as_fd(), event, u64::from(cpu), "watches one CPU's buffer")
            .map_err(|error| Error::system(format!("watching the perf event of CPU {cpu}"), &error))
    }

    /// Does not watch it any more.
    pub(crate) fn forget(&self, cpu: u32, event: BorrowedFd<'_>) -> Result<(), Error> {
        sys::epoll_delete(self.epoll.as_fd(), event, "forgets an event that died with its CPU")
            .map_err(|error| Error::system(format!("no longer watching the former perf event of CPU {cpu}"), &error))
    }

    pub(crate) fn resume(&self) -> Result<(), Error> {
        self.line.stopped.store(false, Ordering::Relaxed);
        sys::empty_pipe(self.line.read.as_fd()).map_err(|error| Error::system("emptying the pipe to stop by", &error))
    }

    /// Sleeps until there is a wake-up or a stop, the time is up, or a look finds what woke no reader: `pending` tells
    /// whether there are records.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        looks: &mut Looks,
        pending: impl Fn() -> bool,
    ) -> Result<Wake, Error> {
        // A time-out too long for the clock is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.line.stopped.load(Ordering::Relaxed) {
                return Ok(Wake::Stopped);
            }
            let look_at = looks.at();
            let until = deadline.into_iter().chain(look_at).min();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; AT_ONCE];
            self.sleeps = self.sleeps.wrapping_add(1);
            let ready = sys::epoll_wait(self.epoll.as_fd(), &mut events, left)
                .map_err(|error| Error::system("waiting for perf events", &error))?;
            if events.iter().take(ready).any(|event| event.u64 == STOP) {
                self.line.stopped.store(true, Ordering::Relaxed);
                return Ok(Wake::Stopped);
            }
            if ready > 0 {
                return Ok(Wake::Ready);
            }
            // Nothing: the time is up, it is time to look, or a signal came. The end of the time is one to look, too,
            // for waits that are shorter than the time between two looks.
            if look_at.is_some() {
                // Also if there is something: records that the caller leaves there end no more waits than looks do.
                looks.looked();
                if pending() {
                    return Ok(Wake::Ready);
                }
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Wake::TimedOut);
            }
        }
    }
}
