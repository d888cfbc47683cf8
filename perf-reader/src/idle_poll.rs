//! Polls for records that the kernel announces to no reader. (Whether a busy reader sleeps or polls is decided in
//! `wakeup_policy.rs`.)
//!
//! With a wake-up for every record, a buffer that wakes no reader is empty. With any other [`Wakeup`] the last records
//! of a burst stay below the threshold (`perf_output_begin` and `__perf_event_output` in `kernel/events`), and in a
//! silent buffer they would wait for ever. So a wait looks by itself, on a timer.

use std::time::{Duration, Instant};

use crate::options::Wakeup;

/// How long a record waits at most before [`PerCpuBuffers::wait`](crate::PerCpuBuffers::wait) and
/// [`AdaptiveReader::wait`](crate::AdaptiveReader::wait) find it without a wake-up, unless they are told another time:
/// 90 milliseconds, so that it is read within 100 milliseconds on a machine that is not overloaded.
///
/// They look only where the options ask for fewer wake-ups than one for each record. An idle reader then wakes up 11
/// times a second, and otherwise not at all.
pub const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(90);

/// Without any sleep between two looks a wait would never sleep at all.
const LEAST: Duration = Duration::from_millis(1);

/// When to look next.
#[derive(Debug)]
pub(crate) struct IdlePoll {
    every: Option<Duration>,
    last: Instant,
}

impl IdlePoll {
    /// Polls every [`IDLE_POLL_INTERVAL`] if records can come without a wake-up, otherwise never.
    pub(crate) fn for_wakeup(wakeup: Wakeup) -> Self {
        let every = (wakeup != Wakeup::Events(1)).then_some(IDLE_POLL_INTERVAL);
        Self { every, last: Instant::now() }
    }

    pub(crate) fn set(&mut self, every: Option<Duration>) {
        self.every = every.map(|every| every.max(LEAST));
    }

    /// Notes that all buffers are looked at now.
    #[inline]
    pub(crate) fn looked(&mut self) {
        // Spares readers that need no looks the question for the time.
        if self.every.is_some() {
            self.last = Instant::now();
        }
    }

    /// Returns a time that is over, for what has to be read at once.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    /// Returns the time of the next look; `None` if looks are turned off.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.last.checked_add(self.every?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_records_can_come_without_a_wake_up() {
        assert_eq!(IdlePoll::for_wakeup(Wakeup::Events(1)).at(), None);
        for wakeup in [Wakeup::Events(0), Wakeup::Events(2), Wakeup::Bytes(0), Wakeup::Bytes(1), Wakeup::Bytes(4096)] {
            let idle_poll = IdlePoll::for_wakeup(wakeup);
            assert_eq!(idle_poll.at(), Some(idle_poll.last + IDLE_POLL_INTERVAL), "{wakeup:?}");
        }
    }

    #[test]
    fn a_look_puts_off_the_next() {
        let mut idle_poll = IdlePoll::for_wakeup(Wakeup::Events(2));
        let first = idle_poll.at().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        idle_poll.looked();
        assert!(idle_poll.at().unwrap() > first);
        idle_poll.set(Some(Duration::ZERO));
        assert_eq!(idle_poll.at(), Some(idle_poll.last + LEAST));
        idle_poll.set(None);
        assert_eq!(idle_poll.at(), None);
        // A time too long for the clock turns them off as well.
        idle_poll.set(Some(Duration::MAX));
        assert_eq!(idle_poll.at(), None);
    }
}
