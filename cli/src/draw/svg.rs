//! Draws pictures for a browser: a frame for each snapshot, one below the other.
//!
//! ```text
//!     page 0   page 1                                        positions as numbers
//!        ▼C        ▼P                                        positions as marks
//!     │ data              │ the same pages again  │          every record, in both views; a perf buffer has one view
//!        └── pending ─────┘                                  of double width
//!     │ pending data (zoomed)                     │          every record, its header darker
//! ```

use std::fmt::Write as _;

use super::{
    picture::Picture,
    shades::{Run, runs},
};

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 30.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;
/// Height of a frame.
const FRAME: f64 = 440.0;

/// Vertical positions in a frame.
const PAGES: f64 = 44.0;
const DATA: f64 = 186.0;
const BAR: f64 = 56.0;
const ZOOMED: f64 = 316.0;
const LEGEND: f64 = 412.0;

const STYLE: &str = "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#222;white-space:pre}\
.title{font-size:16px;font-weight:bold}.small{font-size:11px;fill:#555}.label{font-size:11px;fill:#fff;text-anchor:middle}\
.page{fill:#f4f4f2;stroke:#999}.border{fill:none;stroke:#444}\
.committed{fill:#2e8b57}.discarded{fill:#9a9a9a}.busy{fill:#e08a00}\
.sample{fill:#2e8b57}.other{fill:#9a9a9a}.lost{fill:#c0392b}.again{opacity:.4}.header{fill:#000;opacity:.35}\
.column{shape-rendering:crispEdges}.edge{stroke:#fff;stroke-width:.8}.consumer{stroke:#1f5fbf}.producer{stroke:#b01e3c}.pending{stroke:#8a4fbf}\
.overwrite{stroke:#6b5b00}.end{stroke:#444;stroke-dasharray:4 3}.mark{stroke-width:2}.lens{fill:#dfe8f5;stroke:#9db4d8}";

