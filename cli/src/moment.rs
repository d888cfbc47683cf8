//! A time by the clock of the kernel's events and by the wall clock.

use std::time::{Duration, SystemTime};

use cutaway_sys::clock::monotonic_ns;
use jiff::Timestamp;

/// The time by both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// `CLOCK_MONOTONIC`.
    pub(crate) monotonic_ns: u64,
    /// Nanoseconds since 1970 in UTC.
    pub(crate) wall_ns: i128,
}

impl Moment {
    /// Reads the clocks.
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now();
        Self { monotonic_ns: monotonic_ns(), wall_ns: since_1970(wall) }
    }

    /// Converts a time of `CLOCK_MONOTONIC` to the wall clock, by the difference of both at this moment. Returns `None`
    /// for a time that is out of the range of a date.
    pub(crate) fn wall(&self, time_ns: u64) -> Option<Timestamp> {
        let zero = self.wall_ns.checked_sub(self.monotonic_ns.into())?;
        Timestamp::from_nanosecond(zero.checked_add(time_ns.into())?).ok()
    }
}

fn since_1970(time: SystemTime) -> i128 {
    let nanoseconds = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(before) => -nanoseconds(before.duration()),
    }
}
