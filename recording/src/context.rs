//! The state that entries refer to. Writer and reader keep the same.

use std::collections::BTreeMap;

use crate::{entry::Start, snapshot::Snapshot};

/// The last clock, and the last snapshot of each buffer.
#[derive(Debug, Default)]
pub(crate) struct Context {
    monotonic_ns: u64,
    /// Wall clock less `CLOCK_MONOTONIC`.
    offset: i128,
    snapshots: BTreeMap<u32, Snapshot>,
}

impl Context {
    pub(crate) fn start(&mut self, start: &Start<'_>) {
        self.clock(start.monotonic_ns, start.wall_ns);
    }

    /// Sets the clock. Returns the differences of both numbers to those before. They are exact for 292 years.
    pub(crate) fn clock(&mut self, monotonic_ns: u64, wall_ns: i128) -> [i64; 2] {
        let offset = wall_ns.saturating_sub(monotonic_ns.into());
        let monotonic = monotonic_ns.wrapping_sub(self.monotonic_ns).cast_signed();
        let difference = offset.saturating_sub(self.offset).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        self.monotonic_ns = monotonic_ns;
        self.offset += i128::from(difference);
        [monotonic, difference]
    }

    /// Sets the clock by the differences. Returns `CLOCK_MONOTONIC` and the wall clock.
    pub(crate) fn advance(&mut self, [monotonic, offset]: [i64; 2]) -> (u64, i128) {
        self.monotonic_ns = self.monotonic_ns.wrapping_add(monotonic.cast_unsigned());
        self.offset = self.offset.saturating_add(offset.into());
        (self.monotonic_ns, self.offset.saturating_add(self.monotonic_ns.into()))
    }

    /// Returns a time as the difference to the clock.
    pub(crate) fn since_clock(&self, time_ns: u64) -> i64 {
        time_ns.wrapping_sub(self.monotonic_ns).cast_signed()
    }

    /// Returns the time with this difference to the clock.
    pub(crate) fn at(&self, difference: i64) -> u64 {
        self.monotonic_ns.wrapping_add(difference.cast_unsigned())
    }

    /// Returns the last snapshot of a buffer. Before the first, it saw an empty buffer at the time of the clock.
    pub(crate) fn before(&self, buffer: u32) -> Snapshot {
        self.snapshots.get(&buffer).cloned().unwrap_or_else(|| Snapshot {
            buffer,
            time_ns: self.monotonic_ns,
            ..Snapshot::default()
        })
    }

    pub(crate) fn keep(&mut self, snapshot: Snapshot) {
        self.snapshots.insert(snapshot.buffer, snapshot);
    }
}
