//! A ring that is watched by repeated snapshots.

use std::time::{Duration, Instant};

use super::{
    super::{
        kept::Kept,
        payload,
        rates::{self, Found, Positions, Rates},
        view::{Live, View},
    },
    lost::Counters,
    mapped::Ring,
    show::{self, About},
    snapshot::{Snapshot, UnreadRecord},
};
use crate::{
    columns::cut,
    draw::{self, Picture},
    error::CliError,
};

/// Interval at which the programs that use the ring are searched for counters of lost records.
const SEARCH: Duration = Duration::from_secs(2);

/// A ring, its last snapshot, and what changed since the one before.
pub(crate) struct LiveRing {
    ring: Ring,
    rates: Rates,
    snapshot: Snapshot,
    /// `None` before [`Live::find_users`].
    about: Option<About>,
    /// Position of the first record of the last snapshot whose payload was not requested.
    not_copied: Option<u64>,
    /// The counters of lost records, and when they were searched for.
    counters: Option<(Counters, Instant)>,
    /// The counted losses of the last snapshot, and its time.
    lost: Option<(u64, Instant)>,
    /// Lost records a second between the last two snapshots; `None` if they are not counted.
    lost_rate: Option<f64>,
}

impl LiveRing {
    pub(crate) fn new(ring: Ring) -> Self {
        let snapshot = ring.snapshot(0);
        Self {
            ring,
            rates: Rates::default(),
            snapshot,
            about: None,
            not_copied: None,
            counters: None,
            lost: None,
            lost_rate: None,
        }
    }

    /// Reads the counters of lost records for the last snapshot.
    fn count_lost(&mut self, now: Instant) {
        let is_due = |searched: Instant| now.saturating_duration_since(searched) >= SEARCH;
        if self.counters.as_ref().is_none_or(|(_, searched)| is_due(*searched)) {
            // Without file descriptors for the search, the next one may succeed.
            let found = self.ring.counters().unwrap_or_else(|error| Counters::none(&error.to_string()));
            self.counters = Some((found, now));
        }
        if let Some((counters, _)) = &self.counters {
            self.snapshot.lost = counters.read();
        }
        let lost = self.snapshot.lost.counted().map(|lost| (lost, now));
        self.lost_rate = self.lost.zip(lost).map(|((before, then), (lost, now))| {
            // Counters are gone with their program, and the sum is then smaller.
            lost.saturating_sub(before) as f64 / now.duration_since(then).as_secs_f64().max(1e-6)
        });
        self.lost = lost;
    }
}

impl Live for LiveRing {
    fn kept(&self) -> Vec<Kept> {
        vec![Kept::Ring(self.snapshot.clone())]
    }

    fn sample(&mut self, now: Instant) {
        self.rates.sample(&self.ring, now);
    }

    fn take_snapshot(&mut self, payloads: usize, now: Instant) {
        self.snapshot = self.ring.snapshot(payloads);
        self.not_copied = self.snapshot.records.get(payloads).map(|record| record.position);
        let snapshot = &self.snapshot;
        let positions =
            Positions { oldest: snapshot.oldest(), released: snapshot.consumer_pos, written: snapshot.producer_pos };
        let (fill, bytes, records) = (snapshot.fill_bytes, snapshot.bytes, snapshot.waiting());
        self.rates.update(&self.ring, Found { positions, fill, bytes, records }, now);
        self.count_lost(now);
    }

    fn find_users(&mut self) {
        // The next attempt may succeed; until then the last result is shown.
        if let Ok(about) = About::of(&self.ring) {
            self.about = Some(about);
        }
    }

    fn json(&self) -> Result<String, CliError> {
        show::json(&self.snapshot)
    }

    fn heading(&self) -> String {
        format!(
            "{:>8} {:>16} {:>16} {:>7} {:>8} {:>5} {:>10} {:>12} {:>10} {:>12} {:>10} {:>10}\n",
            "SECONDS",
            "CONSUMER",
            "PRODUCER",
            "FILL",
            "UNREAD",
            "BUSY",
            "WRITTEN",
            "REC WRITTEN",
            "RELEASED",
            "REC RELEASED",
            "OLDEST",
            "LOST"
        )
    }

