//! A snapshot of a perf buffer, as text or JSON.

use std::fmt::Write as _;

use super::{
    super::{
        gauge::Gauge,
        line::{bar, doubts},
        payload,
    },
    snapshot::{Record, Snapshot},
};
use crate::{
    draw::Kind,
    error::{CliError, listed},
    terminal,
};

/// Columns of the bar that shows how full a buffer is.
const BAR: usize = 40;

/// Formats a snapshot, with at most `most` records.
pub(super) fn table(
    snapshot: &Snapshot,
    most: usize,
    decoded: bool,
    payload: impl Fn(&Record, &[u8]) -> String,
) -> String {
    let mut text = format!("perf buffer of {}, {} bytes\n", owner(snapshot), snapshot.bytes);
    if !snapshot.shared_by_fds.is_empty() {
        let _ = writeln!(text, "  also written   by the event of fd {}", others(snapshot));
    }
    let width = digits(snapshot);
    for (name, position) in [("data_tail", snapshot.data_tail), ("data_head", snapshot.data_head)] {
        let _ = writeln!(text, "  {name:<14} {position:>width$} at offset {:#x}", snapshot.offset(position));
    }
    let _ = writeln!(text, "  fill           {}", bar(snapshot.fill_bytes, snapshot.bytes, BAR));
    let _ = writeln!(text, "  waiting        {}", counts(snapshot));
    let _ = writeln!(text, "  lost           {}", lost(snapshot));
    text += &doubts(snapshot.released_meanwhile, snapshot.corrupt.as_deref());
    if !snapshot.records.is_empty() {
        let _ = writeln!(text, "\n{}", head(snapshot, last_column(decoded)));
        for record in snapshot.records.iter().take(most) {
            let _ = writeln!(text, "{}", terminal::fit(&row(snapshot, record, &payload)));
        }
        let left = snapshot.records.len().saturating_sub(most);
        if left > 0 {
            let _ = writeln!(text, "{:>width$} {left} more; --records {} lists them all", "…", snapshot.records.len());
        }
    }
    text + "\n"
}

/// Formats a snapshot from a file, with at most `most` records.
pub(crate) fn kept(snapshot: &Snapshot, most: usize) -> String {
    table(snapshot, most, snapshot.is_decoded(), |record, bytes| {
        // A file has decoded values, but no types.
        record.decoded.text().unwrap_or_else(|| payload::text(bytes))
    })
}

/// Formats a snapshot as a line of JSON.
pub(crate) fn json(snapshot: &Snapshot) -> Result<String, CliError> {
    Ok(terminal::json(snapshot)? + "\n")
}

/// Returns how full a buffer is.
pub(super) fn gauge(snapshot: &Snapshot) -> Gauge {
    let head = if snapshot.backward { snapshot.data_head.wrapping_neg() } else { snapshot.data_head };
    let what = format!("perf buffer of {}", owner(snapshot));
    Gauge::new(what, (snapshot.fill_bytes, snapshot.bytes), head, snapshot.backward)
}

/// Formats the owner.
pub(super) fn owner(snapshot: &Snapshot) -> String {
    format!("{} ({}), fd {}", terminal::one_line(&snapshot.comm), snapshot.pid, snapshot.fd)
}

/// Lists the fds of the other events that write into it.
pub(super) fn others(snapshot: &Snapshot) -> String {
    if snapshot.shared_by_fds.is_empty() {
        return String::new();
    }
    listed(&snapshot.shared_by_fds.iter().map(u32::to_string).collect::<Vec<_>>())
}

/// Counts unread records by their kind.
pub(super) fn counts(snapshot: &Snapshot) -> String {
    if snapshot.backward {
        return "none: a backward buffer is overwritten, and read while its owner has paused it".to_owned();
    }
    let wrapped = snapshot.records.iter().filter(|record| record.wraps).count();
    format!(
        "{} samples, {} loss records, {} other records; {wrapped} wrap",
        snapshot.count(Kind::Sample),
        snapshot.count(Kind::Lost),
        snapshot.count(Kind::Other)
    )
}

/// Counts unread records by their kind, for a narrow screen.
pub(super) fn short_counts(snapshot: &Snapshot) -> String {
    if snapshot.backward {
        return counts(snapshot);
    }
    let wrapped = snapshot.records.iter().filter(|record| record.wraps).count();
    let [samples, losses, others] = [Kind::Sample, Kind::Lost, Kind::Other].map(|kind| snapshot.count(kind));
    let s = |count| if count == 1 { "" } else { "s" };
    format!(
        "{samples} sample{}, {losses} loss record{}, {others} other{}, {wrapped} wrap",
        s(samples),
        s(losses),
        s(others)
    )
}

/// Formats the number of lost records and its source.
pub(super) fn lost(snapshot: &Snapshot) -> String {
    let announced = snapshot.records.iter().filter_map(|record| record.lost).fold(0, u64::saturating_add);
    match snapshot.lost {
        Some(lost) => format!("{lost}, counted by the kernel (PERF_FORMAT_LOST)"),
        None => format!(
            "{announced} reported by unread loss records; the owner did not request the kernel's count \
                 (PERF_FORMAT_LOST)"
        ),
    }
}

/// Returns the name of the last column.
pub(super) fn last_column(decoded: bool) -> &'static str {
    if decoded { "VALUE" } else { "PAYLOAD, with its padding" }
}

/// Formats the heading above [`row`]s.
pub(super) fn head(snapshot: &Snapshot, last: &str) -> String {
    format!("{:>width$} {:>10} {:>7}  {:<10}  {last}", "POSITION", "OFFSET", "BYTES", "KIND", width = digits(snapshot))
}

/// Formats a record on one line.
pub(super) fn row(snapshot: &Snapshot, record: &Record, payload: impl Fn(&Record, &[u8]) -> String) -> String {
    let wraps = if record.wraps { "wraps; " } else { "" };
    let time = record.time_ns.map_or_else(String::new, |time| format!("at {time} ns: "));
    let content = match (record.lost, &record.payload) {
        (Some(lost), _) => format!("{lost} lost here"),
        (None, Some(bytes)) => terminal::one_line(&payload(record, bytes)),
        (None, None) => "…".to_owned(),
    };
    format!(
        "{:>width$} {:>#10x} {:>7}  {:<10}  {wraps}{time}{content}",
        record.position,
        record.offset,
        record.bytes,
        terminal::one_line(&record.kind),
        width = digits(snapshot)
    )
}

/// Returns the width of a position in columns.
fn digits(snapshot: &Snapshot) -> usize {
    snapshot.data_head.to_string().len().max("POSITION".len())
}
