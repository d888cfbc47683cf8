//! The live screen.
//!
//! Each frame is built as lines and written at once, so no frame is shown half drawn. A frame fits any terminal: lines
//! that do not fit are omitted from the bottom, except the line of keys.

use std::{
    io::{self, BufWriter, Write},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crossterm::{
    cursor, execute, queue, style,
    terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};

use super::{
    keys::{self, Key},
    rates::SAMPLE,
    view::{Live, View},
    watch,
};
use crate::{
    columns::{cut, display_width},
    error::CliError,
    outlet,
    signals::{self, LastAct},
    terminal::is_colored,
};

/// Interval at which the processes and programs that use the buffers are found again.
const USERS: Duration = Duration::from_secs(2);

/// The shortest and the longest time between two snapshots.
const PACE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

/// Bytes of a frame that are written at once: more than most frames have.
const FRAME: usize = 64 << 10;

/// Rows that list records, at most.
const ROWS: usize = 200;

/// The buffers on the screen, and the view settings.
struct Screen<'l, L> {
    live: &'l mut L,
    view: View,
    /// Columns and rows of the terminal, when it was last drawn on.
    size: (u16, u16),
}

/// Shows the buffers until `count` snapshots were taken, or a key or signal ends it.
pub(crate) fn run(live: &mut impl Live, interval: Duration, count: Option<u64>) -> Result<(), CliError> {
    let stopped = watch::stopped()?;
    live.find_users();
    let _restored = Restored::enter()?;
    let view = View {
        interval,
        paused: false,
        drawn: true,
        bytes: false,
        above: 0,
        chosen: live.fullest(),
        colored: is_colored(),
    };
    let mut screen = Screen { live, view, size: (0, 0) };
    let stdin = io::stdin();
    let (mut snapshots, mut next, mut users_found) = (0, Instant::now(), Instant::now());
    let failed = |error| CliError::system("use the terminal", &error);
    // ATOMICS: see `watch::stopped`.
    while !stopped.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now.duration_since(users_found) >= USERS {
            screen.live.find_users();
            users_found = now;
        }
        screen.live.sample(now);
        if now >= next && !screen.view.paused {
            screen.take_snapshot(now);
            snapshots += 1;
            next = now + screen.view.interval;
            screen.show().map_err(failed)?;
            if count.is_some_and(|count| snapshots >= count) {
                break;
            }
        }
        for key in keys::pressed(&stdin, SAMPLE).map_err(failed)? {
            match screen.apply(key) {
                KeyEffect::End => return Ok(()),
                KeyEffect::SnapshotNow => next = now,
                KeyEffect::ShowAgain => screen.show().map_err(failed)?,
            }
        }
        if terminal::size().is_ok_and(|size| size != screen.size) {
            screen.show().map_err(failed)?;
        }
    }
    Ok(())
}

/// The effect of a key.
enum KeyEffect {
    End,
    SnapshotNow,
    ShowAgain,
}

impl<L: Live> Screen<'_, L> {
    fn take_snapshot(&mut self, now: Instant) {
        self.live.take_snapshot(self.view.above + ROWS, now);
    }

    fn apply(&mut self, key: Key) -> KeyEffect {
        let (view, buffers) = (&mut self.view, self.live.buffers().max(1));
        let last = self.live.records(view.chosen).saturating_sub(1);
        match key {
            Key::Quit => return KeyEffect::End,
            Key::Pause => {
                view.paused = !view.paused;
                return if view.paused { KeyEffect::ShowAgain } else { KeyEffect::SnapshotNow };
            }
            Key::OneSnapshot => {
                view.paused = true;
                self.take_snapshot(Instant::now());
            }
            Key::Picture => view.drawn = !view.drawn,
            Key::Bytes => view.bytes = !view.bytes,
            Key::Faster => view.interval = (view.interval / 2).max(PACE[0]),
            Key::Slower => view.interval = (view.interval * 2).min(PACE[1]),
            Key::Down => view.above = (view.above + 1).min(last),
            Key::Up => view.above = view.above.saturating_sub(1),
            Key::PageDown => view.above = (view.above + 10).min(last),
            Key::PageUp => view.above = view.above.saturating_sub(10),
            Key::Home => view.above = 0,
            Key::Next => (view.chosen, view.above) = ((view.chosen + 1) % buffers, 0),
            Key::Previous => (view.chosen, view.above) = ((view.chosen + buffers - 1) % buffers, 0),
        }
        KeyEffect::ShowAgain
    }

    fn show(&mut self) -> io::Result<()> {
        self.size = terminal::size()?;
        let (columns, rows) = self.size;
        let (columns, rows) = (usize::from(columns.max(1)), usize::from(rows.max(1)));
        let mut lines = self.live.lines(&self.view, columns, rows.saturating_sub(1));
        lines.truncate(rows.saturating_sub(1));
        lines.resize(rows.saturating_sub(1), String::new());
        lines.push(self.keys(columns));
        let mut to = BufWriter::with_capacity(FRAME, outlet::stdout());
        queue!(to, terminal::BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(to, cursor::MoveTo(0, row), Clear(ClearType::CurrentLine), style::Print(line))?;
        }
        queue!(to, terminal::EndSynchronizedUpdate)?;
        to.flush()
    }

    fn keys(&self, columns: usize) -> String {
        let pause = if self.view.paused { "p resume" } else { "p pause" };
        let kind = match (self.live.is_decoded(), self.view.bytes) {
            (false, _) => "",
            (true, false) => "  x bytes",
            (true, true) => "  x values",
        };
        let picture = if self.view.drawn { "d hide picture" } else { "d picture" };
        let buffers = if self.live.buffers() > 1 { "  ←→ buffers" } else { "" };
        let mut keys = format!("q quit  {pause}  s snapshot  {picture}{kind}{buffers}  ↑↓ records  +- interval");
        if display_width(&keys) > columns {
            keys = keys.replace("  ", " ");
        }
        let (inverse, plain) = if is_colored() { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
        format!("{inverse}{}{plain}", cut(&keys, columns))
    }
}

/// Restores the terminal when dropped, also by a panic.
struct Restored {
    _at_sudden_end: LastAct,
}

impl Restored {
    fn enter() -> Result<Self, CliError> {
        let failed = |error| CliError::system("set up the terminal", &error).advise("pipe the output for plain lines");
        terminal::enable_raw_mode().map_err(failed)?;
        let restored = Self { _at_sudden_end: signals::at_sudden_end(restore) };
        // Lines that are too long are cut, not wrapped.
        execute!(
            outlet::stdout(),
            EnterAlternateScreen,
            cursor::Hide,
            terminal::DisableLineWrap,
            Clear(ClearType::All)
        )
        .map_err(failed)?;
        Ok(restored)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal. It does not wait for a terminal that accepts no output: then escape sequences are lost, but
/// its modes are set.
fn restore() {
    let mut orders = Vec::new();
    // Collecting cannot fail, and there is nothing left to do if the terminal is gone.
    let _ = queue!(orders, terminal::EnableLineWrap, cursor::Show, LeaveAlternateScreen);
    outlet::stdout().write_at_once(&orders);
    let _ = terminal::disable_raw_mode();
}