    fn short(&self, since: Duration) -> String {
        let (snapshot, rates) = (&self.snapshot, &self.rates);
        format!(
            "{:>8.2} {:>16} {:>16} {:>5.1} % {:>8} {:>5} {:>10} {:>12} {:>10} {:>12} {:>10} {:>10}\n",
            since.as_secs_f64(),
            snapshot.consumer_pos,
            snapshot.producer_pos,
            snapshot.percent(),
            snapshot.waiting(),
            snapshot.busy,
            rates::rate(rates.written),
            rates::records(rates.written_records),
            rates::rate(rates.released),
            rates::records(rates.released_records),
            rates.age().unwrap_or_else(|| "-".to_owned()),
            snapshot.lost.short()
        )
    }

    fn pictures(&self) -> Vec<Picture> {
        vec![self.snapshot.picture()]
    }

    fn lines(&self, view: &View, columns: usize, rows: usize) -> Vec<String> {
        let (snapshot, rates) = (&self.snapshot, &self.rates);
        let (bold, _, plain) = view.pens();
        let age = rates.age().map_or_else(String::new, |age| format!("; oldest record: {age}"));
        let (owners, programs) = match &self.about {
            Some(about) => (about.owners(), about.programs()),
            None => Default::default(),
        };
        let rate = self.lost_rate.map(|lost| format!(" ({})", view.rate(rates::a_second(lost))));
        let lost = show::lost(snapshot, rate.as_deref().unwrap_or_default());
        let lost = lost.unwrap_or_else(|| "known to the writing process only".to_owned());
        let mut lines = vec![
            view.title(
                &format!("{} {} `{}`, {} bytes", snapshot.mode.word(), snapshot.id, snapshot.name, snapshot.bytes),
                columns,
            ),
            format!("held by   {owners}"),
            format!("used by   {programs}"),
            view.position("producer", snapshot.producer_pos, rates.written, rates.written_records, "records written"),
            view.position(
                "consumer",
                snapshot.consumer_pos,
                rates.released,
                rates.released_records,
                "records released",
            ),
            format!("fill      {}", show::fill(snapshot, (columns / 2).clamp(10, 60))),
            format!("over time {}", rates.curve(columns.saturating_sub(10))),
            format!("waiting   {}{age}", show::counts(snapshot)),
            format!("lost      {lost}"),
            format!("wake-up   {}", show::wakeup(snapshot).unwrap_or("does not apply: a program drains it")),
        ];
        if !snapshot.lost.lost_lines.is_empty() {
            lines.push(format!("{:10}{}", "", snapshot.lost.lines().join(", ")));
        }
        lines.extend(snapshot.corrupt.clone());
        if view.drawn {
            // Skips the lines that repeat those above.
            lines.extend(draw::text(&snapshot.picture(), columns, view.colored).into_iter().skip(3));
        }
        if !snapshot.records.is_empty() && lines.len() + 1 < rows {
            let last = if self.is_decoded() && !view.bytes { "VALUE" } else { "PAYLOAD" };
            lines.push(format!("{bold}{}  {}{plain}", show::head(snapshot), view.heading(last)));
            let room = rows.saturating_sub(lines.len());
            let payload = |_: &UnreadRecord, bytes: &[u8]| {
                let hex = view.bytes || !self.is_decoded();
                view.shifted(&if hex { payload::wide_text(bytes) } else { self.ring.payload(bytes) })
            };
            let line = |record: &UnreadRecord| {
                let is_beyond = self.not_copied.is_some_and(|first| record.position >= first);
                let content = if is_beyond { show::not_copied(record) } else { show::content(record, payload) };
                format!("{}  {content}", show::row(snapshot, record))
            };
            lines.extend(view.scrolled(&snapshot.records, room, line));
        }
        lines.iter().map(|line| cut(line, columns)).collect()
    }

    fn records(&self, _: usize) -> usize {
        self.snapshot.records.len()
    }

    fn is_decoded(&self) -> bool {
        self.ring.is_decoded()
    }
}
