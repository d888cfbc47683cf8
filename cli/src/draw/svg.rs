//! The picture for a browser: one frame for each look, one below the other.
//!
//! ```text
//!     page 0   page 1                                        positions as numbers
//!        ▼C        ▼P                                        positions as places
//!     │ the data          │ the same pages again  │          every record, in both views
//!        └── what waits ──┘
//!     │ what waits, enlarged                      │          every record, its header darker
//! ```

use std::fmt::Write as _;

use crate::peek::{Mode, Snapshot, State, Waiting};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 30.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;
/// One view of the data.
const VIEW: f64 = INNER / 2.0;
/// Height of a frame.
const FRAME: f64 = 440.0;

/// Where things stand in a frame.
const PAGES: f64 = 44.0;
const DATA: f64 = 186.0;
const BAR: f64 = 56.0;
const ENLARGED: f64 = 316.0;
const LEGEND: f64 = 412.0;

const STYLE: &str = "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#222;white-space:pre}\
.title{font-size:16px;font-weight:bold}.small{font-size:11px;fill:#555}.label{font-size:11px;fill:#fff;text-anchor:middle}\
.page{fill:#f4f4f2;stroke:#999}.border{fill:none;stroke:#444}\
.committed{fill:#2e8b57}.discarded{fill:#9a9a9a}.busy{fill:#e08a00}.again{opacity:.4}.header{fill:#000;opacity:.35}\
.edge{stroke:#fff;stroke-width:.8}.consumer{stroke:#1f5fbf}.producer{stroke:#b01e3c}.pending{stroke:#8a4fbf}\
.overwrite{stroke:#6b5b00}.mark{stroke-width:2}.lens{fill:#dfe8f5;stroke:#9db4d8}";

