//! The summary as text: at most 80 columns, or fewer in a narrower terminal.

use std::fmt::Write as _;

use super::{
    super::words::{latency, result},
    counts::{Moment, Period, Summary},
    histogram::Bucket,
    top::{Name, Top},
};
use crate::{
    columns::{cut, display_width, right, wrapped},
    terminal,
};

/// The widest line.
const WIDTH: usize = 80;
/// Names in each of the two lists, at most.
const MOST: usize = 5;

/// Formats the summary as lines.
pub(super) fn text(summary: &Summary, moment: &Moment) -> String {
    lines(summary, moment, terminal::width().min(WIDTH))
}

fn lines(summary: &Summary, moment: &Moment, width: usize) -> String {
    let mut text = String::new();
    let period = match moment.period {
        Period::Trace => "since the start",
        Period::Interval => "in this interval",
    };
    let seconds = summary.seconds(moment);
    let calls = if summary.calls == 1 { "call" } else { "calls" };
    let lost = moment.lost.map_or_else(|| "unknown".to_owned(), |lost| lost.to_string());
    let head =
        format!("{} {calls} {period} ({seconds:.1} s), {} failed, {lost} lost", summary.calls, summary.failed(),);
    text.push_str(wrapped(&head, "", width).trim_end());
    text.push('\n');
    if summary.calls == 0 {
        return text;
    }
    if !summary.errors.is_empty() {
        let errors = summary.errors.iter().map(|(ret, calls)| format!("{calls} {}", result(*ret)));
        let others = (summary.other_errors > 0).then(|| format!("{} (others)", summary.other_errors));
        let errors: Vec<_> = errors.chain(others).collect();
        text.push_str(wrapped(&errors.join(", "), "failed   ", width).trim_end());
        text.push('\n');
    }
    let percentile = |percent| summary.latency.percentile(percent).map_or_else(String::new, latency);
    let max = summary.latency.max().map_or_else(String::new, latency);
    let latencies = format!("p50 {}, p90 {}, p99 {}, max {max}", percentile(50), percentile(90), percentile(99));
    text.push_str(wrapped(&latencies, "latency  ", width).trim_end());
    text.push_str("\n\n");
    text.push_str(&histogram(&summary.latency.buckets(), width));
    text.push_str(&names("HOST", &summary.hosts, width));
    text.push_str(&names("COMMAND", &summary.commands, width));
    text
}

/// Draws a bar for each power of two.
fn histogram(buckets: &[Bucket], width: usize) -> String {
    let mut text = "            LATENCY     CALLS\n".to_owned();
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or_default().max(1);
    for Bucket { from, to, count } in buckets {
        let head = format!("{} – {} {count:>9}  ", right(&latency(*from), 8), right(&latency(to.saturating_add(1)), 8));
        let bar = bar(*count, most, width.saturating_sub(display_width(&head)));
        text.push_str((head + &bar).trim_end());
        text.push('\n');
    }
    text
}

/// Returns a bar whose length in columns is `width` for `most`, in eighths of a column. A count above 0 is visible.
fn bar(count: u64, most: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (u128::from(count) * width as u128 * 8).div_ceil(u128::from(most)) as usize;
    let part = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{part}", "█".repeat(eighths / 8))
}

/// Formats the names with the most calls.
fn names(what: &str, top: &Top, width: usize) -> String {
    let mut text = format!("\n{:>9} {:>9} {:>8} {:>8}  {what}\n", "CALLS", "FAILED", "MEAN", "MAX");
    let (most, others) = top.most(MOST);
    for (name, calls) in most {
        let (mean, max) = (latency(calls.mean_ns()), latency(calls.max_ns));
        let head = format!("{:>9} {:>9} {} {}  ", calls.calls, calls.failed, right(&mean, 8), right(&max, 8));
        let shown = match name {
            Name::Null => "-".to_owned(),
            Name::Unreadable => "?".to_owned(),
            Name::Whole(text) => terminal::one_line(text),
            Name::Cut(text) => terminal::one_line(text) + "…",
        };
        let left = width.saturating_sub(display_width(&head));
        let fits = display_width(&shown) <= left;
        let shown = if fits { shown } else { cut(&shown, left.saturating_sub(1)) + "…" };
        text.push_str(&head);
        text.push_str(&shown);
        text.push('\n');
    }
    if others > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{others:>9} {:>28}(others)", "");
    }
    text
}

#[cfg(test)]
mod tests {
    use cutaway_programs::getaddrinfo::{Text, Transport};

    use super::*;

    fn summary() -> Summary {
        let record = vec![0; Transport::Ring.event_size()];
        let mut summary = Summary::new(0);
        for number in 0..1000_u64 {
            let mut event = Transport::Ring.read(&record).unwrap();
            event.comm = b"getent";
            let host = format!("{}.a-host-with-a-long-name-in-a-long-domain.漢字.example.com", number % 7);
            event.node = if number % 10 == 0 { Text::Null } else { Text::Whole(host.as_bytes()) };
            event.call.ret = if number % 4 == 0 { -1 - (number as i32 / 4 % 8) } else { 0 };
            event.call.latency_ns = number * number * 1000;
            summary.add(&event);
        }
        summary
    }

    #[test]
    fn lines_fit_the_width() {
        let summary = summary();
        for period in [Period::Trace, Period::Interval] {
            let moment = Moment { period, time_ns: 0, time: None, lost: Some(u32::MAX.into()) };
            for width in [60, 80] {
                let text = lines(&summary, &moment, width);
                for line in text.lines() {
                    assert!(display_width(line) <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn summary_has_all_counts() {
        let moment = Moment { period: Period::Trace, time_ns: 0, time: None, lost: Some(3) };
        let text = lines(&summary(), &moment, 80);
        for part in [
            "1000 calls since the start (0.",
            " s), 250 failed, 3 lost\n",
            "32 EAI_NONAME",
            "latency  p50 ",
            ", max 998 ms\n",
            "      129        ",
            "     1000       250   333 ms   998 ms  getent\n",
            "(others)\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let empty = lines(&Summary::new(0), &moment, 80);
        assert_eq!(empty, "0 calls since the start (0.0 s), 0 failed, 3 lost\n");
    }

    #[test]
    fn bars_are_proportional_and_visible() {
        assert_eq!(bar(0, 1000, 40), "");
        assert_eq!(bar(1, 1000, 40), "▏");
        assert_eq!(bar(500, 1000, 4), "██");
        assert_eq!(bar(1000, 1000, 3), "███");
        assert_eq!(bar(u64::MAX, u64::MAX, 80).chars().count(), 80);
    }
}
