//! A timer of the loop that prints records.

use std::time::{Duration, Instant};

/// A point in time that recurs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    next: Instant,
    every: Duration,
}

impl Tick {
    /// Makes a timer that is due at once.
    pub(super) fn now(every: Duration) -> Self {
        Self { next: Instant::now(), every }
    }

    /// Makes a timer that is due after `every`.
    pub(super) fn after(every: Duration) -> Self {
        let now = Instant::now();
        Self { next: now.checked_add(every).unwrap_or(now), every }
    }

    /// Returns when it is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Returns whether it is due, and if so waits for the next time. Missed times are skipped.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = self.next.checked_add(self.every).filter(|next| *next > now).unwrap_or(now + self.every);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_is_due_once_for_each_interval() {
        let mut tick = Tick::now(Duration::from_secs(1000));
        assert!(tick.is_due());
        assert!(!tick.is_due());
        assert!(!Tick::after(Duration::from_secs(1000)).is_due());
        let mut late = Tick { next: Instant::now(), every: Duration::from_nanos(1) };
        assert!(late.is_due());
        assert!(late.next() > Instant::now() - Duration::from_secs(1));
    }
}