/// Makes a document of these frames.
pub(super) fn document(frames: &[Picture]) -> String {
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
        // There are several snapshots of one buffer, or one snapshot of several buffers.
        let same = |other: &&Picture| other.what == frame.what;
        let step = match frames.iter().filter(same).count() {
            1 => String::new(),
            _ => format!(", snapshot {} after {since:.3} s", frames.iter().take(index).filter(same).count() + 1),
        };
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

    fn frame(&mut self, frame: &Picture, step: &str) {
        let name = frame.name.as_ref().map_or_else(String::new, |name| format!(" “{name}”"));
        let title = format!(
            "{}{name}: {} bytes, {:.1} % full, {} unread{step}",
            frame.what,
            frame.bytes,
            frame.fill_bytes as f64 * 100.0 / frame.bytes.max(1) as f64,
            frame.count()
        );
        self.text(MARGIN, 26.0, "title", &title);
        self.words(frame);
        self.marks(frame);
        self.views(frame);
        self.zoomed(frame);
        self.legend(frame);
    }

    /// Draws the words of the pages before the data.
    fn words(&mut self, frame: &Picture) {
        for (word, (x, width)) in frame.words.iter().zip([(MARGIN, 360.0), (MARGIN + 370.0, INNER - 370.0)]) {
            self.line(format_args!(r#"<rect class="page" x="{x}" y="{PAGES}" width="{width}" height="46"/>"#));
            self.text(x + 8.0, PAGES + 17.0, "small", &format!("{}, {}", word.location, word.who));
            self.text(x + 8.0, PAGES + 36.0, "", &word.text.replace("  ", "   "));
        }
    }

    /// Draws the positions as arrows onto the first view, each at a different height.
    fn marks(&mut self, frame: &Picture) {
        let mut marks: Vec<_> = frame.marks.iter().map(|mark| (frame.offset(mark.position), mark)).collect();
        // The leftmost is the highest, so that no arrow crosses the text of another one.
        marks.sort_by_key(|(offset, _)| *offset);
        for (index, (offset, mark)) in marks.into_iter().enumerate() {
            let x = MARGIN + scaled(offset, frame.bytes, view(frame));
            let y = PAGES + 68.0 + 18.0 * index as f64;
            self.line(format_args!(
                r#"<line class="mark {}" x1="{x:.2}" y1="{:.1}" x2="{x:.2}" y2="{:.1}"/>"#,
                mark.color,
                y - 10.0,
                DATA + BAR
            ));
            // On the side that has room for the text.
            let text = format!("{} at offset {offset:#x}", mark.name);
            let width = 6.8 * text.len() as f64;
            let left = if x + 5.0 + width > WIDTH { x - 5.0 - width } else { x + 5.0 };
            self.text(left, y, "small", &text);
        }
    }

    /// Draws the data, twice if it is mapped twice.
    fn views(&mut self, frame: &Picture) {
        let view = view(frame);
        for run in runs(frame, view / frame.bytes.max(1) as f64) {
            let start = scaled(frame.offset(run.position), frame.bytes, view);
            let width = run.bytes as f64 * view / frame.bytes.max(1) as f64;
            let over = start + width - view;
            if frame.twice {
                self.bar(frame, (MARGIN + start, DATA, width), &run, "");
                // The same record in the other view: one view further, and its wrapped part one view back.
                self.bar(frame, (MARGIN + start + view, DATA, width.min(view - start)), &run, " again");
                self.bar(frame, (MARGIN, DATA, over), &run, " again");
            } else {
                self.bar(frame, (MARGIN + start, DATA, width.min(view - start)), &run, "");
                self.bar(frame, (MARGIN, DATA, over), &run, "");
            }
        }
        let below = DATA + BAR + 14.0;
        self.text(MARGIN, below, "small", &format!("data: offsets 0 to {:#x}", frame.bytes));
        let again = if frame.twice { "the same pages, mapped again" } else { "" };
        for (index, text) in ["", again].into_iter().take(frame.views()).enumerate() {
            let x = MARGIN + view * index as f64;
            self.line(format_args!(r#"<rect class="border" x="{x}" y="{DATA}" width="{view}" height="{BAR}"/>"#));
            if !text.is_empty() {
                self.text(x + 4.0, below, "small", text);
            }
        }
    }

    /// Draws the pending data alone, and the lens from the data to it: two lenses, if it is in two pieces.
    fn zoomed(&mut self, frame: &Picture) {
        if frame.fill_bytes == 0 {
            self.text(MARGIN, ZOOMED + 30.0, "", "no pending data");
            return;
        }
        let (view, scale) = (view(frame), INNER / frame.fill_bytes as f64);
        let start = MARGIN + scaled(frame.offset(frame.oldest), frame.bytes, view);
        let end = start + frame.fill_bytes as f64 * view / frame.bytes.max(1) as f64;
        let (right, over) = (MARGIN + INNER, frame.over());
        if over > 0 && !frame.twice {
            let border = right - over as f64 * scale;
            self.lens([start, right, border, MARGIN]);
            self.lens([MARGIN, MARGIN + scaled(over, frame.bytes, view), right, border]);
            self.records(frame, scale);
            let bottom = ZOOMED + BAR;
            self.line(format_args!(
                r#"<line class="mark end" x1="{border:.2}" y1="{:.1}" x2="{border:.2}" y2="{bottom:.1}"/>"#,
                ZOOMED - 8.0
            ));
            let text = "end of the data; the rest is at its beginning";
            let width = 6.8 * text.len() as f64;
            // To the right of the positions, which are on the same line.
            let left = (border - width / 2.0).clamp(MARGIN + 360.0, right - width);
            self.text(left, bottom + 14.0, "small", text);
        } else {
            self.lens([start, end.min(right), right, MARGIN]);
            self.records(frame, scale);
        }
        let mixed = if runs(frame, scale).iter().all(Run::is_alone) {
            ""
        } else {
            "; thin records share a column, whose shade mixes their kinds: point at it for its numbers"
        };
        let caption = format!("pending data (zoomed): {} bytes{mixed}", frame.fill_bytes);
        self.text(MARGIN, ZOOMED - 4.0, "small", &caption);
        self.line(format_args!(r#"<rect class="border" x="{MARGIN}" y="{ZOOMED}" width="{INNER}" height="{BAR}"/>"#));
        let ends = format!("position {} to {}", frame.oldest, frame.oldest.wrapping_add(frame.fill_bytes));
        self.text(MARGIN, ZOOMED + BAR + 14.0, "small", &ends);
    }

    /// Draws a lens from a range of the data to a range of the zoomed data: the corners from left to right, and back
    /// below.
    fn lens(&mut self, [a, b, c, d]: [f64; 4]) {
        let (top, bottom) = (DATA + BAR + 20.0, ZOOMED - 18.0);
        self.line(format_args!(
            r#"<polygon class="lens" points="{a:.2},{top} {b:.2},{top} {c:.2},{bottom} {d:.2},{bottom}"/>"#
        ));
    }

    /// Draws every unread record, with its header, and with its length if it fits.
    fn records(&mut self, frame: &Picture, scale: f64) {
        for run in runs(frame, scale) {
            let x = MARGIN + run.position.wrapping_sub(frame.oldest) as f64 * scale;
            let width = run.bytes as f64 * scale;
            self.bar(frame, (x, ZOOMED, width), &run, "");
            if let Some(length) = run.alone.filter(|_| width > 12.0) {
                let header = 8.0 * scale;
                self.line(format_args!(
                    r#"<rect class="header" x="{x:.2}" y="{ZOOMED}" width="{header:.2}" height="{BAR}"/>"#
                ));
                let label = length.to_string();
                if width > 10.0 + 7.0 * label.len() as f64 {
                    self.text(x + (header + width) / 2.0, ZOOMED + BAR / 2.0 + 4.0, "label", &label);
                }
            }
        }
    }

    fn bar(&mut self, frame: &Picture, (x, y, width): (f64, f64, f64), run: &Run, again: &str) {
        if width <= 0.0 {
            return;
        }
        let edge = match (run.is_alone(), width > 4.0) {
            (true, true) => " edge",
            (true, false) => "",
            // Neighboring columns meet at a whole pixel.
            (false, _) => " column",
        };
        let (class, style) = run.shade.css();
        self.line(format_args!(
            r#"<rect class="{class}{again}{edge}"{style} x="{x:.2}" y="{y}" width="{width:.2}" height="{BAR}"><title>{}</title></rect>"#,
            escaped(&run.title(frame.kinds))
        ));
    }

    fn legend(&mut self, frame: &Picture) {
        let mut x = MARGIN;
        for kind in frame.kinds {
            let (class, y) = (kind.word(), LEGEND - 11.0);
            let text = format!("{class}: {}", kind.meaning());
            self.line(format_args!(r#"<rect class="{class}" x="{x}" y="{y}" width="14" height="14"/>"#));
            self.text(x + 20.0, LEGEND, "small", &text);
            x += 50.0 + 6.8 * text.len() as f64;
        }
        self.text(x, LEGEND, "small", "darker: the header, 8 bytes");
    }
}

/// Returns the width of one view of the data.
fn view(frame: &Picture) -> f64 {
    INNER / frame.views() as f64
}

fn scaled(at: u64, bytes: u64, width: f64) -> f64 {
    at as f64 * width / bytes.max(1) as f64
}

/// Escapes text for XML and HTML, between tags and in attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML does not allow such characters, not even escaped.
            character if character.is_control() && character != '\n' => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            cells::tests::{buffer, ring},
            picture::{Block, Kind},
        },
        *,
    };

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">&\u{1b}"), "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn records_are_drawn_to_scale() {
        let frame = ring(0, &[(1016, Kind::Committed), (2040, Kind::Busy)]);
        let svg = document(&[frame]);
        // 1024 of 4096 bytes are a quarter of a view; of the 3072 unread bytes, a third.
        for (class, x, y, width) in [
            ("committed edge", MARGIN, DATA, INNER / 8.0),
            ("busy edge", MARGIN + INNER / 8.0, DATA, INNER / 4.0),
            ("committed again edge", MARGIN + INNER / 2.0, DATA, INNER / 8.0),
            ("committed edge", MARGIN, ZOOMED, INNER / 3.0),
            ("busy edge", MARGIN + INNER / 3.0, ZOOMED, INNER * 2.0 / 3.0),
        ] {
            let rect = format!(r#"<rect class="{class}" x="{x:.2}" y="{y}" width="{width:.2}""#);
            assert!(svg.contains(&rect), "{rect}\n{svg}");
        }
    }

    #[test]
    fn many_records_make_a_small_picture() {
        let mut frame = ring(0, &[]);
        frame.bytes = 1 << 24;
        for index in 0..100_000_u64 {
            let position = index * 16;
            let kind = if index == 5_000 { Kind::Busy } else { Kind::Committed };
            frame.records.push(Block { position, space: 16, length: 8, kind });
            frame.fill_bytes += 16;
        }
        let svg = document(&[frame]);
        assert!(svg.len() < 20_000, "{}", svg.len());
        assert!(svg.contains(r#"<rect class="busy column""#), "{svg}");
        // The column of the busy record, and those before it, of the zoomed data.
        assert!(svg.contains("records begin: 174 committed, 1 busy</title>"), "{svg}");
        assert!(svg.contains(" bytes from position 0, where "), "{svg}");
    }

    #[test]
    fn markup_in_names_is_escaped() {
        let mut frame = ring(0, &[]);
        frame.name = Some("</text><script>\x1b".to_owned());
        let svg = document(&[frame]);
        assert!(!svg.contains("<script>") && !svg.contains('\x1b'));
    }

    #[test]
    fn data_mapped_once_is_drawn_once() {
        let frame = buffer(false, 4096 - 1024, &[(2040, Kind::Sample)]);
        let svg = document(&[frame]);
        // Half of it is at the end of the data, half at the beginning; zoomed, it is whole.
        for (x, y, width) in
            [(MARGIN + INNER * 0.75, DATA, INNER / 4.0), (MARGIN, DATA, INNER / 4.0), (MARGIN, ZOOMED, INNER)]
        {
            let rect = format!(r#"<rect class="sample edge" x="{x:.2}" y="{y}" width="{width:.2}""#);
            assert!(svg.contains(&rect), "{rect}\n{svg}");
        }
        assert!(!svg.contains("again\"") && svg.matches("class=\"lens\"").count() == 2, "{svg}");
    }
}
