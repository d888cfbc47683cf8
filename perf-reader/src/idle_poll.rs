//! Schedules polls for records that sent no wake-up. (`wakeup_policy.rs` decides whether a busy reader sleeps or
//! polls.)
//!
//! If every record sends a wake-up, a buffer without a wake-up is empty. With any other [`Wakeup`], the last records of
//! a burst may stay below the threshold of a wake-up (`perf_output_begin` and `__perf_event_output` in
//! `kernel/events`). Without a poll, such records would stay unread until more records come. So a wait also polls, on a
//! timer.

use std::time::{Duration, Instant};

use crate::options::Wakeup;

/// The default interval at which [`PerCpuBuffers::wait`](crate::PerCpuBuffers::wait) and
/// [`AdaptiveReader::wait`](crate::AdaptiveReader::wait) poll for records without a wake-up: 90 milliseconds. So each
/// record is read within 100 milliseconds, on a machine that is not overloaded.
///
/// A wait polls only if the options request fewer wake-ups than one for each record. An idle reader then wakes up 11
/// times a second. Otherwise it does not wake up.
pub const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(90);

/// The minimum interval. With an interval of 0 a wait would never sleep.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The timer of the polls.
#[derive(Debug)]
pub(crate) struct IdlePoll {
    every: Option<Duration>,
    last: Instant,
}

impl IdlePoll {
    /// Creates a timer for every [`IDLE_POLL_INTERVAL`] if records can come without a wake-up, otherwise for no poll.
    pub(crate) fn for_wakeup(wakeup: Wakeup) -> Self {
        let every = (wakeup != Wakeup::Events(1)).then_some(IDLE_POLL_INTERVAL);
        Self { every, last: Instant::now() }
    }

    pub(crate) fn set(&mut self, every: Option<Duration>) {
        self.every = every.map(|every| every.max(MIN_POLL_INTERVAL));
    }

    /// Notes that all buffers are polled now.
    #[inline]
    pub(crate) fn polled(&mut self) {
        // Without polling there is no need to read the clock.
        if self.every.is_some() {
            self.last = Instant::now();
        }
    }

    /// Returns the time of the last poll. The time is in the past, for records that must be read at once.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// Returns the time of the next poll, or `None` if polling is turned off.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.last.checked_add(self.every?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_only_if_records_can_come_without_a_wake_up() {
        assert_eq!(IdlePoll::for_wakeup(Wakeup::Events(1)).at(), None);
        for wakeup in [Wakeup::Events(0), Wakeup::Events(2), Wakeup::Bytes(0), Wakeup::Bytes(1), Wakeup::Bytes(4096)] {
            let idle_poll = IdlePoll::for_wakeup(wakeup);
            assert_eq!(idle_poll.at(), Some(idle_poll.last + IDLE_POLL_INTERVAL), "{wakeup:?}");
        }
    }

    #[test]
    fn poll_postpones_the_next_one() {
        let mut idle_poll = IdlePoll::for_wakeup(Wakeup::Events(2));
        let first = idle_poll.at().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        idle_poll.polled();
        assert!(idle_poll.at().unwrap() > first);
        idle_poll.set(Some(Duration::ZERO));
        assert_eq!(idle_poll.at(), Some(idle_poll.last + MIN_POLL_INTERVAL));
        idle_poll.set(None);
        assert_eq!(idle_poll.at(), None);
        // An interval too long for the clock turns polling off as well.
        idle_poll.set(Some(Duration::MAX));
        assert_eq!(idle_poll.at(), None);
    }
}
