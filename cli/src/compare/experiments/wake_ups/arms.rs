//! The compared readers, and the data that is measured for each.

use std::time::Duration;

use cutaway_programs::compare::Transport;

use crate::compare::readers::Waiting;

/// Interval at which the map is polled.
pub(super) const TIMER: Duration = Duration::from_millis(1);
/// Events a second at the rate of the verdict, at which the reader mostly waits.
pub(super) const IDLE: u32 = 100;

/// A reader and how it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    RingEpoll,
    RingTrailing,
    RingBusy,
    PerfEpoll,
    PerfTwins,
    PerfBusy,
    MapTimer,
}

impl Who {
    pub(super) const ALL: [Self; 7] = [
        Self::RingEpoll,
        Self::RingTrailing,
        Self::RingBusy,
        Self::PerfEpoll,
        Self::PerfTwins,
        Self::PerfBusy,
        Self::MapTimer,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RingEpoll => "ring, epoll",
            Self::RingTrailing => "ring, trailing release",
            Self::RingBusy => "ring, busy polling",
            Self::PerfEpoll => "perf, epoll",
            Self::PerfTwins => "perf, twin events",
            Self::PerfBusy => "perf, busy polling",
            Self::MapTimer => "map, polled every 1 ms",
        }
    }

    /// Returns the buffer and the kind of wait; `None` for the map, which has no buffer.
    pub(super) fn buffer(self, control: bool) -> Option<(Transport, Waiting)> {
        // The control's epoll readers sleep on a timer.
        let epoll = if control { Waiting::Timer(5 * TIMER) } else { Waiting::Epoll(1) };
        Some(match self {
            Self::RingEpoll => (Transport::Reserve, epoll),
            Self::RingTrailing => (Transport::Reserve, Waiting::Quiet),
            Self::RingBusy => (Transport::Reserve, Waiting::Busy),
            Self::PerfEpoll => (Transport::Stack, epoll),
            Self::PerfTwins => (Transport::Stack, Waiting::Quiet),
            Self::PerfBusy => (Transport::Stack, Waiting::Busy),
            Self::MapTimer => return None,
        })
    }
}

/// Buckets of ages: up to half a minute.
pub(super) const BUCKETS: usize = 36;

/// The data of one measurement.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Times that the reader went to sleep and was woken, a second.
    pub(super) wake_ups: f64,
    /// CPU time of the reader, in percent.
    pub(super) cpu: f64,
    /// Median of the ages of events, in microseconds.
    pub(super) median: f64,
    /// Their 99th percentile, in microseconds.
    pub(super) late: f64,
    /// Nanoseconds that an event costs the program.
    pub(super) cost: f64,
    /// Lost events in percent.
    pub(super) lost: f64,
    /// Events a second, as they were sent.
    pub(super) rate: f64,
    /// Counts of events by age: bucket `n` has ages below 2^n nanoseconds.
    pub(super) ages: Vec<u64>,
}
