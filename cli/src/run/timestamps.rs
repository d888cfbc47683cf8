//! The wall-clock time of records, for `--timestamps`.
//!
//! A record of a perf buffer has the time at which the kernel stored it, in nanoseconds of `CLOCK_MONOTONIC`. A record
//! of a ring has none, so its time is that of its reception. The kernel's time is converted by the difference of the
//! two clocks at reception, because the wall clock may be adjusted during a run.

use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};

use crate::moment::Moment;

/// Converts the times of records.
pub(super) struct Clock {
    /// Read when a local time is asked for: finding it may read the list of all time zones.
    zone: LazyLock<TimeZone>,
    /// The time of reception.
    received: Moment,
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
    /// Returns a clock for records that are received at this moment.
    pub(super) fn at(received: Moment) -> Self {
        Self { zone: LazyLock::new(TimeZone::system), received }
    }

    /// Notes that the records that follow are received at this moment.
    pub(super) fn receive(&mut self, now: Moment) {
        self.received = now;
    }

    /// Returns the time of a record that the kernel stored at `time_ns`, if it has this time.
    pub(super) fn time(&self, time_ns: Option<u64>) -> Time {
        let at = self.received.wall(time_ns.unwrap_or(self.received.monotonic_ns));
        Time { at, by_kernel: time_ns.is_some() }
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
        let received = Moment { monotonic_ns: 100_000_000_000, wall_ns: 1_000_000_000_000_000_000 };
        let clock = Clock { zone: LazyLock::new(|| TimeZone::UTC), received };
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
