//! The wall-clock time of records, for `--timestamps`.
//!
//! A record of a perf buffer has the time at which the kernel stored it, in nanoseconds of `CLOCK_MONOTONIC`. A record
//! of a ring has none, so its time is that of its reception. The kernel's time is converted by the difference of the
//! two clocks at reception, because the wall clock may be adjusted during a run.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use cutaway_sys::clock::monotonic_ns;
use jiff::{Timestamp, tz::TimeZone};

/// Converts the times of records.
pub(super) struct Clock {
    /// Read when a local time is asked for: finding it may read the list of all time zones.
    zone: LazyLock<TimeZone>,
    /// The time of reception by both clocks.
    now: SystemTime,
    monotonic: Duration,
}

/// The time of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// `None` if the time is out of the range of a date.
    at: Option<Timestamp>,
    /// Whether the kernel recorded it. Otherwise it is the time of reception.
    by_kernel: bool,
}

impl Clock {
    pub(super) fn new() -> Self {
        let mut clock =
            Self { zone: LazyLock::new(TimeZone::system), now: SystemTime::UNIX_EPOCH, monotonic: Duration::ZERO };
        clock.receive();
        clock
    }

    /// Reads the clocks: the records that follow are received now.
    pub(super) fn receive(&mut self) {
        (self.now, self.monotonic) = (SystemTime::now(), Duration::from_nanos(monotonic_ns()));
    }

    /// Returns the time of a record that the kernel stored at `time_ns`, if it has this time.
    pub(super) fn time(&self, time_ns: Option<u64>) -> Time {
        let stored = time_ns.map(Duration::from_nanos);
        let at = match stored {
            Some(stored) if stored > self.monotonic => self.now.checked_add(stored.saturating_sub(self.monotonic)),
            Some(stored) => self.now.checked_sub(self.monotonic.saturating_sub(stored)),
            None => Some(self.now),
        };
        Time { at: at.and_then(|at| Timestamp::try_from(at).ok()), by_kernel: stored.is_some() }
    }

    /// Formats the local time of day, in microseconds.
    pub(super) fn local(&self, time: Time) -> String {
        let at = time.at.map(|at| self.zone.to_datetime(at).strftime("%H:%M:%S%.6f").to_string());
        at.unwrap_or_else(|| "?".to_owned())
    }
}

impl Time {
    /// Formats the time by RFC 3339, in UTC and nanoseconds, for JSON.
    pub(super) fn rfc3339(self) -> Option<String> {
        self.at.map(|at| format!("{at:.9}"))
    }

    /// Returns the value of `time_is` in JSON.
    pub(super) fn source(self) -> &'static str {
        if self.by_kernel { "stored" } else { "received" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_the_kernel_is_converted_to_the_wall_clock() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let clock = Clock { zone: LazyLock::new(|| TimeZone::UTC), now, monotonic: Duration::from_secs(100) };
        let stored = clock.time(Some(99_999_000_000));
        assert_eq!(stored.rfc3339().unwrap(), "2001-09-09T01:46:39.999000000Z");
        assert_eq!((clock.local(stored), stored.source()), ("01:46:39.999000".to_owned(), "stored"));
        let received = clock.time(None);
        assert_eq!(received.rfc3339().unwrap(), "2001-09-09T01:46:40.000000000Z");
        assert_eq!(received.source(), "received");
        // A record may be stored after the clocks were read.
        assert_eq!(clock.local(clock.time(Some(100_000_001_000))), "01:46:40.000001");
        assert_eq!(clock.time(Some(u64::MAX)).rfc3339().as_deref(), Some("2586-03-30T01:19:33.709551615Z"));
    }
}
