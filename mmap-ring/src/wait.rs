//! Sleeps until a ring has a record, or a [`Stopper`] is used.
//!
//! One epoll instance watches the ring and the stopper's pipe. It is edge-triggered: an unread record does not end a
//! sleep, but a wake-up does. (A signal, or the time limit of the sleep, ends it as well.) So a consumer can sleep
//! while the oldest record is reserved and not yet committed. A level-triggered wait would return at once, over and
//! over.
//!
//! An edge-triggered sleep misses a record whose producer sent no wake-up. Therefore a consumer must publish its
//! position, fence, and check for a record before it sleeps, in this order
//! ([`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait)). In any other order, the producer may see an
//! old position and send no wake-up. Then only the next poll on a timer finds the record ([`IDLE_POLL_INTERVAL`]).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::consumer::Head;
use crate::error::{Corrupt, Error, system};

use cutaway_sys::epoll::{Epoll, Interest};
use cutaway_sys::stop::Stop;
pub use cutaway_sys::{Stopper, Wake};

/// The stopper's token in epoll; the token of a ring is its index.
const STOP: u64 = u64::MAX;
/// The number of waits without a sleep after which the stopper's pipe is checked for a stop.
const ASK_EVERY: u32 = 64;
/// The number of checks of a busy head before a sleep. Most producers commit a record less than a microsecond after
/// they reserved it.
const SPINS: u32 = 128;
/// The default poll interval: a wait sleeps for at most 90 milliseconds before it polls its ring.
///
/// A record that was sent without a wake-up (`BPF_RB_NO_WAKEUP`) is thus read within 100 milliseconds, on a machine
/// that is not overloaded. If a program is known not to use this flag,
/// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval) can turn polling off.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
pub const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(90);
/// The minimum interval between polls, for a ring whose records are sent without wake-ups.
pub(crate) const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The first and the longest sleep while the head is busy. The sleep is limited because the commit may send no wake-up.
const BUSY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));

/// The rings that a [`Waiter`] waits for: one or several.
pub(crate) trait WaitSource {
    /// Returns the state of the head. Several rings are `Ready` if any is ready, otherwise `Busy` if any is busy,
    /// otherwise `Empty`.
    fn head(&self) -> Result<Head, Corrupt>;

    /// Publishes the position, fences, and returns the state of the head: see
    /// [`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait).
    fn prepare_wait(&mut self) -> Result<Head, Corrupt>;

    /// Adds the fds of the rings to `epoll`.
    fn watch(&self, epoll: &Epoll) -> Result<(), Error>;
}

/// Waits for one ring, or for several rings together.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Created by the first sleep, which adds the rings' fds.
    epoll: Option<Epoll>,
    stop: Option<Stop>,
    /// The maximum sleep before a poll. `None` turns polling off.
    idle_poll_interval: Option<Duration>,
    /// The maximum of the next sleep. It is shorter while polls find records that sent no wake-up.
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
        // With an interval of 0, a wait would poll without a sleep.
        self.idle_poll_interval = time.map(|time| time.max(MIN_POLL_INTERVAL));
        self.next_poll_interval = self.idle_poll_interval.unwrap_or(IDLE_POLL_INTERVAL);
    }

    /// Adapts the poll interval after a sleep that began with an empty ring. If a poll found a record that sent no
    /// wake-up, the interval shortens, because the ring may be full before the next poll. Otherwise it lengthens.
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
            Some(stop) => stop.resume().map_err(system("read", "empty the stopper's pipe")),
            None => Ok(()),
        }
    }

    /// Forgets the watched fds: the next sleep adds them again.
    pub(crate) fn forget(&mut self) {
        self.epoll = None;
    }

    pub(crate) fn wait(&mut self, source: &mut impl WaitSource, timeout: Option<Duration>) -> Result<Wake, Error> {
        if self.is_stopped() {
            return Ok(Wake::Stopped);
        }
        if source.head()? == Head::Ready {
            return Ok(if self.is_stopped_meanwhile()? { Wake::Stopped } else { Wake::Ready });
        }
        // If the deadline overflows `Instant`, the wait has no deadline.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut pause, longest_pause) = BUSY_PAUSE;
        loop {
            let head = match source.prepare_wait()? {
                Head::Busy => spin(source)?,
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
            let woken = self.sleep(source, left.into_iter().chain(limit).min())?;
            if self.is_stopped() {
                return Ok(Wake::Stopped);
            }
            let ready = source.head()? == Head::Ready;
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
            stop.poll().map_err(system("read", "check the stopper's pipe for a stop"))?;
        }
        Ok(self.is_stopped())
    }

    /// Sleeps until the ring sends a wake-up, a stopper is used, or the time is up. A signal ends the sleep as well,
    /// and so does an earlier wake-up for records that are already read. So the caller checks the head again. Returns
    /// whether a wake-up of the ring ended the sleep.
    fn sleep(&mut self, source: &impl WaitSource, timeout: Option<Duration>) -> Result<bool, Error> {
        let epoll = match &self.epoll {
            Some(epoll) => epoll,
            None => {
                let epoll = new_epoll()?;
                source.watch(&epoll)?;
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
        .add(ring, interest, token, "watches the ring for wake-ups (edge-triggered), not for unread data")
        .map_err(system("epoll_ctl", "watch a ring"))
}

/// Adds the reading end of the stopper's pipe to `epoll`.
fn watch_stop(epoll: &Epoll, stop: &Stop) -> Result<(), Error> {
    epoll
        .add(stop.fd(), Interest::ReadableEdge, STOP, "lets a stopper end the wait")
        .map_err(system("epoll_ctl", "watch the stopper's pipe"))
}

/// Sleeps until a watched fd becomes ready, a signal arrives, or the time is up.
pub(crate) fn sleep(epoll: &Epoll, timeout: Option<Duration>, woken: impl FnMut(u64)) -> Result<(), Error> {
    epoll
        .wait(timeout, "sleeps until the kernel sends a wake-up", woken)
        .map_err(system("epoll_wait", "wait for a ring"))
        .map(drop)
}

/// Checks a busy head up to [`SPINS`] times. Returns its last state.
fn spin(source: &impl WaitSource) -> Result<Head, Error> {
    for _ in 0..SPINS {
        let head = source.head()?;
        if head != Head::Busy {
            return Ok(head);
        }
        std::hint::spin_loop();
    }
    Ok(Head::Busy)
}
