//! A buffer that is looked at again and again, of either kind (a ring, or the perf buffers of a process), and how it is viewed.

use std::time::{Duration, Instant};

use super::rates::{self, RecordRate};
use crate::{
    columns::display_width,
    draw::{Canvas, Command, Picture, Steps},
    failure::Failure,
};

/// Something that is looked at again and again.
pub(crate) trait Live {
    /// Looks at the positions alone, which costs next to nothing.
    fn sample(&mut self, now: Instant);

    /// Looks at all that waits, with at most so many payloads.
    fn look(&mut self, payloads: usize, now: Instant);

    /// Asks who has to do with it, which takes a walk over all processes.
    fn ask_around(&mut self);

    /// What the last look found, as JSON, a line each.
    fn json(&self) -> Result<String, Failure>;

    /// The same in short, a line for each buffer, and what stands above such lines.
    fn short(&self, since: Duration) -> String;
    fn heading(&self) -> String;

    /// The same as pictures.
    fn pictures(&self) -> Vec<Picture>;

    /// The same for a screen of so many columns and rows; what is beyond them is cut off.
    fn lines(&self, view: &View, columns: usize, rows: usize) -> Vec<String>;

    /// How many buffers it has.
    fn buffers(&self) -> usize {
        1
    }

    /// In which of them most waits: the one that is shown first.
    fn fullest(&self) -> usize {
        0
    }

    /// How many records one of them has.
    fn records(&self, buffer: usize) -> usize;

    /// Whether payloads are shown by their type.
    fn is_decoded(&self) -> bool;
}

/// What the viewer wants to see, and how.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) interval: Duration,
    pub(crate) paused: bool,
    /// The pages as a picture.
    pub(crate) drawn: bool,
    /// Payloads as bytes, though their type is known.
    pub(crate) bytes: bool,
    /// RecordRate that are scrolled over.
    pub(crate) above: usize,
    /// Which of several buffers is shown.
    pub(crate) chosen: usize,
    pub(crate) coloured: bool,
}

impl View {
    /// What is at both ends of the first line.
    pub(crate) fn title(&self, title: &str, columns: usize) -> String {
        let state = if self.paused { "paused".to_owned() } else { format!("every {} s", self.interval.as_secs_f64()) };
        let gap = columns.saturating_sub(display_width(title) + display_width(&state));
        let (bold, _, plain) = self.pens();
        format!("{bold}{title}{plain}{}{state}", " ".repeat(gap))
    }

    /// Bold, dim, and plain again.
    pub(crate) fn pens(&self) -> (&'static str, &'static str, &'static str) {
        if self.coloured { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") }
    }

    /// A position, and how fast it moves.
    pub(crate) fn position(&self, name: &str, at: u64, bytes: f64, records: Option<RecordRate>, verb: &str) -> String {
        let (bytes, records) = (self.rate(rates::rate(bytes)), self.rate(rates::records(records)));
        format!("{name:<9} {at:>20}  {bytes:>10}  {records:>12} {verb}")
    }

    /// The lines of the records that are not scrolled over, as many as there is room for; the last one tells of those behind.
    pub(crate) fn scrolled<R>(&self, records: &[R], room: usize, line: impl Fn(&R) -> String) -> Vec<String> {
        let (_, dim, plain) = self.pens();
        let mut lines: Vec<_> = records.iter().skip(self.above).take(room).map(line).collect();
        let left = records.len().saturating_sub(self.above + room);
        if left > 0
            && let Some(last) = lines.last_mut()
        {
            *last = format!("{dim}{:>20}  {} more{plain}", "…", left + 1);
        }
        lines
    }

    /// A rate, which a look that stands still has none of.
    pub(crate) fn rate(&self, rate: String) -> String {
        if self.paused { "-".to_owned() } else { rate }
    }
}

/// Draws, once or step by step.
pub(crate) fn draw(live: &mut impl Live, mut canvas: Canvas, step: bool) -> Result<(), Failure> {
    let mut steps = step.then(Steps::new).transpose()?;
    loop {
        live.look(0, Instant::now());
        let mut more = true;
        for picture in live.pictures() {
            more = more && canvas.draw(picture)?;
        }
        if !more || steps.as_mut().is_none_or(|steps| steps.next(false, None) == Command::End) {
            break;
        }
    }
    canvas.finish()
}
