//! The perf buffers of a process, watched by repeated snapshots.

use std::time::{Duration, Instant};

use super::{
    super::{
        gauge::Gauge,
        kept::Kept,
        line::{bar, process_state},
        payload,
        rates::{self, Found, Rates},
        types::Types,
        view::{Live, View},
    },
    borrowed::Buffer,
    show,
    snapshot::{self, Record, Snapshot},
};
use crate::{
    columns::cut,
    draw::{self, Kind, Picture},
    error::{CliError, listed},
    terminal::one_line,
};

/// Perf buffers, and the type of their samples.
pub(super) struct LivePerf {
    buffers: Vec<One>,
    types: Option<Types>,
    /// States of the processes, as the kernel names them; empty before [`Live::find_users`].
    states: Vec<(u32, String)>,
    /// Empty buffers are not drawn if there are others.
    only_full: bool,
}

/// A buffer, its last snapshot, and what changed since the one before.
struct One {
    buffer: Buffer,
    snapshot: Snapshot,
    rates: Rates,
    /// Records lost between the last two snapshots, counted by the kernel.
    lost_lately: u64,
}

impl LivePerf {
    pub(super) fn new(buffers: Vec<Buffer>, types: Option<Types>) -> Self {
        let one = |buffer: Buffer| {
            let snapshot = buffer.snapshot(0);
            One { buffer, snapshot, rates: Rates::default(), lost_lately: 0 }
        };
        Self { buffers: buffers.into_iter().map(one).collect(), types, states: Vec::new(), only_full: false }
    }

    pub(super) fn draw_only_filled(&mut self) {
        self.only_full = true;
    }

    /// Returns the number of buffers that are not drawn.
    pub(super) fn undrawn(&self) -> usize {
        self.buffers.len() - self.drawn().count()
    }

    fn drawn(&self) -> impl Iterator<Item = &One> {
        let any = self.buffers.iter().any(|one| one.snapshot.fill_bytes > 0);
        let only_full = self.only_full;
        self.buffers.iter().enumerate().filter_map(move |(index, one)| {
            let drawn = !only_full || if any { one.snapshot.fill_bytes > 0 } else { index == 0 };
            drawn.then_some(one)
        })
    }

    /// Returns the fill of each buffer in the last snapshot.
    pub(super) fn gauges(&self) -> Vec<Gauge> {
        self.buffers.iter().map(|one| show::gauge(&one.snapshot)).collect()
    }

    /// Formats the last snapshot, with at most `most` records of each buffer.
    pub(super) fn tables(&self, most: usize) -> String {
        let decoded = self.is_decoded();
        let table = |one: &One| show::table(&one.snapshot, most, decoded, |record, bytes| self.payload(record, bytes));
        self.buffers.iter().map(table).collect()
    }

    fn payload(&self, record: &Record, bytes: &[u8]) -> String {
        match &self.types {
            Some(types) if record.kind() == Kind::Sample => types.padded(bytes),
            _ => payload::text(bytes),
        }
    }

    /// Formats the owners on one line.
    fn owners(&self) -> String {
        let mut owners: Vec<String> = Vec::new();
        for Snapshot { pid, comm, .. } in self.buffers.iter().map(|one| &one.snapshot) {
            let state = self.states.iter().find(|(of, _)| of == pid).map_or("", |(_, state)| state);
            let owner = format!("{comm} ({pid}{}{state})", if state.is_empty() { "" } else { ", " });
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        one_line(&listed(&owners))
    }

    /// Formats a line for each buffer, as many as fit, the chosen one among them.
    fn list(&self, view: &View, rows: usize) -> Vec<String> {
        let (bold, _, plain) = view.pens();
        let head = format!("  {:>5}  {:<26}  {:>10}  {:>12}  {:>10}", "FD", "FILL", "WRITTEN", "RECORDS", "LOST");
        let mut lines = vec![format!("{bold}{head}{plain}")];
        let first = (view.chosen + 1).saturating_sub(rows);
        for (index, one) in self.buffers.iter().enumerate().skip(first).take(rows) {
            let (snapshot, rates) = (&one.snapshot, &one.rates);
            let fill = bar(snapshot.fill_bytes, snapshot.bytes, 18);
            let fill = fill.split(',').next().unwrap_or_default();
            lines.push(format!(
                "{} {:>5}  {fill:<26}  {:>10}  {:>12}  {:>10}",
                if index == view.chosen { ">" } else { " " },
                snapshot.fd,
                view.rate(rates::rate(rates.written)),
                view.rate(rates::records(rates.written_records)),
                snapshot.lost.map_or_else(|| "-".to_owned(), |lost| lost.to_string())
            ));
        }
        lines
    }
}

impl Live for LivePerf {
    fn kept(&self) -> Vec<Kept> {
        self.buffers.iter().map(|one| Kept::Perf(one.snapshot.clone())).collect()
    }

    fn sample(&mut self, now: Instant) {
        for One { buffer, rates, .. } in &mut self.buffers {
            rates.sample(buffer, now);
        }
    }

    fn take_snapshot(&mut self, payloads: usize, now: Instant) {
        for One { buffer, snapshot, rates, lost_lately } in &mut self.buffers {
            let before = snapshot.lost;
            *snapshot = buffer.snapshot(payloads);
            *lost_lately = snapshot.lost.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
            if let Some(types) = &self.types {
                snapshot.decode(types);
            }
            let positions = snapshot::positions(snapshot.data_tail, snapshot.data_head);
            let records = snapshot.records.len() as u64;
            rates.update(buffer, Found { positions, fill: snapshot.fill_bytes, bytes: snapshot.bytes, records }, now);
        }
    }

