//! The picture for a terminal.

use super::cells::{self, Cell, scaled, stretch};
use crate::{
    peek::{Mode, Snapshot, State},
    terminal::cut,
};

/// Columns below which there is no picture.
const LEAST: usize = 40;

/// Columns in front of the bars.
const MARGIN: usize = 2;

/// The picture, line by line, at most `width` columns wide.
pub(crate) fn text(snapshot: &Snapshot, width: usize, coloured: bool) -> Vec<String> {
    let width = width.max(LEAST);
    let pen = Pen { coloured };
    // Two views, three borders.
    let columns = (width - MARGIN - 3) / 2;
    let mut lines = positions(snapshot);
    lines.push(views(snapshot, columns));
    lines.push(format!("  {}", pen.bars(&cells::both_views(snapshot, columns), columns)));
    lines.extend(marks(snapshot, columns, width));
    lines.push(piece(snapshot, columns));
    if snapshot.fill_bytes > 0 && !snapshot.records.is_empty() {
        let columns = width - MARGIN - 2;
        let count = snapshot.records.len() as u64 + snapshot.not_listed;
        lines.push(format!(
            "  what waits, enlarged: {} bytes, {count} record{}, {} a column",
            snapshot.fill_bytes,
            if count == 1 { "" } else { "s" },
            bytes_a_column(snapshot.fill_bytes, columns)
        ));
        lines.push(format!("  {}", pen.bars(&cells::waiting(snapshot, columns), columns)));
        lines.extend(labels(snapshot, columns));
    }
    let swatch = |state| pen.paint(Some(state), &glyph(Some(state)).to_string());
    lines.push(format!(
        "  {} committed  {} discarded  {} busy  · free",
        swatch(State::Committed),
        swatch(State::Discarded),
        swatch(State::Busy)
    ));
    lines.iter().map(|line| cut(line, width)).collect()
}

/// The two pages of positions, and who writes them.
fn positions(snapshot: &Snapshot) -> Vec<String> {
    let (consumer, producer) = match snapshot.mode {
        Mode::Ring | Mode::Overwrite => ("its reader writes", "the kernel writes"),
        Mode::User => ("the kernel writes", "its process writes"),
    };
    let mut second = format!("producer_pos {}", snapshot.producer_pos);
    if snapshot.mode != Mode::User {
        second.push_str(&format!("  pending_pos {}", snapshot.pending_pos));
    }
    if snapshot.mode == Mode::Overwrite {
        second.push_str(&format!("  overwrite_pos {}", snapshot.overwrite_pos));
    }
    vec![
        format!("{} {} `{}`, {} bytes", snapshot.mode.word(), snapshot.id, snapshot.name, snapshot.bytes),
        format!("  page 0  {consumer:<18}  consumer_pos {}", snapshot.consumer_pos),
        format!("  page 1  {producer:<18}  {second}"),
    ]
}

/// What stands above the two views.
fn views(snapshot: &Snapshot, columns: usize) -> String {
    let scale = format!("the data, {} a column", bytes_a_column(snapshot.bytes, columns));
    let again = "the same pages, mapped once more";
    let short = |text: &str| text.chars().take(columns).collect::<String>();
    format!("   {:<columns$} {}", short(&scale), short(again))
}

/// How many bytes a column stands for, in words.
fn bytes_a_column(bytes: u64, columns: usize) -> String {
    let each = bytes as f64 / columns as f64;
    if each < 10.0 { format!("{each:.1} bytes") } else { format!("{each:.0} bytes") }
}

/// The positions below the first view: a letter each, under the column that holds it.
fn marks(snapshot: &Snapshot, columns: usize, width: usize) -> Vec<String> {
    let mut marks = vec![('C', snapshot.consumer_pos, "consumer"), ('P', snapshot.producer_pos, "producer")];
    if snapshot.mode == Mode::Overwrite {
        marks.push(('O', snapshot.overwrite_pos, "overwrite"));
    }
    // An old kernel has none, and then it is 0 for ever.
    if snapshot.mode != Mode::User && snapshot.pending_pos != 0 {
        marks.push(('B', snapshot.pending_pos, "busy at the last reserve"));
    }
    let mut line = vec![' '; width];
    let mut names = Vec::new();
    for (letter, position, name) in marks {
        let column = scaled(snapshot.offset(position), snapshot.bytes, columns);
        let place = line.get_mut(MARGIN + 1 + column);
        match place {
            // Two positions in one column share a star, and the names say it.
            Some(place) if *place != ' ' => *place = '*',
            Some(place) => *place = letter,
            None => {}
        }
        names.push(format!("{letter} {name}"));
    }
    let crowded = line.contains(&'*');
    let mut text = format!("  {}", names.join("  "));
    if crowded {
        text.push_str("  * several");
    }
    let line: String = line.into_iter().collect();
    vec![line.trim_end().to_owned(), text.chars().take(width).collect()]
}

