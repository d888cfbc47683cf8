//! Sleeping until a CPU has records, and being stopped meanwhile.
//!
//! One epoll instance watches the perf events of all CPUs. Their readiness is not a state but a message: the kernel
//! keeps one flag a ring, sets it with each wake-up and clears it at each poll (`perf_poll`). So a reader that was
//! told must drain fully, and what is told is said once, also to a second epoll that this one is nested in.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cutaway_sys::epoll::{Epoll, Interest};
use cutaway_sys::stop::Stop;
pub use cutaway_sys::{Stopper, Wake};

use crate::error::Error;
use crate::idle_poll::IdlePoll;

/// The stop line's name in epoll; events have their CPU's number.
const STOP: u64 = u64::MAX;

/// After so many waits that led to no sleep, ask whether a stop came by the stopper's descriptor.
const ASK_EVERY: u32 = 64;

/// What a set sleeps on.
#[derive(Debug)]
pub(crate) struct Waiter {
    epoll: Epoll,
    /// Made with the first stopper.
    stop: Option<Stop>,
    /// Waits that led to no sleep.
    at_once: u32,
    sleeps: u64,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self, Error> {
        let epoll = Epoll::new("creates one object to wait on for all CPUs")
            .map_err(|error| Error::system("create an epoll instance", &error))?;
        Ok(Self { epoll, stop: None, at_once: 0, sleeps: 0 })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, Error> {
        if let Some(stop) = &self.stop {
            return Ok(stop.stopper());
        }
        let stop = Stop::new().map_err(|error| Error::system("create a pipe to stop by", &error))?;
        self.epoll
            .add(stop.fd(), Interest::Readable, STOP, "lets a stopper end the wait")
            .map_err(|error| Error::system("watch the pipe to stop by", &error))?;
        Ok(self.stop.insert(stop).stopper())
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_stopped)
    }

    /// Returns whether there was a stop, for a wait that does not sleep. A reader that is always busy never does, so a
    /// stop that came by the descriptor alone has to be asked for, now and then.
    pub(crate) fn is_stopped_meanwhile(&mut self) -> Result<bool, Error> {
        self.at_once = self.at_once.wrapping_add(1);
        if self.at_once.is_multiple_of(ASK_EVERY)
            && let Some(stop) = &mut self.stop
        {
            stop.poll().map_err(|error| Error::system("ask the pipe for a stop", &error))?;
        }
        Ok(self.is_stopped())
    }

    pub(crate) fn sleeps(&self) -> u64 {
        self.sleeps
    }

    /// Watches the perf event of `cpu`.
    pub(crate) fn watch(&self, cpu: u32, event: BorrowedFd<'_>) -> Result<(), Error> {
        self.epoll
            .add(event, Interest::Readable, u64::from(cpu), "watches one CPU's buffer")
            .map_err(|error| Error::system(format!("watch the perf event of CPU {cpu}"), &error))
    }

    /// Does not watch it any more.
    pub(crate) fn forget(&self, cpu: u32, event: BorrowedFd<'_>) -> Result<(), Error> {
        self.epoll
            .delete(event, "forgets an event that died with its CPU")
            .map_err(|error| Error::system(format!("stop watching the former perf event of CPU {cpu}"), &error))
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        match &mut self.stop {
            Some(stop) => stop.resume().map_err(|error| Error::system("empty the pipe to stop by", &error)),
            None => Ok(()),
        }
    }

    /// Sleeps until there is a wake-up or a stop, the time is up, or a look finds what woke no reader: `pending` tells
    /// whether there are records. Sets `untold` if a stop hides a wake-up, which the kernel does not send again.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle_poll: &mut IdlePoll,
        untold: &mut bool,
        pending: impl Fn() -> bool,
    ) -> Result<Wake, Error> {
        // A time-out too long for the clock is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if self.is_stopped() {
                return Ok(Wake::Stopped);
            }
            let next_poll = idle_poll.at();
            let until = deadline.into_iter().chain(next_poll).min();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            self.sleeps = self.sleeps.wrapping_add(1);
            let mut stopped = false;
            let ready = self
                .epoll
                .wait(left, "sleeps until a CPU has records; asking consumes a perf event's readiness", |token| {
                    stopped |= token == STOP;
                })
                .map_err(|error| Error::system("wait for perf events", &error))?;
            if stopped && let Some(stop) = &mut self.stop {
                stop.notice();
                *untold = ready > 1;
                return Ok(Wake::Stopped);
            }
            if ready > 0 {
                return Ok(Wake::Ready);
            }
            // Nothing: the time is up, it is time to look, or a signal came. The end of the time is one to look, too,
            // for waits that are shorter than the time between two polls.
            if next_poll.is_some() {
                // Also if there is something: records that the caller leaves there end no more waits than looks do.
                idle_poll.looked();
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
