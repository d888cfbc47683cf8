//! A watched buffer of either kind (a ring, or the perf buffers of a process), and the settings of its view.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::{
    kept::Kept,
    keys::Key,
    rates::{self, RecordRate},
};
use crate::{
    columns::{self, display_width},
    draw::{Canvas, Command, Picture, Steps},
    error::CliError,
    terminal::is_colored,
};

/// One or more buffers that are watched by repeated snapshots.
pub(crate) trait Live {
    /// Samples the positions, which is cheap.
    fn sample(&mut self, now: Instant);

    /// Takes a snapshot, with at most `payloads` payloads.
    fn take_snapshot(&mut self, payloads: usize, now: Instant);

    /// Finds processes and programs that use the buffers: a walk over all processes.
    fn find_users(&mut self);

    /// Returns the last snapshot of each buffer.
    fn kept(&self) -> Vec<Kept>;

    /// Formats the last snapshot as JSON, a line for each buffer.
    fn json(&self) -> Result<String, CliError>;

    /// Formats the last snapshot in short, a line for each buffer.
    fn short(&self, since: Duration) -> String;
    /// Returns the heading above such lines.
    fn heading(&self) -> String;

    /// Draws the last snapshot.
    fn pictures(&self) -> Vec<Picture>;

    /// Formats the last snapshot for a screen; what is beyond its columns and rows is cut off.
    fn lines(&self, view: &View, columns: usize, rows: usize) -> Vec<String>;

    /// Returns the number of buffers.
    fn buffers(&self) -> usize {
        1
    }

    /// Returns the index of the fullest buffer, which is shown first.
    fn fullest(&self) -> usize {
        0
    }

    /// Returns the number of unread records of a buffer.
    fn records(&self, buffer: usize) -> usize;

    /// Returns whether payloads are decoded.
    fn is_decoded(&self) -> bool;
}

/// The shortest and the longest time between two snapshots.
const PACE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

/// Columns that a key scrolls to the left or right.
const SIDEWAYS: usize = 20;

/// The effect of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyEffect {
    End,
    /// The next snapshot is due.
    SnapshotNow,
    /// A snapshot is taken although the screen is paused.
    OneSnapshot,
    ShowAgain,
}

/// The settings of the screen, which keys change.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) interval: Duration,
    pub(crate) paused: bool,
    /// Whether the pages are drawn.
    pub(crate) drawn: bool,
    /// Whether payloads are shown as bytes, although their type is known.
    pub(crate) bytes: bool,
    /// Records that are scrolled past.
    pub(crate) above: usize,
    /// Columns of the contents of records that are scrolled past.
    pub(crate) left: usize,
    /// Columns of the widest content in the last frame.
    widest: Cell<usize>,
    /// Index of the shown buffer.
    pub(crate) chosen: usize,
    pub(crate) colored: bool,
}

impl View {
    /// Returns the settings of a new screen.
    pub(crate) fn new(interval: Duration, chosen: usize) -> Self {
        Self {
            interval,
            paused: false,
            drawn: true,
            bytes: false,
            above: 0,
            left: 0,
            widest: Cell::new(0),
            chosen,
            colored: is_colored(),
        }
    }

    /// Applies a key that has the same effect on every screen; returns `None` for another key.
    pub(super) fn apply(&mut self, key: Key) -> Option<KeyEffect> {
        match key {
            Key::Quit => return Some(KeyEffect::End),
            Key::Pause => {
                self.paused = !self.paused;
                // A paused screen shows one moment, of which all records can be scrolled to.
                return Some(if self.paused { KeyEffect::OneSnapshot } else { KeyEffect::SnapshotNow });
            }
            Key::OneSnapshot => {
                self.paused = true;
                return Some(KeyEffect::OneSnapshot);
            }
            Key::Faster => self.interval = (self.interval / 2).max(PACE[0]),
            Key::Slower => self.interval = (self.interval * 2).min(PACE[1]),
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::PageUp => self.above = self.above.saturating_sub(10),
            Key::Home => (self.above, self.left) = (0, 0),
            Key::Left => self.left = self.left.saturating_sub(SIDEWAYS),
            Key::Right if self.left + SIDEWAYS < self.widest.get() => self.left += SIDEWAYS,
            Key::Right => {}
            _ => return None,
        }
        Some(KeyEffect::ShowAgain)
    }

    /// Formats the first line: the title at its left end, the state at its right.
    pub(crate) fn title(&self, title: &str, columns: usize) -> String {
        let state = if self.paused { "paused".to_owned() } else { format!("every {} s", self.interval.as_secs_f64()) };
        let gap = columns.saturating_sub(display_width(title) + display_width(&state));
        let (bold, _, plain) = self.pens();
        format!("{bold}{title}{plain}{}{state}", " ".repeat(gap))
    }

    /// Returns the escape sequences for bold, dim and plain.
    pub(crate) fn pens(&self) -> (&'static str, &'static str, &'static str) {
        if self.colored { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") }
    }

    /// Formats a position and its rate.
    pub(crate) fn position(&self, name: &str, at: u64, bytes: f64, records: Option<RecordRate>, verb: &str) -> String {
        let (bytes, records) = (self.rate(rates::rate(bytes)), self.rate(rates::records(records)));
        format!("{name:<9} {at:>20}  {bytes:>10}  {records:>12} {verb}")
    }

    /// Returns the content of a record without the columns that are scrolled past.
    pub(crate) fn shifted(&self, content: &str) -> String {
        self.widest.set(self.widest.get().max(display_width(content)));
        columns::after(content, self.left).to_owned()
    }

    /// Formats the heading above the contents of records, and starts a frame of them.
    pub(crate) fn heading(&self, name: &str) -> String {
        self.widest.set(0);
        if self.left == 0 { name.to_owned() } else { format!("{name} from column {}", self.left + 1) }
    }

    /// Formats the records after those scrolled past, as many as fit; the last line counts the rest.
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

    /// Formats a rate; a dash while paused.
    pub(crate) fn rate(&self, rate: String) -> String {
        if self.paused { "-".to_owned() } else { rate }
    }
}

/// Draws the buffers, once or step by step.
pub(crate) fn draw(live: &mut impl Live, mut canvas: Canvas, step: bool) -> Result<(), CliError> {
    let mut steps = step.then(Steps::new).transpose()?;
    loop {
        live.take_snapshot(0, Instant::now());
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
