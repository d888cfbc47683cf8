//! The calls of a period, counted.

use std::{collections::BTreeMap, time::Instant};

use cutaway_programs::getaddrinfo::{DecodedEvent, Text};

use super::{histogram::Histogram, top::Top};

/// The calls of a period.
pub(super) struct Summary {
    pub(super) began: Instant,
    pub(super) calls: u64,
    /// Failed calls by return value.
    pub(super) errors: BTreeMap<i32, u64>,
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
    pub(super) lost: u64,
}

impl Summary {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            calls: 0,
            errors: BTreeMap::new(),
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
            *self.errors.entry(call.ret).or_default() += 1;
        }
        self.latency.add(call.latency_ns);
        self.hosts.add(event.node.into(), failed, call.latency_ns);
        self.commands.add(Text::Whole(event.comm).into(), failed, call.latency_ns);
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}
