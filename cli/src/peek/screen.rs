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
    view::{KeyEffect, View},
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

/// Bytes of a frame that are written at once: more than most frames have.
const FRAME: usize = 64 << 10;

/// The contents of the screen.
pub(super) trait Page {
    fn view(&mut self) -> &mut View;

    /// Samples the positions, which is cheap.
    fn sample(&mut self, now: Instant);

    /// Finds processes and programs that use the buffers: a walk over all processes.
    fn find_users(&mut self) -> Result<(), CliError>;

    /// Takes the snapshot that the next frames show.
    fn take_snapshot(&mut self, now: Instant) -> Result<(), CliError>;

    /// Applies a key that [`View::apply`] does not know.
    fn apply(&mut self, key: Key);

    /// Formats the last snapshot; what is beyond these columns and rows is cut off.
    fn lines(&self, columns: usize, rows: usize) -> Vec<String>;

    /// Names the keys, with two spaces between them.
    fn keys(&self) -> String;
}

/// Shows the page until `count` snapshots were taken, or a key or signal ends it.
pub(super) fn run(page: &mut impl Page, count: Option<u64>) -> Result<(), CliError> {
    let stopped = watch::stopped()?;
    page.find_users()?;
    let _restored = Restored::enter()?;
    let stdin = io::stdin();
    let (mut snapshots, mut next, mut users_found) = (0, Instant::now(), Instant::now());
    // Columns and rows of the terminal, when it was last drawn on.
    let mut shown = (0, 0);
    let failed = |error| CliError::system("use the terminal", &error);
    // ATOMICS: see `watch::stopped`.
    while !stopped.load(Ordering::Relaxed) {
        let now = Instant::now();
        page.sample(now);
        // While the screen is paused, each line keeps the moment of the last snapshot, also those about processes.
        if now >= next && !page.view().paused {
            if now.duration_since(users_found) >= USERS {
                page.find_users()?;
                users_found = now;
            }
            page.take_snapshot(now)?;
            snapshots += 1;
            next = now + page.view().interval;
            shown = show(page).map_err(failed)?;
            if count.is_some_and(|count| snapshots >= count) {
                break;
            }
        }
        let mut changed = terminal::size().is_ok_and(|size| size != shown);
        for key in keys::pressed(&stdin, SAMPLE).map_err(failed)? {
            changed = true;
            match page.view().apply(key) {
                Some(KeyEffect::End) => return Ok(()),
                Some(KeyEffect::SnapshotNow) => next = now,
                Some(KeyEffect::OneSnapshot) => {
                    page.find_users()?;
                    page.take_snapshot(Instant::now())?;
                }
                Some(KeyEffect::ShowAgain) => {}
                None => page.apply(key),
            }
        }
        if changed {
            shown = show(page).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes a frame at once. Returns the columns and rows of the terminal.
fn show(page: &impl Page) -> io::Result<(u16, u16)> {
    let size = terminal::size()?;
    let (columns, rows) = (usize::from(size.0.max(1)), usize::from(size.1.max(1)));
    let mut lines = page.lines(columns, rows.saturating_sub(1));
    lines.truncate(rows.saturating_sub(1));
    lines.resize(rows.saturating_sub(1), String::new());
    lines.push(keys_line(page.keys(), columns));
    let mut to = BufWriter::with_capacity(FRAME, outlet::stdout());
    queue!(to, terminal::BeginSynchronizedUpdate)?;
    for (row, line) in lines.iter().enumerate() {
        let row = u16::try_from(row).unwrap_or(u16::MAX);
        queue!(to, cursor::MoveTo(0, row), Clear(ClearType::CurrentLine), style::Print(line))?;
    }
    queue!(to, terminal::EndSynchronizedUpdate)?;
    to.flush()?;
    Ok(size)
}

/// Formats the names of the keys. A narrow screen has less space between them.
fn keys_line(mut keys: String, columns: usize) -> String {
    if display_width(&keys) > columns {
        keys = keys.replace("  ", " ");
    }
    let (inverse, plain) = if is_colored() { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
    format!("{inverse}{}{plain}", cut(&keys, columns))
}

/// Restores the terminal when dropped, also by a panic.
struct Restored {
    _at_sudden_end: LastAct,
}

impl Restored {
    fn enter() -> Result<Self, CliError> {
        let failed = |error| CliError::system("set up the terminal", &error).advise("pipe the output for plain lines");
        // First, so that no signal finds the terminal raw and nothing that restores it.
        let restored = Self { _at_sudden_end: signals::at_sudden_end(restore) };
        terminal::enable_raw_mode().map_err(failed)?;
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
