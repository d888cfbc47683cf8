//! The summary of a trace: calls, failures, latencies, and the hosts and commands with the most calls.
//!
//! ```text
//!     histogram.rs   latencies: powers of two, each in 16 steps
//!     top.rs         calls by name
//!     table.rs       the summary as text of 80 columns
//!     json.rs        the summary as a JSON object
//! ```

mod histogram;
mod json;
mod table;
mod top;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cutaway_programs::getaddrinfo::DecodedEvent;

use self::{histogram::Histogram, top::Top};
use crate::{args::Format, error::CliError, signals};

/// The calls of a period.
pub(super) struct Summary {
    began: Instant,
    calls: u64,
    /// Failed calls by return value.
    errors: BTreeMap<i32, u64>,
    latency: Histogram,
    hosts: Top,
    commands: Top,
}

/// The period that a summary covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
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
    fn new() -> Self {
        Self {
            began: Instant::now(),
            calls: 0,
            errors: BTreeMap::new(),
            latency: Histogram::default(),
            hosts: Top::default(),
            commands: Top::default(),
        }
    }

    fn add(&mut self, event: &DecodedEvent<'_>) {
        let call = &event.call;
        let failed = call.ret != 0;
        self.calls += 1;
        if failed {
            *self.errors.entry(call.ret).or_default() += 1;
        }
        self.latency.add(call.latency_ns);
        self.hosts.add(event.node.into(), failed, call.latency_ns);
        self.commands.add(cutaway_programs::getaddrinfo::Text::Whole(event.comm).into(), failed, call.latency_ns);
    }

    fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Formats the summary in this format.
    fn text(&self, moment: &Moment, format: Format) -> Result<String, CliError> {
        match format {
            Format::Table => Ok(table::text(self, moment)),
            Format::Json => Ok(json::line(self, moment)? + "\n"),
        }
    }
}

/// The summaries of a trace, and when to print them.
pub(super) struct Summaries {
    trace: Summary,
    interval: Option<Interval>,
    /// Set by SIGUSR1.
    requested: Arc<AtomicBool>,
}

/// The current interval.
struct Interval {
    length: Duration,
    next: Instant,
    summary: Summary,
    /// Events that were lost before it began.
    lost_before: u64,
}

impl Summaries {
    /// Starts to count, and listens for SIGUSR1, which calls `wake`.
    pub(super) fn new(interval: Option<Duration>, wake: impl Fn() + Send + 'static) -> Result<Self, CliError> {
        let requested = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&requested);
        let on_request = move || {
            // ATOMICS: only the flag itself passes from thread to thread; `wake` orders everything else.
            flag.store(true, Ordering::Relaxed);
            wake();
        };
        signals::on_user_signal(on_request).map_err(|error| CliError::system("listen for SIGUSR1", &error))?;
        let interval = interval.map(|length| Interval {
            length,
            next: Instant::now() + length,
            summary: Summary::new(),
            lost_before: 0,
        });
        Ok(Self { trace: Summary::new(), interval, requested })
    }

    pub(super) fn add(&mut self, event: &DecodedEvent<'_>) {
        self.trace.add(event);
        if let Some(interval) = &mut self.interval {
            interval.summary.add(event);
        }
    }

    /// Returns when the next summary of an interval is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.interval.as_ref().map(|interval| interval.next)
    }

    /// Returns the period of a summary that is due now, if there is one. A request is then forgotten.
    pub(super) fn due(&self) -> Option<Period> {
        // ATOMICS: pairs with the store of the signal's thread; see `new`.
        if self.requested.swap(false, Ordering::Relaxed) {
            return Some(Period::Trace);
        }
        self.next().filter(|next| *next <= Instant::now()).map(|_| Period::Interval)
    }

    /// Formats the summary of a period, and begins the next interval. `lost` is the number of all events lost so far.
    pub(super) fn take(
        &mut self,
        period: Period,
        lost: u64,
        format: Format,
        (time_ns, time): (u64, Option<String>),
    ) -> Result<String, CliError> {
        let moment = |lost| Moment { period, time_ns, time, lost };
        match (&mut self.interval, period) {
            (Some(interval), Period::Interval) => {
                let text = interval.summary.text(&moment(lost.saturating_sub(interval.lost_before)), format)?;
                // A late summary does not shift those that follow, and none is made up for.
                interval.next = following(interval.next, interval.length, Instant::now());
                (interval.summary, interval.lost_before) = (Summary::new(), lost);
                Ok(text)
            }
            _ => self.trace.text(&moment(lost), format),
        }
    }
}

/// Returns the first time after `now` that is a multiple of `length` after `due`.
fn following(due: Instant, length: Duration, now: Instant) -> Instant {
    let missed = now.saturating_duration_since(due).as_nanos() / length.as_nanos().max(1);
    let next = u32::try_from(missed + 1).ok().and_then(|count| due.checked_add(length.checked_mul(count)?));
    next.unwrap_or(now + length)
}

/// Returns an error for a summary that cannot be written.
pub(super) fn write_failed(error: &io::Error) -> CliError {
    CliError::system("write to stdout", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_summary_does_not_shift_the_next() {
        let (due, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(following(due, second, due), due + second);
        assert_eq!(following(due, second, due + second / 2), due + second);
        assert_eq!(following(due, second, due + second * 7 / 2), due + second * 4);
        let (tiny, late) = (Duration::from_nanos(1), due + second * 10);
        assert_eq!(following(due, tiny, late), late + tiny);
    }
}
