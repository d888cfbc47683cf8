//! Rates and ages, from several snapshots of a buffer: bytes and records a second, and how long the oldest record has
//! waited.
//!
//! Bytes a second follow from the positions. Records a second do not: their headers have to be walked. Headers stay in
//! the data until the writer overwrites them, read or not, so the positions are sampled often and the headers since the
//! last sample are counted. If more records came between two samples than can be counted, the rest is assumed to have
//! the same mean size, and the rate is marked as approximate.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Interval at which the positions are sampled between two snapshots.
pub(crate) const SAMPLE: Duration = Duration::from_millis(20);

/// Number of past fills kept for the curve.
const PAST: usize = 400;

/// Headers walked per sample, at most: about ten microseconds.
const COUNTED: u64 = 4096;

/// The positions of a buffer's reader and writer, in bytes since it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positions {
    /// Start of the oldest unread record.
    pub(crate) oldest: u64,
    /// End of what the reader has released.
    pub(crate) released: u64,
    /// End of what is written or reserved.
    pub(crate) written: u64,
}

/// A buffer whose positions can be sampled at any time.
pub(crate) trait Watched {
    fn positions(&self) -> Positions;

    /// Counts the records that begin between two positions, up to `most`. Returns their number and the bytes they take;
    /// `None` if their headers are overwritten.
    fn tally(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)>;
}

/// The facts of a snapshot that rates are computed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) positions: Positions,
    /// Unread bytes, and the buffer size.
    pub(crate) fill: u64,
    pub(crate) bytes: u64,
    /// Unread records.
    pub(crate) records: u64,
}

/// Records a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RecordRate {
    rate: f64,
    /// Not all records were counted.
    guessed: bool,
}

/// The rates, ages and past fills of one buffer.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Time and facts of the last snapshot.
    last: Option<(Instant, Found)>,
    /// Bytes a second written and released between the last two snapshots.
    pub(crate) written: f64,
    pub(crate) released: f64,
    /// The same in records; `None` while unknown.
    pub(crate) written_records: Option<RecordRate>,
    pub(crate) released_records: Option<RecordRate>,
    count: Count,
    /// Position of the oldest record, and when it was first seen there.
    head: Option<(u64, Instant)>,
    /// Whether that record was there at the first snapshot: then it is older than its measured age.
    older: bool,
    /// Age of the oldest record at the last snapshot, and whether it is at least that.
    age: Option<(Duration, bool)>,
    /// The highest fill since the last snapshot, in bytes.
    peak: u64,
    /// Peaks as fractions of the buffer, one for each snapshot, newest last.
    pub(crate) past: VecDeque<f64>,
}

/// The records written since the last snapshot.
#[derive(Debug, Default)]
struct Count {
    /// Position up to which they are counted.
    to: Option<u64>,
    records: f64,
    guessed: bool,
    /// The number of some records could not even be estimated.
    unknown: bool,
    /// Mean bytes of a record, as last seen.
    mean: Option<f64>,
}

impl Rates {
    /// Samples the positions, which is cheap, and counts new records.
    pub(crate) fn sample(&mut self, of: &impl Watched, now: Instant) {
        let positions = of.positions();
        self.count.up_to(of, positions.written);
        self.peak = self.peak.max(positions.written.wrapping_sub(positions.oldest));
        self.note_oldest(positions, now);
    }

    /// Notes when the oldest record was first seen.
    fn note_oldest(&mut self, positions: Positions, now: Instant) {
        if positions.written == positions.oldest {
            self.head = None;
            self.older = false;
        } else if self.head.is_none_or(|(head, _)| head != positions.oldest) {
            self.older = self.last.is_none() && self.head.is_none();
            self.head = Some((positions.oldest, now));
        }
    }

