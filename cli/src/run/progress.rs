//! A line on stderr with the received records and their rate, while stdout is written to a file or a pipe.
//!
//! It is shown only if stderr is a terminal and stdout is not. A line in a log file would be noise.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use crate::diagnostics;

/// Interval between two updates.
const INTERVAL: Duration = Duration::from_secs(1);

/// The line, and what it showed last.
pub(super) struct Progress {
    next: Instant,
    last: (Instant, u64),
}

impl Progress {
    /// Returns `None` if the line is not shown.
    pub(super) fn start() -> Option<Self> {
        let shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let now = Instant::now();
        shown.then(|| Self { next: now, last: (now, 0) })
    }

    /// Returns the time of the next update.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Shows these numbers, if an update is due.
    pub(super) fn update(&mut self, received: u64, printed: Option<u64>) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let (since, before) = self.last;
        let line = line(received, printed, rate(received.saturating_sub(before), now.duration_since(since)));
        diagnostics::show_status(&line);
        (self.next, self.last) = (now + INTERVAL, (now, received));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        diagnostics::clear_status();
    }
}

/// Returns records per second.
fn rate(records: u64, time: Duration) -> u64 {
    if time.is_zero() { 0 } else { (records as f64 / time.as_secs_f64()) as u64 }
}

fn line(received: u64, printed: Option<u64>, rate: u64) -> String {
    let printed = printed.map_or_else(String::new, |printed| format!(", printed {printed}"));
    format!("received {received}{printed} ({rate}/s)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_count_and_rate() {
        assert_eq!(line(12, None, rate(12, Duration::from_secs(3))), "received 12 (4/s)");
        assert_eq!(line(12, Some(5), rate(12, Duration::ZERO)), "received 12, printed 5 (0/s)");
    }
}
