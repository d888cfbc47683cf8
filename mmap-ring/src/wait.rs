//! Sleeping until a ring has something, and being stopped meanwhile.
//!
//! One epoll instance watches the ring and the stopper's pipe, edge-triggered:
//! only a wake-up ends a sleep, not the mere fact that the ring holds a record.
//! That is what lets a consumer sleep behind a record that is reserved and not
//! yet committed, where a level-triggered wait would return at once, over and
//! over. It makes the order of things in [`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait) a duty and
//! not a courtesy: a wake-up that the producer did not send is made up for only by the next look on a timer
//! ([`IDLE_POLL_INTERVAL`]).

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::consumer::Head;
use crate::error::{Corrupt, Error, system};

use cutaway_sys::epoll::{Epoll, Interest};
use cutaway_sys::stop::Stop;
pub use cutaway_sys::{Stopper, Wake};

/// The stopper's name in epoll; rings have their index.
const STOP: u64 = u64::MAX;
/// After so many looks that led to no sleep, ask whether a stop came in by the
/// stopper's fd.
const ASK_EVERY: u32 = 64;
/// How often to look at a busy head before sleeping behind it: most producers
/// take well under a microsecond.
const SPINS: u32 = 128;
/// How long a wait sleeps at most before it looks at its ring by itself, unless it is told another time: 90
/// milliseconds, so that a record which was sent without a wake-up (`BPF_RB_NO_WAKEUP`) is read within 100 milliseconds
/// on a machine that is not overloaded.
///
/// A program's author may know that each record sends its wake-up. Then
/// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval) turns the looks off.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
pub const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(90);
/// How soon a ring is looked at whose records come without wake-ups.
pub(crate) const LOOK_LEAST: Duration = Duration::from_millis(1);
/// The first and the longest sleep behind a busy head that nobody wakes.
const BUSY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));

/// What can be slept for: one ring or several.
pub(crate) trait Sleeper {
    /// What there is at the head; of several rings, the most there is at any.
    fn head(&self) -> Result<Head, Corrupt>;

    /// Publishes, fences, looks: see [`Consumer::prepare_wait`](crate::consumer::Consumer::prepare_wait).
    fn prepare_wait(&mut self) -> Result<Head, Corrupt>;

    /// Adds the fds to wait for.
    fn watch(&self, epoll: &Epoll) -> Result<(), Error>;
}

/// How one ring sleeps, or several together.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Made by the first sleep, with the rings in it.
    epoll: Option<Epoll>,
    stop: Option<Stop>,
    /// How long to sleep at most before a look; `None` for ever.
    idle_poll_interval: Option<Duration>,
    /// The same for the next sleep: shorter while looks find what no wake-up told of.
    look_in: Duration,
    at_once: u32,
    sleeps: u64,
    wakeups: u64,
}

impl Default for Waiter {
    fn default() -> Self {
        Self {
            epoll: None,
            stop: None,
            idle_poll_interval: Some(IDLE_POLL_INTERVAL),
            look_in: IDLE_POLL_INTERVAL,
            at_once: 0,
            sleeps: 0,
            wakeups: 0,
        }
    }
}

impl Waiter {
    pub(crate) fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        // Without any sleep between two looks it would never sleep at all.
        self.idle_poll_interval = time.map(|time| time.max(LOOK_LEAST));
        self.look_in = self.idle_poll_interval.unwrap_or(IDLE_POLL_INTERVAL);
    }

    /// A sleep in front of an empty ring is over. A program that sends no wake-ups is looked at the more often, the
    /// more its records are found by looking alone, for its ring may be full before the next look.
    fn looked(&mut self, woken: bool, ready: bool) {
        let Some(every) = self.idle_poll_interval else { return };
        let next = if ready && !woken { LOOK_LEAST.max(self.look_in / 4) } else { self.look_in.saturating_mul(2) };
        self.look_in = next.min(every);
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
        let stop = Stop::new().map_err(system("pipe2", "make a stopper"))?;
        if let Some(epoll) = &self.epoll {
            watch_stop(epoll, &stop)?;
        }
        let stopper = stop.stopper();
        self.stop = Some(stop);
        Ok(stopper)
    }

    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        match &mut self.stop {
            Some(stop) => stop.resume().map_err(system("read", "ask for a stop")),
            None => Ok(()),
        }
    }

    /// Forgets what it watches: the next sleep watches anew.
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
        // A time-out too long for the clock is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mut pause, longest_pause) = BUSY_PAUSE;
        loop {
            let head = match sleeper.prepare_wait()? {
                Head::Busy => spin(sleeper)?,
                head => head,
            };
            let limit = match head {
                Head::Ready => return Ok(Wake::Ready),
                Head::Empty => self.idle_poll_interval.and(Some(self.look_in)),
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
                self.looked(woken, ready);
            }
            if ready {
                return Ok(Wake::Ready);
            }
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_stopped)
    }

    /// Whether there was a stop, for those that do not sleep: a ring that always has records never does, so a stop that
    /// came by the fd alone has to be asked for, now and then.
    pub(crate) fn is_stopped_meanwhile(&mut self) -> Result<bool, Error> {
        self.at_once = self.at_once.wrapping_add(1);
        if self.at_once.is_multiple_of(ASK_EVERY)
            && let Some(stop) = &mut self.stop
        {
            stop.poll().map_err(system("read", "ask for a stop"))?;
        }
        Ok(self.is_stopped())
    }

    /// Sleeps until the ring or the stopper wakes it, or the time is up. Also
    /// ends on a signal and on an edge of long ago: the caller looks again. Returns whether the ring woke it.
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
    Epoll::new("makes the object that waits for the ring and for a stop at the same time")
        .map_err(system("epoll_create1", "wait for a ring"))
}

/// Watches a ring.
pub(crate) fn watch_ring(epoll: &Epoll, ring: BorrowedFd<'_>, interest: Interest, token: u64) -> Result<(), Error> {
    epoll
        .add(ring, interest, token, "asks to be told of wake-ups, but not of what is merely there")
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

/// Looks at a busy head for a moment.
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