    fn find_users(&mut self) {
        let mut pids: Vec<u32> = self.buffers.iter().map(|one| one.snapshot.pid).collect();
        pids.dedup();
        self.states = pids.into_iter().map(|pid| (pid, process_state(pid))).collect();
    }

    fn json(&self) -> Result<String, CliError> {
        self.buffers.iter().map(|one| show::json(&one.snapshot)).collect()
    }

    fn heading(&self) -> String {
        format!(
            "{:>8} {:>7} {:>5} {:>16} {:>16} {:>7} {:>8} {:>8} {:>10} {:>12} {:>10} {:>12} {:>10}\n",
            "SECONDS",
            "PID",
            "FD",
            "TAIL",
            "HEAD",
            "FILL",
            "UNREAD",
            "LOST",
            "WRITTEN",
            "REC WRITTEN",
            "RELEASED",
            "REC RELEASED",
            "OLDEST"
        )
    }

    fn short(&self, since: Duration) -> String {
        let line = |One { snapshot, rates, .. }: &One| {
            format!(
                "{:>8.2} {:>7} {:>5} {:>16} {:>16} {:>5.1} % {:>8} {:>8} {:>10} {:>12} {:>10} {:>12} {:>10}\n",
                since.as_secs_f64(),
                snapshot.pid,
                snapshot.fd,
                snapshot.data_tail,
                snapshot.data_head,
                snapshot.fill_bytes as f64 * 100.0 / snapshot.bytes.max(1) as f64,
                snapshot.records.len(),
                snapshot.lost.map_or_else(|| "-".to_owned(), |lost| lost.to_string()),
                rates::rate(rates.written),
                rates::records(rates.written_records),
                rates::rate(rates.released),
                rates::records(rates.released_records),
                rates.age().unwrap_or_else(|| "-".to_owned())
            )
        };
        self.buffers.iter().map(line).collect()
    }

    fn pictures(&self) -> Vec<Picture> {
        self.drawn().map(|one| one.snapshot.picture()).collect()
    }

    fn lines(&self, view: &View, columns: usize, rows: usize) -> Vec<String> {
        let Some(One { snapshot, rates, lost_lately, .. }) = self.buffers.get(view.chosen) else { return Vec::new() };
        let (bold, _, plain) = view.pens();
        let (count, s) = match self.buffers.len() {
            1 => (String::new(), ""),
            count => (format!("{count} "), "s"),
        };
        let title = format!("{count}perf buffer{s} of {}", self.owners());
        let mut lines = vec![view.title(&title, columns)];
        if self.buffers.len() > 1 {
            lines.extend(self.list(view, (rows / 5).max(1)));
        }
        let age = rates.age().map_or_else(String::new, |age| format!("; oldest record: {age}"));
        let lately = if *lost_lately > 0 { format!("; {lost_lately} since the last snapshot") } else { String::new() };
        let too = match show::others(snapshot) {
            others if others.is_empty() => String::new(),
            others => format!(", also written by the event of fd {others}"),
        };
        lines.extend([
            format!("fd {}, {} bytes{too}", snapshot.fd, snapshot.bytes),
            view.position("data_head", snapshot.data_head, rates.written, rates.written_records, "records written"),
            view.position("data_tail", snapshot.data_tail, rates.released, rates.released_records, "records released"),
            format!("fill      {}", bar(snapshot.fill_bytes, snapshot.bytes, (columns / 2).clamp(10, 60))),
            format!("over time {}", rates.curve(columns.saturating_sub(10))),
            format!("waiting   {}{age}", show::short_counts(snapshot)),
            format!("lost      {}{lately}", show::lost(snapshot)),
        ]);
        lines.extend(snapshot.corrupt.clone());
        if view.drawn {
            // Skips the lines that repeat those above.
            lines.extend(draw::text(&snapshot.picture(), columns, view.colored).into_iter().skip(3));
        }
        if !snapshot.records.is_empty() && lines.len() + 1 < rows {
            let last = view.heading(show::last_column(self.is_decoded() && !view.bytes));
            lines.push(format!("{bold}{}{plain}", show::head(snapshot, &last)));
            let room = rows.saturating_sub(lines.len());
            let payload = |record: &Record, bytes: &[u8]| {
                let hex = view.bytes || !self.is_decoded();
                view.shifted(&if hex { payload::wide_text(bytes) } else { self.payload(record, bytes) })
            };
            lines.extend(view.scrolled(&snapshot.records, room, |record| show::row(snapshot, record, payload)));
        }
        lines.iter().map(|line| cut(line, columns)).collect()
    }

    fn buffers(&self) -> usize {
        self.buffers.len()
    }

    fn fullest(&self) -> usize {
        let fullest = self.buffers.iter().enumerate().rev().max_by_key(|(_, one)| one.snapshot.fill_bytes);
        fullest.map_or(0, |(index, _)| index)
    }

    fn records(&self, buffer: usize) -> usize {
        self.buffers.get(buffer).map_or(0, |one| one.snapshot.records.len())
    }

    fn is_decoded(&self) -> bool {
        self.types.is_some()
    }
}
