//! The list of buffers, watched: the fill of each, and the bytes a second that were written to it since the snapshot
//! before.
//!
//! A snapshot opens every map anew and keeps none: an fd or a mapping of this process would keep a ring alive after its
//! last user has gone, and the list would never lose a row.

use std::{cmp::Ordering, collections::BTreeMap, time::Instant};

use cutaway_sys::clock;
use serde::Serialize;

use super::{
    list::{List, Row},
    names::NAME,
    rates,
};
use crate::{columns, error::CliError, pattern::Pattern, terminal};

/// The narrowest terminal with all columns of the list.
const WIDE: usize = 76;

/// The order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Fill,
    Rate,
    Id,
}

/// The rows of the last snapshot.
pub(super) struct LiveList {
    list: List,
    comms: Vec<Pattern>,
    pub(super) rows: Vec<LiveRow>,
    /// Time of the last snapshot, and the bytes written to each buffer until then, by the id of its map.
    before: Option<(Instant, BTreeMap<u32, u64>)>,
}

/// A row of the watched list. Its JSON has the fields of a row of the list, and these.
#[derive(Debug, Serialize)]
pub(super) struct LiveRow {
    /// `CLOCK_MONOTONIC`.
    time_ns: u64,
    #[serde(flatten)]
    pub(super) row: Row,
    /// Fill of the fullest buffer; `null` if it is unknown, or if there is no buffer.
    pub(super) fill_percent: Option<f64>,
    /// Written between the last two snapshots; `null` in the first snapshot of a buffer, and if it is unknown.
    pub(super) written_bytes_per_second: Option<f64>,
}

impl LiveList {
    pub(super) fn new(comms: &[Pattern]) -> Result<Self, CliError> {
        Ok(Self { list: List::new(comms)?, comms: comms.to_vec(), rows: Vec::new(), before: None })
    }

    /// Finds processes, programs and pins again.
    pub(super) fn find_users(&mut self) -> Result<(), CliError> {
        self.list = List::new(&self.comms)?;
        Ok(())
    }

    pub(super) fn take_snapshot(&mut self, now: Instant) -> Result<(), CliError> {
        let (rows, time_ns) = (self.list.rows(true)?, clock::monotonic_ns());
        let written: BTreeMap<u32, u64> = rows.iter().filter_map(|row| Some((row.id, row.written()?))).collect();
        let rate = |id: u32| {
            let (then, before) = self.before.as_ref()?;
            let bytes = written.get(&id)?.wrapping_sub(*before.get(&id)?).cast_signed();
            // The sum of several perf buffers gets smaller if one is closed.
            let seconds = now.duration_since(*then).as_secs_f64().max(1e-6);
            (bytes >= 0).then_some(bytes as f64 / seconds)
        };
        let live =
            |row: Row| LiveRow { time_ns, fill_percent: row.percent(), written_bytes_per_second: rate(row.id), row };
        self.rows = rows.into_iter().map(live).collect();
        self.before = Some((now, written));
        Ok(())
    }

    /// Returns the rows in this order; those whose value is unknown come last.
    pub(super) fn sorted(&self, order: Order) -> Vec<&LiveRow> {
        let mut rows: Vec<&LiveRow> = self.rows.iter().collect();
        let value = |row: &LiveRow| match order {
            Order::Fill => row.fill_percent,
            Order::Rate => row.written_bytes_per_second,
            Order::Id => None,
        };
        rows.sort_by(|one, other| descending(value(one), value(other)).then(one.row.id.cmp(&other.row.id)));
        rows
    }

    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Returns the sentence that says that there is no row.
    pub(super) fn nothing(&self) -> &'static str {
        self.list.nothing()
    }
}

/// Compares two values for a descending order with unknown ones last.
fn descending(one: Option<f64>, other: Option<f64>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => other.total_cmp(&one),
        _ => one.is_none().cmp(&other.is_none()),
    }
}

impl LiveRow {
    /// Formats the heading above the rows, with a mark at the column that they are sorted by.
    pub(super) fn heading(order: Option<Order>, columns: usize) -> String {
        let mark = |of: Order, name: &str| if order == Some(of) { format!("{name}▼") } else { name.to_owned() };
        let id = if order == Some(Order::Id) { "ID▲" } else { "ID" };
        let (fill, rate) = (mark(Order::Fill, "FILL"), mark(Order::Rate, "WRITTEN"));
        let middle = if columns < WIDE { String::new() } else { format!("{:<9} {:>10} ", "MODE", "BYTES") };
        format!("{id:>6} {:<15} {middle}{fill:>7} {rate:>10}  OWNERS", "NAME")
    }

    /// Formats the row on one line, without mode and size if there are few columns: the owners matter more.
    pub(super) fn line(&self, columns: usize) -> String {
        let Self { row, .. } = self;
        let fill = self.fill_percent.map_or_else(|| row.no_fill().to_owned(), |percent| format!("{percent:.1} %"));
        let rate = self.written_bytes_per_second.map_or_else(|| "-".to_owned(), rates::rate);
        let name = columns::left(&terminal::one_line(&row.name), NAME);
        let owners = terminal::one_line(&row.owners());
        let middle = if columns < WIDE { String::new() } else { format!("{:<9} {:>10} ", row.mode, row.size()) };
        format!("{:>6} {name} {middle}{fill:>7} {rate:>10}  {owners}", row.id)
    }
}
