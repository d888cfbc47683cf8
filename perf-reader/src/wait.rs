//! Sleeps until a CPU has records, or a [`Stopper`] is used.
//!
//! One epoll instance watches the perf events of all CPUs. The kernel keeps one flag for each ring, sets the flag with
//! each wake-up, and clears it at each poll (`perf_poll`). So a wake-up is reported only once, even if records remain
//! unread, and a reader that was woken must drain completely. An outer epoll that watches this one reports the wake-up
//! once, too.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cutaway_sys::epoll::{Epoll, Interest};
use cutaway_sys::stop::Stop;
pub use cutaway_sys::{Stopper, Wake};

use crate::error::Error;
use crate::idle_poll::IdlePoll;

/// The stopper's token in epoll; the token of an event is its CPU's id.
const STOP: u64 = u64::MAX;

/// The number of waits without a sleep after which the stopper's pipe is checked for a stop.
const ASK_EVERY: u32 = 64;

/// Waits for the buffers of all CPUs.
#[derive(Debug)]
pub(crate) struct Waiter {
    epoll: Epoll,
    /// Created with the first stopper.
    stop: Option<Stop>,
    /// The number of waits that did not sleep.
    waits_without_sleep: u32,
    sleeps: u64,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self, Error> {
        let epoll = Epoll::new("creates the epoll instance that waits for all CPUs")
            .map_err(|error| Error::system("create an epoll instance", &error))?;
        Ok(Self { epoll, stop: None, waits_without_sleep: 0, sleeps: 0 })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, Error> {
        if let Some(stop) = &self.stop {
            return Ok(stop.stopper());
        }
        let stop = Stop::new().map_err(|error| Error::system("create the stopper's pipe", &error))?;
        self.epoll
            .add(stop.fd(), Interest::Readable, STOP, "lets a stopper end the wait")
            .map_err(|error| Error::system("watch the stopper's pipe", &error))?;
        Ok(self.stop.insert(stop).stopper())
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_stopped)
    }

    /// Returns whether there was a stop, for waits that do not sleep.
    ///
    /// A signal handler stops a reader by write(2) to the stopper's pipe, which does not set the stop flag. A sleep
    /// notices the write, but a reader that always finds records never sleeps. So every 64th of these waits checks the
    /// pipe.
    pub(crate) fn is_stopped_meanwhile(&mut self) -> Result<bool, Error> {
        self.waits_without_sleep = self.waits_without_sleep.wrapping_add(1);
        if self.waits_without_sleep.is_multiple_of(ASK_EVERY)
            && let Some(stop) = &mut self.stop
        {
            stop.poll().map_err(|error| Error::system("check the pipe for a stop", &error))?;
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

    /// Stops watching the perf event of `cpu`.
    pub(crate) fn forget(&self, cpu: u32, event: BorrowedFd<'_>) -> Result<(), Error> {
        self.epoll
            .delete(event, "stops watching an event that died with its CPU")
            .map_err(|error| Error::system(format!("stop watching the former perf event of CPU {cpu}"), &error))
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        match &mut self.stop {
            Some(stop) => stop.resume().map_err(|error| Error::system("empty the stopper's pipe", &error)),
            None => Ok(()),
        }
    }

    /// Sleeps until there is a wake-up or a stop, the time is up, or a poll finds records that sent no wake-up.
    /// `pending` returns whether there are records. If a wake-up and a stop come at once, this returns `Stopped` and
    /// sets `unreported`, because the kernel does not send the wake-up again.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        idle_poll: &mut IdlePoll,
        unreported: &mut bool,
        pending: impl Fn() -> bool,
    ) -> Result<Wake, Error> {
        // If the deadline overflows `Instant`, the wait has no deadline.
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
                .wait(left, "sleeps until a CPU has records; this consumes a perf event's readiness", |token| {
                    stopped |= token == STOP;
                })
                .map_err(|error| Error::system("wait for perf events", &error))?;
            if stopped && let Some(stop) = &mut self.stop {
                stop.notice();
                *unreported = ready > 1;
                return Ok(Wake::Stopped);
            }
            if ready > 0 {
                return Ok(Wake::Ready);
            }
            // No wake-up: the time is up, a poll is due, or a signal came. All of them poll, because `timeout` may be
            // shorter than the interval between two polls.
            if next_poll.is_some() {
                // The poll counts even if it finds records. So records that the caller leaves in a buffer end a wait
                // only once in an interval.
                idle_poll.polled();
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
