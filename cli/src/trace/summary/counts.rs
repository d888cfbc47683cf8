//! The calls of a period, counted.

use std::collections::BTreeMap;

use cutaway_programs::getaddrinfo::{DecodedEvent, Text};

use super::{histogram::Histogram, top::Top};

/// Return values that are counted one by one, at most. A C library has some twenty. A process can have a library of its
/// own, so the memory is limited.
const MOST_ERRORS: usize = 64;

/// The calls of a period.
pub(super) struct Summary {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) began_ns: u64,
    pub(super) calls: u64,
    /// Failed calls by return value.
    pub(super) errors: BTreeMap<i32, u64>,
    /// Failed calls with other return values.
    pub(super) other_errors: u64,
    pub(super) latency: Histogram,
    pub(super) hosts: Top,
    pub(super) commands: Top,
}

/// The period that a summary covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trace) enum Period {
    /// Since the trace began.
    Trace,
    /// Since the summary before.
    Interval,
}

/// The time of a summary, and the events that were lost in its period.
pub(super) struct Moment {
    pub(super) period: Period,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub(super) time_ns: u64,
    /// Date and time in UTC.
    pub(super) time: Option<String>,
    /// `None` if unknown.
    pub(super) lost: Option<u64>,
}

impl Summary {
    pub(super) fn new(began_ns: u64) -> Self {
        Self {
            began_ns,
            calls: 0,
            errors: BTreeMap::new(),
            other_errors: 0,
            latency: Histogram::default(),
            hosts: Top::default(),
            commands: Top::default(),
        }
    }

    pub(super) fn add(&mut self, event: &DecodedEvent<'_>) {
        let call = &event.call;
        let failed = call.ret != 0;
        self.calls += 1;
        if failed {
            let is_full = self.errors.len() >= MOST_ERRORS;
            match self.errors.get_mut(&call.ret) {
                Some(calls) => *calls += 1,
                None if is_full => self.other_errors += 1,
                None => {
                    self.errors.insert(call.ret, 1);
                }
            }
        }
        self.latency.add(call.latency_ns);
        self.hosts.add(event.node.into(), failed, call.latency_ns);
        self.commands.add(Text::Whole(event.comm).into(), failed, call.latency_ns);
    }

    /// Returns the seconds from the begin to this moment.
    pub(super) fn seconds(&self, moment: &Moment) -> f64 {
        moment.time_ns.saturating_sub(self.began_ns) as f64 / 1e9
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.other_errors
    }
}

#[cfg(test)]
mod tests {
    use cutaway_programs::getaddrinfo::Transport;

    use super::*;

    #[test]
    fn return_values_take_limited_memory_and_are_all_counted() {
        let record = vec![0; Transport::Ring.event_size()];
        let mut summary = Summary::new(0);
        for ret in (1..=1000).chain([1, 1000]) {
            let mut event = Transport::Ring.read(&record).unwrap();
            event.call.ret = ret;
            summary.add(&event);
        }
        assert_eq!((summary.errors.len(), summary.errors[&1]), (MOST_ERRORS, 2));
        assert_eq!((summary.calls, summary.failed()), (1002, 1002));
    }
}
