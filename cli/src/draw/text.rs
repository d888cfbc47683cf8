//! Draws pictures for a terminal.

use super::{
    cells::{self, Cell, scaled, stretch},
    picture::{Kind, Picture},
};
use crate::columns::{cut, display_width};

/// Least width of a picture in columns.
const LEAST: usize = 40;

/// Columns before the bars.
const MARGIN: usize = 2;

/// Draws the picture in lines of at most `width` columns (at least [`LEAST`]).
pub(crate) fn text(picture: &Picture, width: usize, colored: bool) -> Vec<String> {
    let width = width.max(LEAST);
    let pen = Pen { colored };
    // A border on the left of each view, and one on the right of all.
    let columns = (width - MARGIN - 1 - picture.views()) / picture.views();
    let mut lines = words(picture);
    lines.push(heading(picture, columns));
    lines.push(format!("  {}", pen.bars(&cells::views(picture, columns), columns)));
    lines.extend(marks(picture, columns, width));
    lines.push(piece(picture, columns));
    if picture.fill_bytes > 0 && !picture.records.is_empty() {
        let columns = width - MARGIN - 2;
        let count = picture.count();
        lines.push(format!(
            "  pending data (zoomed): {} bytes, {count} record{}, {} per column",
            picture.fill_bytes,
            if count == 1 { "" } else { "s" },
            bytes_per_column(picture.fill_bytes, columns)
        ));
        lines.push(format!("  {}", pen.bars(&cells::waiting(picture, columns), columns)));
        lines.extend(labels(picture, columns));
    }
    let swatch = |kind: Kind| format!("{} {}", pen.paint(Some(kind), &kind.glyph().to_string()), kind.word());
    lines.push(format!("  {}  · free", picture.kinds.map(swatch).join("  ")));
    lines.iter().map(|line| cut(line, width)).collect()
}

/// Formats the name of the buffer, and its positions with their writers.
fn words(picture: &Picture) -> Vec<String> {
    let name = picture.name.as_ref().map_or_else(String::new, |name| format!(" `{name}`"));
    let mut lines = vec![format!("{}{name}, {} bytes", picture.what, picture.bytes)];
    lines.extend(picture.words.iter().map(|word| format!("  {}  {:<18}  {}", word.location, word.who, word.text)));
    lines
}

/// Formats the heading of the views.
fn heading(picture: &Picture, columns: usize) -> String {
    let scale = format!("data, {} per column", bytes_per_column(picture.bytes, columns));
    let again = if picture.twice { "the same pages, mapped again" } else { "" };
    let short = |text: &str| text.chars().take(columns).collect::<String>();
    format!("   {:<columns$} {}", short(&scale), short(again)).trim_end().to_owned()
}

/// Formats the number of bytes per column.
fn bytes_per_column(bytes: u64, columns: usize) -> String {
    let each = bytes as f64 / columns as f64;
    if each < 10.0 { format!("{each:.1} bytes") } else { format!("{each:.0} bytes") }
}

/// Draws the positions below the first view: a letter under the column of each.
fn marks(picture: &Picture, columns: usize, width: usize) -> Vec<String> {
    let mut line = vec![' '; width];
    let mut names = Vec::new();
    for mark in &picture.marks {
        let column = scaled(picture.offset(mark.position), picture.bytes, columns);
        let cell = line.get_mut(MARGIN + 1 + column);
        match cell {
            // Two positions in one column are drawn as a star; the line of names explains it.
            Some(cell) if *cell != ' ' => *cell = '*',
            Some(cell) => *cell = mark.letter,
            None => {}
        }
        names.push(format!("{} {}", mark.letter, if mark.meaning.is_empty() { mark.name } else { mark.meaning }));
    }
    let crowded = line.contains(&'*');
    let mut text = format!("  {}", names.join("  "));
    if crowded {
        text.push_str("  * several");
    }
    let line: String = line.into_iter().collect();
    vec![line.trim_end().to_owned(), text.chars().take(width).collect()]
}

/// Draws a bracket under the pending data.
fn piece(picture: &Picture, columns: usize) -> String {
    if picture.fill_bytes == 0 {
        return "  no pending data".to_owned();
    }
    let oldest = picture.offset(picture.oldest);
    let start = scaled(oldest, picture.bytes, columns);
    let last = scaled(oldest.saturating_add(picture.fill_bytes) - 1, picture.bytes, columns);
    match (picture.over(), picture.twice) {
        (0, _) => bracket(start, last, "", columns * picture.views()),
        // Across the border.
        (_, true) => {
            let last = last.min(columns * 2 - 1) + usize::from(last >= columns);
            bracket(start, last, " in one piece, thanks to the second view", columns * 2)
        }
        (_, false) => two_pieces(start, last.saturating_sub(columns), columns),
    }
}

/// Draws a bracket from one column to another, followed by `word` if it fits.
fn bracket(start: usize, last: usize, word: &str, columns: usize) -> String {
    let length = last.saturating_sub(start) + 1;
    let bracket = match length {
        1 => "╿".to_owned(),
        length => format!("└{}┘", "─".repeat(length - 2)),
    };
    let behind = if start + length + display_width(word) <= columns { word } else { "" };
    format!("{}{bracket}{behind}", " ".repeat(MARGIN + 1 + start))
}