/// A document with these frames.
pub(super) fn document(frames: &[Snapshot]) -> String {
    let height = FRAME * frames.len().max(1) as f64;
    let mut to = Svg(String::new());
    to.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">"#
    ));
    to.line(format_args!("<style>{STYLE}</style>"));
    to.line(format_args!(r##"<rect width="{WIDTH}" height="{height}" fill="#fff"/>"##));
    let first = frames.first().map_or(0, |frame| frame.time_ns);
    for (index, frame) in frames.iter().enumerate() {
        to.line(format_args!(r#"<g transform="translate(0 {})">"#, FRAME * index as f64));
        let since = frame.time_ns.saturating_sub(first) as f64 / 1e9;
        let step = if frames.len() > 1 { format!(", look {} after {since:.3} s", index + 1) } else { String::new() };
        to.frame(frame, &step);
        to.line(format_args!("</g>"));
    }
    to.line(format_args!("</svg>"));
    to.0
}

struct Svg(String);

impl Svg {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        self.line(format_args!(r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{}</text>"#, escaped(text)));
    }

    fn frame(&mut self, frame: &Snapshot, step: &str) {
        let records = frame.records.len() as u64 + frame.not_listed;
        let title = format!(
            "{} {} “{}”: {} bytes, {:.1} % full, {records} waiting{step}",
            frame.mode.word(),
            frame.id,
            frame.name,
            frame.bytes,
            frame.percent()
        );
        self.text(MARGIN, 26.0, "title", &title);
        self.pages(frame);
        self.marks(frame);
        self.views(frame);
        self.enlarged(frame);
        self.legend();
    }

    /// The two pages of positions.
    fn pages(&mut self, frame: &Snapshot) {
        let (consumer, producer) = match frame.mode {
            Mode::Ring | Mode::Overwrite => ("its reader writes", "the kernel writes"),
            Mode::User => ("the kernel writes", "its process writes"),
        };
        let mut second = format!("producer_pos {}", frame.producer_pos);
        if frame.mode != Mode::User {
            let _ = write!(second, "   pending_pos {}", frame.pending_pos);
        }
        if frame.mode == Mode::Overwrite {
            let _ = write!(second, "   overwrite_pos {}", frame.overwrite_pos);
        }
        let first = format!("consumer_pos {}", frame.consumer_pos);
        for (x, width, name, who, text) in
            [(MARGIN, 360.0, "page 0", consumer, first), (MARGIN + 370.0, INNER - 370.0, "page 1", producer, second)]
        {
            self.line(format_args!(r#"<rect class="page" x="{x}" y="{PAGES}" width="{width}" height="46"/>"#));
            self.text(x + 8.0, PAGES + 17.0, "small", &format!("{name}, {who}"));
            self.text(x + 8.0, PAGES + 36.0, "", &text);
        }
    }

    /// The positions as arrows onto the first view, each at a height of its own.
    fn marks(&mut self, frame: &Snapshot) {
        let mut marks = vec![("consumer", frame.consumer_pos), ("producer", frame.producer_pos)];
        if frame.mode != Mode::User && frame.pending_pos != 0 {
            marks.push(("pending", frame.pending_pos));
        }
        if frame.mode == Mode::Overwrite {
            marks.push(("overwrite", frame.overwrite_pos));
        }
        for (index, (name, position)) in marks.into_iter().enumerate() {
            let offset = frame.offset(position);
            let x = MARGIN + scaled(offset, frame.bytes, VIEW);
            let y = PAGES + 68.0 + 18.0 * index as f64;
            self.line(format_args!(
                r#"<line class="mark {name}" x1="{x:.2}" y1="{:.1}" x2="{x:.2}" y2="{:.1}"/>"#,
                y - 10.0,
                DATA + BAR
            ));
            self.text(x + 5.0, y, "small", &format!("{name} at offset {offset:#x}"));
        }
    }

    /// The data twice, and the stretch that waits.
    fn views(&mut self, frame: &Snapshot) {
        for run in runs(frame, VIEW / frame.bytes.max(1) as f64) {
            let start = scaled(frame.offset(run.position), frame.bytes, VIEW);
            let width = run.bytes as f64 * VIEW / frame.bytes.max(1) as f64;
            self.bar(MARGIN + start, DATA, width, &run, "");
            // Its other likeness: a view further, or, of what runs over the border, a view back.
            self.bar(MARGIN + start + VIEW, DATA, width.min(VIEW - start), &run, " again");
            let over = start + width - VIEW;
            if over > 0.0 {
                self.bar(MARGIN, DATA, over, &run, " again");
            }
        }
        for x in [MARGIN, MARGIN + VIEW] {
            self.line(format_args!(r#"<rect class="border" x="{x}" y="{DATA}" width="{VIEW}" height="{BAR}"/>"#));
        }
        self.text(MARGIN, DATA + BAR + 14.0, "small", &format!("the data: offsets 0 to {:#x}", frame.bytes));
        self.text(MARGIN + VIEW + 4.0, DATA + BAR + 14.0, "small", "the same pages, mapped once more");
    }

    /// What waits by itself, and the lens that it is seen through.
    fn enlarged(&mut self, frame: &Snapshot) {
        if frame.fill_bytes == 0 {
            self.text(MARGIN, ENLARGED + 30.0, "", "nothing waits");
            return;
        }
        let start = MARGIN + scaled(frame.offset(frame.oldest()), frame.bytes, VIEW);
        let end = (start + frame.fill_bytes as f64 * VIEW / frame.bytes.max(1) as f64).min(MARGIN + INNER);
        let (top, bottom, right) = (DATA + BAR + 20.0, ENLARGED - 18.0, MARGIN + INNER);
        self.line(format_args!(
            r#"<polygon class="lens" points="{start:.2},{top} {end:.2},{top} {right},{bottom} {MARGIN},{bottom}"/>"#
        ));
        let caption = format!("what waits, enlarged: {} bytes", frame.fill_bytes);
        self.text(MARGIN, ENLARGED - 4.0, "small", &caption);
        let scale = INNER / frame.fill_bytes as f64;
        for run in runs(frame, scale) {
            let x = MARGIN + run.position.wrapping_sub(frame.oldest()) as f64 * scale;
            let width = run.bytes as f64 * scale;
            self.bar(x, ENLARGED, width, &run, "");
            if run.count == 1 && width > 12.0 {
                let header = 8.0 * scale;
                self.line(format_args!(
                    r#"<rect class="header" x="{x:.2}" y="{ENLARGED}" width="{header:.2}" height="{BAR}"/>"#
                ));
                let label = run.length.to_string();
                if width > 10.0 + 7.0 * label.len() as f64 {
                    self.text(x + (header + width) / 2.0, ENLARGED + BAR / 2.0 + 4.0, "label", &label);
                }
            }
        }
        self.line(format_args!(r#"<rect class="border" x="{MARGIN}" y="{ENLARGED}" width="{INNER}" height="{BAR}"/>"#));
        let ends = format!("position {} to {}", frame.oldest(), frame.producer_pos);
        self.text(MARGIN, ENLARGED + BAR + 14.0, "small", &ends);
    }

    fn bar(&mut self, x: f64, y: f64, width: f64, run: &Run, again: &str) {
        if width <= 0.0 {
            return;
        }
        let edge = if run.count == 1 && width > 4.0 { " edge" } else { "" };
        let class = run.state.word();
        self.line(format_args!(
            r#"<rect class="{class}{again}{edge}" x="{x:.2}" y="{y}" width="{width:.2}" height="{BAR}"><title>{}</title></rect>"#,
            escaped(&run.title())
        ));
    }

    fn legend(&mut self) {
        let mut x = MARGIN;
        for (class, text) in [
            ("committed", "committed: waits to be read"),
            ("discarded", "discarded: will be skipped"),
            ("busy", "busy: reserved, not committed; holds up all behind it"),
        ] {
            let y = LEGEND - 11.0;
            self.line(format_args!(r#"<rect class="{class}" x="{x}" y="{y}" width="14" height="14"/>"#));
            self.text(x + 20.0, LEGEND, "small", text);
            x += 50.0 + 6.8 * text.len() as f64;
        }
        self.text(x, LEGEND, "small", "darker: the header, 8 bytes");
    }
}

/// Records in a row that are drawn as one, because each would be thinner than a pixel and they look alike.
struct Run {
    position: u64,
    bytes: u64,
    state: State,
    count: u64,
    /// Of the first one.
    length: u32,
}

impl Run {
    fn title(&self) -> String {
        let Self { position, state, count, length, .. } = self;
        match count {
            1 => format!("{}: {length} bytes at position {position}", state.word()),
            count => format!("{count} records, {}: {} bytes from position {position}", state.word(), self.bytes),
        }
    }
}

/// The records as they are drawn if a byte is `scale` pixels wide.
fn runs(frame: &Snapshot, scale: f64) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let thin = |record: &Waiting| (record.space() as f64) * scale < 1.0;
    for record in &frame.records {
        match runs.last_mut() {
            Some(run)
                if run.state == record.state
                    && thin(record)
                    && (run.count > 1 || (run.bytes as f64) * scale < 1.0)
                    && run.position.wrapping_add(run.bytes) == record.position =>
            {
                run.bytes += record.space();
                run.count += 1;
            }
            _ => runs.push(Run {
                position: record.position,
                bytes: record.space(),
                state: record.state,
                count: 1,
                length: record.length,
            }),
        }
    }
    runs
}

fn scaled(at: u64, bytes: u64, width: f64) -> f64 {
    at as f64 * width / bytes.max(1) as f64
}

/// Fit to stand between tags.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML knows no such characters, not even escaped.
            character if character.is_control() => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::cells::tests::ring;
    use super::*;

    #[test]
    fn every_record_is_there_and_to_scale() {
        let frame = ring(0, &[(1016, State::Committed), (2040, State::Busy)]);
        let svg = document(&[frame]);
        // 1024 of 4096 bytes are a quarter of a view; of the 3072 that wait, a third of the whole.
        for (class, x, y, width) in [
            ("committed edge", MARGIN, DATA, VIEW / 4.0),
            ("busy edge", MARGIN + VIEW / 4.0, DATA, VIEW / 2.0),
            ("committed again edge", MARGIN + VIEW, DATA, VIEW / 4.0),
            ("committed edge", MARGIN, ENLARGED, INNER / 3.0),
            ("busy edge", MARGIN + INNER / 3.0, ENLARGED, INNER * 2.0 / 3.0),
        ] {
            let rect = format!(r#"<rect class="{class}" x="{x:.2}" y="{y}" width="{width:.2}""#);
            assert!(svg.contains(&rect), "{rect}\n{svg}");
        }
    }

    #[test]
    fn a_hundred_thousand_records_make_a_small_picture() {
        let mut frame = ring(0, &[]);
        frame.bytes = 1 << 24;
        for index in 0..100_000_u64 {
            let position = index * 16;
            let state = if index == 5_000 { State::Busy } else { State::Committed };
            frame.records.push(Waiting { position, offset: position, length: 8, state, payload: None, value: None });
            frame.producer_pos += 16;
            frame.fill_bytes += 16;
        }
        let svg = document(&[frame]);
        assert!(svg.len() < 20_000, "{}", svg.len());
        assert!(svg.contains("<title>busy: 8 bytes at position 80000</title>"));
        assert!(svg.contains("<title>5000 records, committed: 80000 bytes from position 0</title>"));
    }

    #[test]
    fn names_cannot_break_out() {
        let mut frame = ring(0, &[]);
        frame.name = "</text><script>\x1b".to_owned();
        let svg = document(&[frame]);
        assert!(!svg.contains("<script>") && !svg.contains('\x1b'));
    }
}
