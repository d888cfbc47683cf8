//! When a [`Poller`](super::Poller) checks rings without a wake-up, for records that were sent without one.

use std::time::Duration;

/// The longest time that a record without a wake-up stays unnoticed: 90 milliseconds, so that it is read within 100
/// milliseconds on a machine that is not overloaded.
const POLL_INTERVAL: Duration = Duration::from_millis(90);
/// The shortest interval between two checks. With an interval of 0 a wait would never sleep.
const LEAST: Duration = Duration::from_millis(1);
/// The first and the longest sleep while a record is reserved and not committed. Its commit sends a wake-up unless the
/// program suppresses that.
const BUSY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));

#[derive(Debug)]
pub(super) struct Timers {
    interval: Option<Duration>,
    /// The time until the next check: shorter than the interval while checks find records without a wake-up.
    next: Duration,
    pause: Duration,
    /// The last sleep ended without a wake-up.
    timed_out: bool,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { interval: Some(POLL_INTERVAL), next: POLL_INTERVAL, pause: BUSY.0, timed_out: false }
    }

    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval.map(|interval| interval.max(LEAST));
        self.next = self.interval.unwrap_or(POLL_INTERVAL);
    }

    /// Notes that a sleep has ended.
    pub(super) fn slept(&mut self, woken: bool) {
        self.timed_out = !woken;
    }

    /// Notes that the rings have been checked. A ring that is ready without a wake-up may be full before the next
    /// check, so the interval shrinks.
    pub(super) fn checked(&mut self, ready: bool) {
        if !std::mem::take(&mut self.timed_out) {
            return;
        }
        let next = if ready { LEAST.max(self.next / 4) } else { self.next.saturating_mul(2) };
        self.next = next.min(self.interval.unwrap_or(POLL_INTERVAL));
    }

    /// Returns the longest time to sleep with respect to rings. `busy`: the record at the head of one is reserved and
    /// not committed.
    pub(super) fn limit(&mut self, busy: bool) -> Option<Duration> {
        let next_check = self.interval.map(|_| self.next);
        if !busy {
            self.pause = BUSY.0;
            return next_check;
        }
        let pause = self.pause;
        self.pause = BUSY.1.min(pause * 2);
        Some(next_check.map_or(pause, |next| next.min(pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn interval_shrinks_on_records_and_grows_without() {
        let mut timers = Timers::new();
        let check = |timers: &mut Timers, ready| {
            timers.slept(false);
            timers.checked(ready);
            timers.limit(false).unwrap()
        };
        assert_eq!(timers.limit(false), Some(POLL_INTERVAL));
        assert_eq!(check(&mut timers, true), POLL_INTERVAL / 4);
        (0..4).for_each(|_| assert!(check(&mut timers, true) >= LEAST));
        assert_eq!(timers.limit(false), Some(LEAST));
        assert_eq!(check(&mut timers, false), 2 * MS);
        (0..10).for_each(|_| assert!(check(&mut timers, false) <= POLL_INTERVAL));
        assert_eq!(timers.limit(false), Some(POLL_INTERVAL));
        // Records reported by a wake-up do not shrink the interval.
        timers.slept(true);
        timers.checked(true);
        assert_eq!(timers.limit(false), Some(POLL_INTERVAL));
    }

    #[test]
    fn busy_head_is_checked_in_growing_pauses() {
        let mut timers = Timers::new();
        let pauses: Vec<_> = (0..6).map(|_| timers.limit(true).unwrap()).collect();
        assert_eq!(pauses, [MS, 2 * MS, 4 * MS, 8 * MS, 16 * MS, 16 * MS]);
        timers.limit(false);
        assert_eq!(timers.limit(true), Some(MS));
    }

    #[test]
    fn checks_can_be_turned_off_and_always_sleep() {
        let mut timers = Timers::new();
        timers.set_interval(None);
        assert_eq!((timers.limit(false), timers.limit(true)), (None, Some(MS)));
        timers.set_interval(Some(Duration::ZERO));
        assert_eq!(timers.limit(false), Some(LEAST));
    }
}
