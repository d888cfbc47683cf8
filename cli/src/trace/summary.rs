//! The summary of a trace: calls, failures, latencies, and the hosts and commands with the most calls.
//!
//! ```text
//!     counts.rs      the calls of a period
//!     histogram.rs   latencies: powers of two, each in 16 steps
//!     top.rs         calls by name
//!     table.rs       the summary as text of 80 columns
//!     json.rs        the summary as a JSON object
//! ```

mod counts;
mod histogram;
mod json;
mod table;
mod top;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cutaway_programs::getaddrinfo::DecodedEvent;
use cutaway_sys::clock::monotonic_ns;

pub(super) use self::counts::Period;
use self::counts::{Moment, Summary};
use crate::{args::Format, error::CliError, signals};

/// The summaries of a trace, and when to print them.
pub(super) struct Summaries {
    trace: Summary,
    interval: Option<Interval>,
    requests: Arc<Requests>,
}

/// The requests for a summary, by SIGUSR1.
#[derive(Default)]
pub(super) struct Requests(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    is_requested: bool,
    /// Ends the wait for records, once there is one.
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Requests {
    /// Listens for SIGUSR1 from now on. Before that, the signal ends the process.
    pub(super) fn listen() -> Result<Arc<Self>, CliError> {
        let requests = Arc::new(Self::default());
        let shared = Arc::clone(&requests);
        let on_request = move || {
            let mut pending = shared.lock();
            pending.is_requested = true;
            pending.wake.iter().for_each(|wake| wake());
        };
        signals::on_user_signal(on_request).map_err(|error| CliError::system("listen for SIGUSR1", &error))?;
        Ok(requests)
    }

    /// Calls `wake` for each request from now on, and once for the earlier ones.
    fn call(&self, wake: impl Fn() + Send + 'static) {
        let mut pending = self.lock();
        if pending.is_requested {
            wake();
        }
        pending.wake = Some(Box::new(wake));
    }

    /// Returns whether there was a request since the last call.
    fn take(&self) -> bool {
        std::mem::take(&mut self.lock().is_requested)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// Starts to count. Each request calls `wake`.
    pub(super) fn new(interval: Option<Duration>, requests: Arc<Requests>, wake: impl Fn() + Send + 'static) -> Self {
        requests.call(wake);
        let interval = interval.map(|length| Interval {
            length,
            next: Instant::now() + length,
            summary: Summary::new(monotonic_ns()),
            lost_before: 0,
        });
        Self { trace: Summary::new(monotonic_ns()), interval, requests }
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
        if self.requests.take() {
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
        let moment = |lost| Moment { period, time_ns, time, lost: Some(lost) };
        match (&mut self.interval, period) {
            (Some(interval), Period::Interval) => {
                let text = text(&interval.summary, &moment(lost.saturating_sub(interval.lost_before)), format)?;
                // A late summary does not shift those that follow, and none is made up for.
                interval.next = following(interval.next, interval.length, Instant::now());
                (interval.summary, interval.lost_before) = (Summary::new(time_ns), lost);
                Ok(text)
            }
            _ => text(&self.trace, &moment(lost), format),
        }
    }
}

/// The summary of a recording.
pub(super) struct OfRecording(Summary);

impl OfRecording {
    /// Starts to count. `began_ns` is the begin of the recording, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) fn new(began_ns: u64) -> Self {
        Self(Summary::new(began_ns))
    }

    pub(super) fn add(&mut self, event: &DecodedEvent<'_>) {
        self.0.add(event);
    }

    /// Formats the summary.
    pub(super) fn text(
        &self,
        lost: Option<u64>,
        format: Format,
        (time_ns, time): (u64, Option<String>),
    ) -> Result<String, CliError> {
        text(&self.0, &Moment { period: Period::Trace, time_ns, time, lost }, format)
    }
}

/// Formats a summary.
fn text(summary: &Summary, moment: &Moment, format: Format) -> Result<String, CliError> {
    match format {
        Format::Table => Ok(table::text(summary, moment)),
        Format::Json => Ok(json::line(summary, moment)? + "\n"),
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
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::broken_pipe(),
        _ => CliError::system("write to stdout", error),
    }
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
