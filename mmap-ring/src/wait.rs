//! Sleeps until a ring has a record, or a [`Stopper`] is used.
//!
//! One epoll instance watches the ring and the stopper's pipe, edge-triggered: only a wake-up ends a sleep, not the
//! presence of a record. So a consumer can sleep at a record that is reserved and not yet committed, where a
//! level-triggered wait would return at once, over and over. The order of
//! [`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait) is therefore required: if the producer does not
//! send a wake-up, only the next poll on a timer finds the record ([`IDLE_POLL_INTERVAL`]).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::consumer::Head;
use crate::error::{Corrupt, Error, system};

use cutaway_sys::epoll::{Epoll, Interest};
use cutaway_sys::stop::Stop;
pub use cutaway_sys::{Stopper, Wake};

/// The stopper's token in epoll; the token of a ring is its index.
const STOP: u64 = u64::MAX;
/// After this many waits that did not sleep, check whether the stopper's pipe holds a stop.
const ASK_EVERY: u32 = 64;
/// The number of checks of a busy head before a sleep: most producers take well under a microsecond.
const SPINS: u32 = 128;
/// The time that a wait sleeps at most before it polls its ring, by default: 90 milliseconds. So a record that was sent
/// without a wake-up (`BPF_RB_NO_WAKEUP`) is read within 100 milliseconds on a machine that is not overloaded.
///
/// If every record of a program is known to send its wake-up,
/// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval) can turn polling off.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
pub const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(90);
/// The shortest interval between polls, for a ring whose records come without wake-ups.
pub(crate) const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The first and the longest sleep at a busy head, in case its commit sends no wake-up.
const BUSY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));

/// The target of a sleep: one ring or several.
pub(crate) trait Sleeper {
    /// Returns the state of the head. For several rings, returns the greatest state of any.
    fn head(&self) -> Result<Head, Corrupt>;

    /// Publishes the position, fences, returns the head: see
    /// [`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait).
    fn prepare_wait(&mut self) -> Result<Head, Corrupt>;

    /// Adds the fds to wait for to `epoll`.
    fn watch(&self, epoll: &Epoll) -> Result<(), Error>;
}

/// The sleep of one ring, or of several together.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Created by the first sleep, which adds the rings.
    epoll: Option<Epoll>,
    stop: Option<Stop>,
    /// The time to sleep at most before a poll; `None` is forever.
    idle_poll_interval: Option<Duration>,
    /// The same for the next sleep: shorter while polls find records that sent no wake-up.
    next_poll_interval: Duration,
    waits_without_sleep: u32,
    sleeps: u64,
    wakeups: u64,
}

impl Default for Waiter {
    fn default() -> Self {
        Self {
            epoll: None,
            stop: None,
            idle_poll_interval: Some(IDLE_POLL_INTERVAL),
            next_poll_interval: IDLE_POLL_INTERVAL,
            waits_without_sleep: 0,
            sleeps: 0,
            wakeups: 0,
        }
    }
}

