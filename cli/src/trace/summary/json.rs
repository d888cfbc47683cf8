//! The summary as a JSON object on one line. Its first key is `summary`, which no event has.

use serde::Serialize;

use super::{
    super::words::{gai_strerror, result},
    counts::{Moment, Period, Summary},
    top::{Calls, Name, Top},
};
use crate::{error::CliError, terminal};

/// Names in each of the two lists, at most.
const MOST: usize = 100;

#[derive(Serialize)]
struct Json<'a> {
    /// `trace` or `interval`.
    summary: &'static str,
    /// The end of the period.
    time_ns: u64,
    time: Option<&'a str>,
    /// The length of the period in seconds.
    seconds: f64,
    calls: u64,
    failed: u64,
    /// Null if unknown: the end of a recording is missing.
    lost: Option<u64>,
    errors: Vec<Failures>,
    /// Failed calls with return values that are not in the list.
    other_errors: u64,
    /// Null without a call.
    latency_ns: Option<Latency>,
    hosts: Vec<Entry<'a>>,
    /// Calls for hosts that are not in the list.
    other_hosts: u64,
    commands: Vec<Entry<'a>>,
    other_commands: u64,
}

#[derive(Serialize)]
struct Failures {
    ret: i32,
    name: String,
    error: String,
    calls: u64,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    histogram: Vec<Bucket>,
}

#[derive(Serialize)]
struct Bucket {
    from: u64,
    to: u64,
    calls: u64,
}

#[derive(Serialize)]
struct Entry<'a> {
    /// Null for calls without a host, and if it could not be read.
    name: Option<&'a str>,
    /// The name is longer.
    cut: bool,
    unreadable: bool,
    calls: u64,
    failed: u64,
    mean_ns: u64,
    max_ns: u64,
}

/// Formats the summary, without a line feed.
pub(super) fn line(summary: &Summary, moment: &Moment) -> Result<String, CliError> {
    let (hosts, other_hosts) = entries(&summary.hosts);
    let (commands, other_commands) = entries(&summary.commands);
    let failures = |(&ret, &calls): (&i32, &u64)| Failures { ret, name: result(ret), error: gai_strerror(ret), calls };
    terminal::json(&Json {
        summary: match moment.period {
            Period::Trace => "trace",
            Period::Interval => "interval",
        },
        time_ns: moment.time_ns,
        time: moment.time.as_deref(),
        seconds: summary.seconds(moment),
        calls: summary.calls,
        failed: summary.failed(),
        lost: moment.lost,
        errors: summary.errors.iter().map(failures).collect(),
        other_errors: summary.other_errors,
        latency_ns: latency(summary),
        hosts,
        other_hosts,
        commands,
        other_commands,
    })
}

fn latency(summary: &Summary) -> Option<Latency> {
    let latency = &summary.latency;
    let percentile = |percent| latency.percentile(percent);
    let buckets = latency.buckets().into_iter();
    Some(Latency {
        p50: percentile(50)?,
        p90: percentile(90)?,
        p99: percentile(99)?,
        max: latency.max()?,
        histogram: buckets.map(|bucket| Bucket { from: bucket.from, to: bucket.to, calls: bucket.count }).collect(),
    })
}

fn entries(top: &Top) -> (Vec<Entry<'_>>, u64) {
    let (most, others) = top.most(MOST);
    (most.into_iter().map(|(name, calls)| entry(name, calls)).collect(), others)
}

fn entry(name: &Name, calls: Calls) -> Entry<'_> {
    let (text, cut, unreadable) = match name {
        Name::Null => (None, false, false),
        Name::Unreadable => (None, false, true),
        Name::Whole(text) => (Some(text.as_str()), false, false),
        Name::Cut(text) => (Some(text.as_str()), true, false),
    };
    let mean_ns = calls.mean_ns();
    let Calls { calls, failed, max_ns, .. } = calls;
    Entry { name: text, cut, unreadable, calls, failed, mean_ns, max_ns }
}
