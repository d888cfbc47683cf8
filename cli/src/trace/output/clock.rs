//! The time of day of an event.

use std::sync::LazyLock;

use jiff::{Timestamp, tz::TimeZone};

use crate::moment::Moment;

/// Converts `CLOCK_MONOTONIC` to the time of day.
pub(crate) struct Clock {
    /// A moment at which both clocks were read.
    read: Moment,
    /// Read when a local time is asked for: finding it may read the list of all time zones.
    zone: LazyLock<TimeZone>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { read: Moment::now(), zone: LazyLock::new(TimeZone::system) }
    }

    /// Compares the two clocks again, at this moment. Their difference changes when the time of day is set, and while
    /// the machine is suspended.
    pub(super) fn adapt(&mut self, now: Moment) {
        self.read = now;
    }

    /// Returns the moment by which times are converted.
    pub(super) fn moment(&self) -> Moment {
        self.read
    }

    /// Returns the local time of day, with milliseconds if `precise`.
    pub(super) fn local(&self, time_ns: u64, precise: bool) -> String {
        let format = if precise { "%H:%M:%S%.3f" } else { "%H:%M:%S" };
        let time = self.time(time_ns);
        time.map_or_else(|| "?".to_owned(), |time| self.zone.to_datetime(time).strftime(format).to_string())
    }

    /// Returns date and time in UTC, as RFC 3339 has them, with nine digits of a second.
    pub(crate) fn utc(&self, time_ns: u64) -> Option<String> {
        self.time(time_ns).map(|time| format!("{time:.9}"))
    }

    fn time(&self, time_ns: u64) -> Option<Timestamp> {
        self.read.wall(time_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fixed_form() {
        let read = Moment { monotonic_ns: 0, wall_ns: 0 };
        let mut clock = Clock { read, zone: LazyLock::new(|| TimeZone::UTC) };
        assert_eq!(clock.utc(1_500_000_000).as_deref(), Some("1970-01-01T00:00:01.500000000Z"));
        assert_eq!(clock.local(3_723_004_999_999, true), "01:02:03.004");
        assert_eq!(clock.local(3_723_004_999_999, false), "01:02:03");
        clock.adapt(Moment::now());
        let year = clock.utc(Moment::now().monotonic_ns).unwrap();
        assert!(year.as_str() > "2026", "{year}");
    }
}