/// Draws a bracket from column `start` to the end, and one from the beginning to column `last`.
fn two_pieces(start: usize, last: usize, columns: usize) -> String {
    let between = start.saturating_sub(last + 1);
    let words = [" in two pieces: on the right, then on the left ", " in two pieces "];
    let word = words.into_iter().find(|word| word.len() <= between).unwrap_or_default();
    let left = if last < start { format!("{}┘", "─".repeat(last)) } else { "─".repeat(start) };
    let right = format!("└{}", "─".repeat(columns.saturating_sub(start + 1)));
    format!("{}{left}{word:^between$}{right}", " ".repeat(MARGIN + 1))
}

/// Writes the lengths under the records that are wide enough; `None` if there is no such record.
fn labels(picture: &Picture, columns: usize) -> Option<String> {
    let mut line = vec![' '; columns];
    let mut any = false;
    for record in &picture.records {
        let (start, end) = stretch(picture, record, columns);
        let label = format!("└{}", record.length);
        // A free column follows each label.
        if display_width(&label) >= end.saturating_sub(start) {
            continue;
        }
        any = true;
        for (cell, character) in line.iter_mut().skip(start).zip(label.chars()) {
            *cell = character;
        }
    }
    let line: String = line.into_iter().collect();
    any.then(|| format!("   {}", line.trim_end()))
}

struct Pen {
    colored: bool,
}

impl Pen {
    fn paint(&self, cell: Cell, text: &str) -> String {
        match cell {
            Some(kind) if self.colored => format!("{}{text}\x1b[0m", kind.color()),
            _ => text.to_owned(),
        }
    }

    /// Draws cells between borders, with a border every `columns` cells.
    fn bars(&self, cells: &[Cell], columns: usize) -> String {
        let mut line = String::from("│");
        for view in cells.chunks(columns) {
            for run in view.chunk_by(|one, other| one == other) {
                let cell = run.first().copied().flatten();
                let text: String = std::iter::repeat_n(cell.map_or('·', Kind::glyph), run.len()).collect();
                line.push_str(&self.paint(cell, &text));
            }
            line.push('│');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            cells::tests::{buffer, ring},
            picture::{Mark, Word},
        },
        *,
    };

    fn word(location: &'static str, who: &'static str, text: &str) -> Word {
        Word { location, who, text: text.to_owned() }
    }

    fn mark(letter: char, name: &'static str, meaning: &'static str, position: u64) -> Mark {
        Mark { letter, name, meaning, color: "", position }
    }

    #[test]
    fn wrapped_ring_is_drawn() {
        let records = [(496, Kind::Committed), (248, Kind::Discarded), (504, Kind::Busy)];
        let mut picture = ring(4096 * 3 - 768, &records);
        picture.words = vec![
            word("page 0", "its reader writes", "consumer_pos 11520"),
            word("page 1", "the kernel writes", "producer_pos 12792  pending_pos 11520"),
        ];
        picture.marks = vec![
            mark('C', "consumer", "", 11520),
            mark('P', "producer", "", 12792),
            mark('B', "pending", "busy at the last reserve", 11520),
        ];
        let expected = "\
ring 7 `events`, 4096 bytes
  page 0  its reader writes   consumer_pos 11520
  page 1  the kernel writes   producer_pos 12792  pending_pos 11520
   data, 128 bytes per column       the same pages, mapped again
  │▒▒▒▒······················███░░▒│▒▒▒▒······················███░░▒│
      P                      *
  C consumer  P producer  B busy at the last reserve  * several
                             └─────────┘
  pending data (zoomed): 1272 bytes, 3 records, 20 bytes per column
  │█████████████████████████░░░░░░░░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│
   └496                     └248         └504
  █ committed  ░ discarded  ▒ busy  · free";
        assert_eq!(text(&picture, 69, false).join("\n"), expected);
    }

    #[test]
    fn wrapped_perf_buffer_is_in_two_pieces() {
        let mut picture = buffer(false, 4096 - 512, &[(1016, Kind::Sample), (248, Kind::Lost)]);
        picture.what = "perf buffer".to_owned();
        picture.name = None;
        picture.marks = vec![mark('T', "data_tail", "", 3584), mark('H', "data_head", "", 3584 + 1280)];
        let expected = "\
perf buffer, 4096 bytes
   data, 64 bytes per column
  │████████▒▒▒▒············································████████│
               H                                           T
  T data_tail  H data_head
   ───────────┘               in two pieces                └───────
  pending data (zoomed): 1280 bytes, 2 records, 20 bytes per column
  │███████████████████████████████████████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒│
   └1016                                              └248
  █ sample  ░ other  ▒ lost  · free";
        assert_eq!(text(&picture, 68, false).join("\n"), expected);
        let wide = text(&picture, 100, false).join("\n");
        assert!(wide.contains("┘          in two pieces: on the right, then on the left           └"), "{wide}");
        // The buffer is full.
        let full = text(&buffer(false, 2048, &[(4088, Kind::Sample)]), 69, false).join("\n");
        assert!(full.contains(&format!("   {}└{}\n", "─".repeat(32), "─".repeat(32))), "{full}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [1, 40, 80, 200] {
            for lengths in [&[][..], &[8; 200], &[4080]] {
                for (twice, kind) in [(true, Kind::Committed), (false, Kind::Sample)] {
                    let records: Vec<_> = lengths.iter().map(|&length| (length, kind)).collect();
                    for position in [0, 4000, 1 << 40] {
                        for line in text(&buffer(twice, position, &records), width, false) {
                            assert!(line.chars().count() <= width.max(LEAST), "{width}: {line}");
                        }
                    }
                }
            }
        }
    }
}
