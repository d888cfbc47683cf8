//! The time of day of an event.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use cutaway_sys::clock::monotonic_ns;
use jiff::{Timestamp, tz::TimeZone};

/// Converts `CLOCK_MONOTONIC` to the time of day.
pub(crate) struct Clock {
    /// The time of day at 0 of the monotonic clock.
    zero: SystemTime,
    /// Read when a local time is asked for: finding it may read the list of all time zones.
    zone: LazyLock<TimeZone>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { zero: zero(), zone: LazyLock::new(TimeZone::system) }
    }

    /// Compares the two clocks again. Their difference changes when the time of day is set, and while the machine is
    /// suspended.
    pub(super) fn adapt(&mut self) {
        self.zero = zero();
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
        let time = self.zero.checked_add(Duration::from_nanos(time_ns))?;
        Timestamp::try_from(time).ok()
    }
}

/// Returns the time of day at 0 of the monotonic clock.
fn zero() -> SystemTime {
    let now = Duration::from_nanos(monotonic_ns());
    SystemTime::now().checked_sub(now).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fixed_form() {
        let mut clock = Clock { zero: SystemTime::UNIX_EPOCH, zone: LazyLock::new(|| TimeZone::UTC) };
        assert_eq!(clock.utc(1_500_000_000).as_deref(), Some("1970-01-01T00:00:01.500000000Z"));
        assert_eq!(clock.local(3_723_004_999_999, true), "01:02:03.004");
        assert_eq!(clock.local(3_723_004_999_999, false), "01:02:03");
        clock.adapt();
        let year = clock.utc(monotonic_ns()).unwrap();
        assert!(year.as_str() > "2026", "{year}");
    }
}
