//! A snapshot of a perf buffer, as text or JSON.

use std::fmt::Write as _;

use super::{
    super::{
        line::{bar, doubts},
        payload,
    },
    look::{Look, Record},
};
use crate::{
    draw::Kind,
    error::{CliError, listed},
    terminal,
};

/// Columns of the bar that shows how full a buffer is.
const BAR: usize = 40;

/// Formats a snapshot, with at most `most` records.
pub(super) fn table(look: &Look, most: usize, decoded: bool, payload: impl Fn(&Record, &[u8]) -> String) -> String {
    let mut text = format!("perf buffer of {}, {} bytes\n", owner(look), look.bytes);
    if !look.shared_by_fds.is_empty() {
        let _ = writeln!(text, "  also written   by the event of fd {}", others(look));
    }
    let width = digits(look);
    for (name, position) in [("data_tail", look.data_tail), ("data_head", look.data_head)] {
        let _ = writeln!(text, "  {name:<14} {position:>width$} at offset {:#x}", look.offset(position));
    }
    let _ = writeln!(text, "  fill           {}", bar(look.fill_bytes, look.bytes, BAR));
    let _ = writeln!(text, "  waiting        {}", counts(look));
    let _ = writeln!(text, "  lost           {}", lost(look));
    text += &doubts(look.released_meanwhile, look.corrupt.as_deref());
    if !look.records.is_empty() {
        let _ = writeln!(text, "\n{}", head(look, decoded));
        for record in look.records.iter().take(most) {
            let _ = writeln!(text, "{}", terminal::fit(&row(look, record, &payload)));
        }
        let left = look.records.len().saturating_sub(most);
        if left > 0 {
            let _ = writeln!(text, "{:>width$} {left} more; --records {} lists them all", "…", look.records.len());
        }
    }
    text + "\n"
}

/// Formats a snapshot that was kept, with at most `most` records.
pub(crate) fn kept(look: &Look, most: usize) -> String {
    table(look, most, look.is_decoded(), |record, bytes| match &record.value {
        // Types are not kept; decoded values are.
        Some(value) => value.to_string(),
        None => payload::text(bytes),
    })
}

/// Formats a snapshot as a line of JSON.
pub(crate) fn json(look: &Look) -> Result<String, CliError> {
    Ok(terminal::json(look)? + "\n")
}

/// Formats the owner.
pub(super) fn owner(look: &Look) -> String {
    format!("{} ({}), fd {}", terminal::one_line(&look.comm), look.pid, look.fd)
}

/// Lists the fds of the other events that write into it.
pub(super) fn others(look: &Look) -> String {
    if look.shared_by_fds.is_empty() {
        return String::new();
    }
    listed(&look.shared_by_fds.iter().map(u32::to_string).collect::<Vec<_>>())
}

/// Counts unread records by their kind.
pub(super) fn counts(look: &Look) -> String {
    if look.backward {
        return "none: a backward buffer is overwritten, and read while its owner has paused it".to_owned();
    }
    let wrapped = look.records.iter().filter(|record| record.wraps).count();
    format!(
        "{} samples, {} loss records, {} other records; {wrapped} wrap",
        look.count(Kind::Sample),
        look.count(Kind::Lost),
        look.count(Kind::Other)
    )
}

/// The same, shorter.
pub(super) fn short_counts(look: &Look) -> String {
    if look.backward {
        return counts(look);
    }
    let wrapped = look.records.iter().filter(|record| record.wraps).count();
    let [samples, losses, others] = [Kind::Sample, Kind::Lost, Kind::Other].map(|kind| look.count(kind));
    let s = |count| if count == 1 { "" } else { "s" };
    format!(
        "{samples} sample{}, {losses} loss record{}, {others} other{}, {wrapped} wrap",
        s(samples),
        s(losses),
        s(others)
    )
}

/// Says how many records were lost, and the source of that number.
pub(super) fn lost(look: &Look) -> String {
    let announced = look.records.iter().filter_map(|record| record.lost).fold(0, u64::saturating_add);
    match look.lost {
        Some(lost) => format!("{lost}, counted by the kernel (PERF_FORMAT_LOST)"),
        None => format!(
            "{announced} reported by unread loss records; the owner did not request the kernel's count (PERF_FORMAT_LOST)"
        ),
    }
}

/// Formats the heading above [`row`]s.
pub(super) fn head(look: &Look, decoded: bool) -> String {
    let last = if decoded { "VALUE" } else { "PAYLOAD, with its padding" };
    format!("{:>width$} {:>10} {:>7}  {:<10}  {last}", "POSITION", "OFFSET", "BYTES", "KIND", width = digits(look))
}

/// Formats a record on one line.
pub(super) fn row(look: &Look, record: &Record, payload: impl Fn(&Record, &[u8]) -> String) -> String {
    let wraps = if record.wraps { "wraps; " } else { "" };
    let time = record.record_time_ns.map_or_else(String::new, |time| format!("at {time} ns: "));
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
        width = digits(look)
    )
}

/// Returns the width of a position in columns.
fn digits(look: &Look) -> usize {
    look.data_head.to_string().len().max("POSITION".len())
}