/// The stretch that waits, as the reader walks it: from the consumer on, across the border if it wraps.
fn piece(snapshot: &Snapshot, columns: usize) -> String {
    if snapshot.fill_bytes == 0 {
        return "  nothing waits".to_owned();
    }
    let oldest = snapshot.offset(snapshot.oldest());
    let start = scaled(oldest, snapshot.bytes, columns);
    let last = scaled(oldest.saturating_add(snapshot.fill_bytes) - 1, snapshot.bytes, columns);
    let wraps = oldest.saturating_add(snapshot.fill_bytes) > snapshot.bytes;
    let last = last.min(columns * 2 - 1);
    let length = last.saturating_sub(start) + 1 + usize::from(last >= columns);
    let bracket = match length {
        0 | 1 => "╿".to_owned(),
        length => format!("└{}┘", "─".repeat(length - 2)),
    };
    let word = if wraps { " in one piece, thanks to the second view" } else { "" };
    let behind = if start + length + word.chars().count() <= columns * 2 { word } else { "" };
    format!("{}{bracket}{behind}", " ".repeat(MARGIN + 1 + start))
}

/// The lengths of records, under those that have room for them. Empty if none has.
fn labels(snapshot: &Snapshot, columns: usize) -> Option<String> {
    let mut line = vec![' '; columns];
    let mut any = false;
    for record in &snapshot.records {
        let (start, end) = stretch(snapshot, record, columns);
        let label = format!("└{}", record.length);
        // With a column of air behind it.
        if label.chars().count() >= end.saturating_sub(start) {
            continue;
        }
        any = true;
        for (place, character) in line.iter_mut().skip(start).zip(label.chars()) {
            *place = character;
        }
    }
    let line: String = line.into_iter().collect();
    any.then(|| format!("   {}", line.trim_end()))
}

fn glyph(cell: Cell) -> char {
    match cell {
        None => '·',
        Some(State::Committed) => '█',
        Some(State::Discarded) => '░',
        Some(State::Busy) => '▒',
    }
}

struct Pen {
    coloured: bool,
}

impl Pen {
    fn paint(&self, cell: Cell, text: &str) -> String {
        let colour = match cell {
            _ if !self.coloured => return text.to_owned(),
            None => return text.to_owned(),
            Some(State::Committed) => "\x1b[32m",
            Some(State::Discarded) => "\x1b[90m",
            Some(State::Busy) => "\x1b[33m",
        };
        format!("{colour}{text}\x1b[0m")
    }

    /// Cells between borders, one more border every `columns`.
    fn bars(&self, cells: &[Cell], columns: usize) -> String {
        let mut line = String::from("│");
        for view in cells.chunks(columns) {
            for run in view.chunk_by(|one, other| one == other) {
                let cell = run.first().copied().flatten();
                let text: String = std::iter::repeat_n(glyph(cell), run.len()).collect();
                line.push_str(&self.paint(cell, &text));
            }
            line.push('│');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::ring;
    use super::*;

    #[test]
    fn a_ring_that_wraps_reads_as_a_picture() {
        let records = [(496, State::Committed), (248, State::Discarded), (504, State::Busy)];
        let picture = text(&ring(4096 * 3 - 768, &records), 69, false);
        let expected = "\
ring 7 `events`, 4096 bytes
  page 0  its reader writes   consumer_pos 11520
  page 1  the kernel writes   producer_pos 12792  pending_pos 11520
   the data, 128 bytes a column     the same pages, mapped once more
  │▒▒▒▒······················███░░▒│▒▒▒▒······················███░░▒│
      P                      *
  C consumer  P producer  B busy at the last reserve  * several
                             └─────────┘
  what waits, enlarged: 1272 bytes, 3 records, 20 bytes a column
  │█████████████████████████░░░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│
   └496                     └248         └504
  █ committed  ░ discarded  ▒ busy  · free";
        assert_eq!(picture.join("\n"), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [1, 40, 80, 200] {
            for lengths in [&[][..], &[8; 200], &[4080]] {
                let records: Vec<_> = lengths.iter().map(|&length| (length, State::Committed)).collect();
                for position in [0, 4000, 1 << 40] {
                    for line in text(&ring(position, &records), width, false) {
                        assert!(line.chars().count() <= width.max(LEAST), "{width}: {line}");
                    }
                }
            }
        }
    }
}