    /// Updates the rates by a snapshot.
    pub(crate) fn update(&mut self, of: &impl Watched, found: Found, now: Instant) {
        self.count.up_to(of, found.positions.written);
        self.note_oldest(found.positions, now);
        self.age = self.head.map(|(_, since)| (now.saturating_duration_since(since), self.older));
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64().max(1e-6);
            let bytes = |to: u64, from: u64| to.wrapping_sub(from).cast_signed().max(0) as f64 / seconds;
            self.written = bytes(found.positions.written, before.positions.written);
            self.released = bytes(found.positions.released, before.positions.released);
            let Count { guessed, unknown, .. } = self.count;
            let records = |records: f64| (!unknown).then_some(RecordRate { rate: records.max(0.0) / seconds, guessed });
            self.written_records = records(self.count.records);
            // Old and new records are either unread or removed. Overwritten records are removed but not released.
            let removed = self.count.records + before.records as f64 - found.records as f64;
            let overwritten = found.positions.oldest != found.positions.released;
            self.released_records = records(removed).filter(|_| !overwritten);
        }
        self.last = Some((now, found));
        self.count = Count { records: 0.0, guessed: false, unknown: false, ..self.count };
        let peak = std::mem::take(&mut self.peak).max(found.fill);
        self.past.push_back(peak as f64 / found.bytes.max(1) as f64);
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// Returns the age of the oldest record at the last snapshot; `None` if there was none. It grows with each snapshot
    /// only: between two of them it is unknown whether the record is still unread.
    pub(crate) fn age(&self) -> Option<String> {
        let (age, older) = self.age?;
        Some(format!("{}{:.2} s", if older { "≥ " } else { "" }, age.as_secs_f64()))
    }

    /// Draws past fills in `columns` columns, newest at the right.
    pub(crate) fn curve(&self, columns: usize) -> String {
        const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let from = self.past.len().saturating_sub(columns);
        let level = |part: &f64| {
            // Any fill above 0 is visible.
            let level = (part * 8.0).ceil().clamp(0.0, 8.0) as usize;
            LEVELS.get(level).copied().unwrap_or('█')
        };
        self.past.iter().skip(from).map(level).collect()
    }
}

impl Count {
    fn up_to(&mut self, of: &impl Watched, written: u64) {
        let Some(from) = self.to.replace(written) else { return };
        let bytes = written.wrapping_sub(from);
        if bytes.cast_signed() <= 0 {
            return;
        }
        match of.tally(from, written, COUNTED) {
            Some((records, counted)) if records > 0 && counted > 0 => {
                let mean = counted as f64 / records as f64;
                self.mean = Some(mean);
                self.records += bytes as f64 / mean;
                self.guessed |= counted != bytes;
            }
            // More records came than can be counted: they are assumed to be like those that come now.
            _ => match mean_now(of).or(self.mean) {
                Some(mean) => {
                    self.mean = Some(mean);
                    self.records += bytes as f64 / mean;
                    self.guessed = true;
                }
                None => self.unknown = true,
            },
        }
    }
}

/// Returns the mean bytes of records that come during this call (at most about ten microseconds), or that are unread.
fn mean_now(of: &impl Watched) -> Option<f64> {
    const ATTEMPTS: usize = 1000;
    let before = of.positions();
    let come = (0..ATTEMPTS).map(|_| of.positions().written).find(|&written| written != before.written);
    let come = come.and_then(|written| of.tally(before.written, written, COUNTED));
    let seen = come.or_else(|| of.tally(before.oldest, before.written, COUNTED));
    seen.filter(|&(records, bytes)| records > 0 && bytes > 0).map(|(records, bytes)| bytes as f64 / records as f64)
}

/// Formats bytes a second, in three digits.
pub(crate) fn rate(bytes: f64) -> String {
    let (number, prefix) = scaled(bytes);
    format!("{number} {prefix}B/s")
}

/// Formats records a second, in three digits; a dash if unknown.
pub(crate) fn records(rate: Option<RecordRate>) -> String {
    let Some(RecordRate { rate, guessed }) = rate else { return "-".to_owned() };
    format!("{}{}", if guessed { "≈ " } else { "" }, a_second(rate))
}