impl Waiter {
    pub(crate) fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        // An interval of 0 would poll without ever sleeping.
        self.idle_poll_interval = time.map(|time| time.max(MIN_POLL_INTERVAL));
        self.next_poll_interval = self.idle_poll_interval.unwrap_or(IDLE_POLL_INTERVAL);
    }

    /// Adapts the poll interval after a sleep at an empty ring. A poll that finds a record without a wake-up shortens
    /// the interval, because the ring may be full before the next poll. Any other sleep lengthens it.
    fn adapt_interval(&mut self, woken: bool, ready: bool) {
        let Some(every) = self.idle_poll_interval else { return };
        let next = if ready && !woken {
            MIN_POLL_INTERVAL.max(self.next_poll_interval / 4)
        } else {
            self.next_poll_interval.saturating_mul(2)
        };
        self.next_poll_interval = next.min(every);
    }

    pub(crate) fn sleeps(&self) -> u64 {
        self.sleeps
    }

    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, Error> {
        if let Some(stop) = &self.stop {
            return Ok(stop.stopper());
        }
        let stop = Stop::new().map_err(system("pipe2", "create a stopper"))?;
        if let Some(epoll) = &self.epoll {
            watch_stop(epoll, &stop)?;
        }
        let stopper = stop.stopper();
        self.stop = Some(stop);
        Ok(stopper)
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        match &mut self.stop {
            Some(stop) => stop.resume().map_err(system("read", "check for a stop")),
            None => Ok(()),
        }
    }

    /// Forgets the watched fds: the next sleep adds them again.
    pub(crate) fn forget(&mut self) {
        self.epoll = None;
    }

    pub(crate) fn wait(&mut self, sleeper: &mut impl Sleeper, timeout: Option<Duration>) -> Result<Wake, Error> {
        if self.is_stopped() {
            return Ok(Wake::Stopped);
        }
        if sleeper.head()? == Head::Ready {
            return Ok(if self.is_stopped_meanwhile()? { Wake::Stopped } else { Wake::Ready });
        }
        // A timeout too long for the clock is no timeout.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut pause, longest_pause) = BUSY_PAUSE;
        loop {
            let head = match sleeper.prepare_wait()? {
                Head::Busy => spin(sleeper)?,
                head => head,
            };
            let limit = match head {
                Head::Ready => return Ok(Wake::Ready),
                Head::Empty => self.idle_poll_interval.and(Some(self.next_poll_interval)),
                Head::Busy => {
                    let limit = pause;
                    pause = longest_pause.min(pause * 2);
                    Some(limit)
                }
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Wake::TimedOut);
            }
            let woken = self.sleep(sleeper, left.into_iter().chain(limit).min())?;
            if self.is_stopped() {
                return Ok(Wake::Stopped);
            }
            let ready = sleeper.head()? == Head::Ready;
            if head == Head::Empty {
                self.adapt_interval(woken, ready);
            }
            if ready {
                return Ok(Wake::Ready);
            }
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_stopped)
    }

    /// Returns whether there was a stop, for waits that do not sleep. A ring that always has records never sleeps, so
    /// now and then the pipe must be checked for a stop that was written to its fd.
    pub(crate) fn is_stopped_meanwhile(&mut self) -> Result<bool, Error> {
        self.waits_without_sleep = self.waits_without_sleep.wrapping_add(1);
        if self.waits_without_sleep.is_multiple_of(ASK_EVERY)
            && let Some(stop) = &mut self.stop
        {
            stop.poll().map_err(system("read", "check for a stop"))?;
        }
        Ok(self.is_stopped())
    }

    /// Sleeps until the ring or the stopper ends the sleep, or the time is up. A signal or an old edge ends it as well,
    /// so the caller checks the head again. Returns whether the ring ended the sleep.
    fn sleep(&mut self, sleeper: &impl Sleeper, timeout: Option<Duration>) -> Result<bool, Error> {
        let epoll = match &self.epoll {
            Some(epoll) => epoll,
            None => {
                let epoll = new_epoll()?;
                sleeper.watch(&epoll)?;
                if let Some(stop) = &self.stop {
                    watch_stop(&epoll, stop)?;
                }
                self.epoll.insert(epoll)
            }
        };
        self.sleeps = self.sleeps.wrapping_add(1);
        let mut stopped = false;
        let mut woken = false;
        let report = |token| {
            if token == STOP {
                stopped = true;
            } else {
                woken = true;
            }
        };
        sleep(epoll, timeout, report)?;
        self.wakeups = self.wakeups.wrapping_add(u64::from(woken));
        if stopped && let Some(stop) = &mut self.stop {
            stop.notice();
        }
        Ok(woken)
    }
}

/// Creates an epoll instance for rings.
pub(crate) fn new_epoll() -> Result<Epoll, Error> {
    Epoll::new("creates the epoll instance that waits for the ring and for a stop")
        .map_err(system("epoll_create1", "wait for a ring"))
}

/// Adds a ring's fd to `epoll`.
pub(crate) fn watch_ring(epoll: &Epoll, ring: BorrowedFd<'_>, interest: Interest, token: u64) -> Result<(), Error> {
    epoll
        .add(ring, interest, token, "watches for wake-ups (edge-triggered), not for unread data")
        .map_err(system("epoll_ctl", "watch a ring"))
}

fn watch_stop(epoll: &Epoll, stop: &Stop) -> Result<(), Error> {
    watch_ring(epoll, stop.fd(), Interest::ReadableEdge, STOP)
}

/// Sleeps until a watched fd has an edge, a signal arrives or the time is up.
pub(crate) fn sleep(epoll: &Epoll, timeout: Option<Duration>, woken: impl FnMut(u64)) -> Result<(), Error> {
    epoll
        .wait(timeout, "sleeps until the kernel sends a wake-up", woken)
        .map_err(system("epoll_wait", "wait for a ring"))
        .map(drop)
}

/// Checks a busy head up to `SPINS` times.
fn spin(sleeper: &impl Sleeper) -> Result<Head, Error> {
    for _ in 0..SPINS {
        let head = sleeper.head()?;
        if head != Head::Busy {
            return Ok(head);
        }
        std::hint::spin_loop();
    }
    Ok(Head::Busy)
}