/// Formats a number a second, in three digits.
pub(crate) fn a_second(rate: f64) -> String {
    let (number, prefix) = scaled(rate);
    format!("{number}{}{prefix}/s", if prefix.is_empty() { "" } else { " " })
}

fn scaled(rate: f64) -> (String, &'static str) {
    match rate {
        ..1e3 => (format!("{rate:.0}"), ""),
        ..1e6 => (format!("{:.1}", rate / 1e3), "k"),
        ..1e9 => (format!("{:.1}", rate / 1e6), "M"),
        _ => (format!("{:.1}", rate / 1e9), "G"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A buffer of records of 32 bytes, of which the last `known` bytes can be counted.
    struct Buffer {
        positions: Cell<Positions>,
        known: u64,
    }

    impl Watched for Buffer {
        fn positions(&self) -> Positions {
            self.positions.get()
        }

        fn tally(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)> {
            let records = ((to - from) / 32).min(most);
            (to - from <= self.known).then_some((records, records * 32))
        }
    }

    /// Returns the rates shown after two seconds with these numbers of records: written and released.
    fn seconds(known: u64, counts: [(u64, u64); 2]) -> (String, String) {
        let buffer = Buffer { positions: Cell::new(Positions { oldest: 0, released: 0, written: 0 }), known };
        let (mut rates, mut now) = (Rates::default(), Instant::now());
        for (written, released) in [(0, 0)].into_iter().chain(counts) {
            let mut positions = buffer.positions.get();
            positions.written += 32 * written;
            positions.released += 32 * released;
            positions.oldest = positions.released;
            buffer.positions.set(positions);
            rates.sample(&buffer, now);
            let fill = positions.written - positions.oldest;
            rates.update(&buffer, Found { positions, fill, bytes: 1 << 20, records: fill / 32 }, now);
            now += Duration::from_secs(1);
        }
        (records(rates.written_records), records(rates.released_records))
    }

    /// The age stays that of the snapshot, even if the record is released when it is shown.
    #[test]
    fn age_is_that_of_the_snapshot() {
        let waits = Positions { oldest: 0, released: 0, written: 32 };
        let buffer = Buffer { positions: Cell::new(waits), known: u64::MAX };
        let (mut rates, now) = (Rates::default(), Instant::now());
        let found = Found { positions: waits, fill: 32, bytes: 4096, records: 1 };
        let later = now + Duration::from_secs(2);
        rates.update(&buffer, found, now);
        rates.update(&buffer, found, later);
        assert_eq!(rates.age().as_deref(), Some("≥ 2.00 s"));
        buffer.positions.set(Positions { oldest: 32, released: 32, written: 64 });
        rates.sample(&buffer, later + Duration::from_secs(1));
        assert_eq!(rates.age().as_deref(), Some("≥ 2.00 s"), "there was no further snapshot");
        let found = Found { positions: buffer.positions(), ..found };
        rates.update(&buffer, found, later + Duration::from_secs(4));
        assert_eq!(rates.age().as_deref(), Some("3.00 s"));
    }

    #[test]
    fn record_rates_are_counted() {
        assert_eq!(seconds(u64::MAX, [(5, 0), (300, 301)]), ("300/s".to_owned(), "301/s".to_owned()));
        assert_eq!(seconds(u64::MAX, [(0, 0), (0, 0)]), ("0/s".to_owned(), "0/s".to_owned()));
    }

    #[test]
    fn estimated_rates_are_marked() {
        // More than are walked, and more than can be counted.
        assert_eq!(seconds(u64::MAX, [(1, 1), (10_000, 10_000)]).0, "≈ 10.0 k/s");
        assert_eq!(seconds(3200, [(100, 100), (200, 200)]).1, "≈ 200/s");
        // None was ever counted: estimated from unread records, or unknown.
        assert_eq!(seconds(3200, [(90, 90), (190, 100)]).0, "≈ 190/s");
        assert_eq!(seconds(0, [(100, 0), (200, 0)]).0, "-");
    }
}
