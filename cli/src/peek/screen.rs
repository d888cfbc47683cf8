//! The live screen.
//!
//! Each frame is built as plain lines and written in one go, so there is nothing to see half done. A frame fits the
//! terminal whatever its size: what has no room is left out from the bottom, but for the keys, which stay.

use std::{
    io::{self, Write},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crossterm::{
    cursor, execute, queue, style,
    terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};

use super::{
    Snapshot, Waiting,
    keys::{self, Key},
    ring::Ring,
    show::{self, About},
    watch::{self, Motion},
};
use crate::{
    draw,
    failure::Failure,
    terminal::{cut, is_coloured},
};

/// How often the positions alone are looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// How often it is asked who has to do with the ring: that takes a walk over all processes.
const ABOUT: Duration = Duration::from_secs(2);

/// The shortest and the longest time between two looks.
const PACE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(10)];

/// Rows that list records, at most.
const ROWS: usize = 200;

/// What the screen shows, and how.
struct Screen<'r> {
    ring: &'r mut Ring,
    interval: Duration,
    motion: Motion,
    about: About,
    look: Snapshot,
    paused: bool,
    /// The pages as a picture.
    drawn: bool,
    /// Payloads as bytes, though their type is known.
    bytes: bool,
    /// Records that are scrolled over.
    above: usize,
    /// Columns and rows of the terminal, when it was last drawn on.
    size: (u16, u16),
}

/// Shows the ring until it has been looked at so often, or somebody ends it.
pub(crate) fn run(ring: &mut Ring, interval: Duration, count: Option<u64>) -> Result<(), Failure> {
    let stopped = watch::stopped()?;
    let _restored = Restored::enter()?;
    let (about, look) = (About::of(ring), ring.look(ROWS));
    let mut screen = Screen {
        ring,
        interval,
        motion: Motion::new(),
        about,
        look,
        paused: false,
        drawn: true,
        bytes: false,
        above: 0,
        size: (0, 0),
    };
    let stdin = io::stdin();
    let (mut looks, mut next, mut told) = (0, Instant::now(), Instant::now());
    let failed = |error| Failure::system("drive the terminal", &error);
    // ATOMICS: see `watch::stopped`.
    while !stopped.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now.duration_since(told) >= ABOUT {
            screen.about = About::of(screen.ring);
            told = now;
        }
        screen.motion.sample(screen.ring, now);
        if now >= next && !screen.paused {
            screen.look = screen.ring.look(ROWS.max(screen.above + ROWS));
            screen.motion.look(&screen.look, now);
            looks += 1;
            next = now + screen.interval;
            screen.show().map_err(failed)?;
            if count.is_some_and(|count| looks >= count) {
                break;
            }
        }
        for key in keys::pressed(&stdin, SAMPLE).map_err(failed)? {
            match screen.obey(key) {
                Obeyed::End => return Ok(()),
                Obeyed::LookNow => next = now,
                Obeyed::ShowAgain => screen.show().map_err(failed)?,
            }
        }
        if terminal::size().is_ok_and(|size| size != screen.size) {
            screen.show().map_err(failed)?;
        }
    }
    Ok(())
}

/// What a key calls for.
enum Obeyed {
    End,
    LookNow,
    ShowAgain,
}

impl Screen<'_> {
    fn obey(&mut self, key: Key) -> Obeyed {
        let last = self.look.records.len().saturating_sub(1);
        match key {
            Key::Quit => return Obeyed::End,
            Key::Pause => {
                self.paused = !self.paused;
                return if self.paused { Obeyed::ShowAgain } else { Obeyed::LookNow };
            }
            Key::OneLook => {
                self.paused = true;
                self.look = self.ring.look(ROWS.max(self.above + ROWS));
                self.motion.look(&self.look, Instant::now());
            }
            Key::Picture => self.drawn = !self.drawn,
            Key::Bytes => self.bytes = !self.bytes,
            Key::Faster => self.interval = (self.interval / 2).max(PACE[0]),
            Key::Slower => self.interval = (self.interval * 2).min(PACE[1]),
            Key::Down => self.above = (self.above + 1).min(last),
            Key::Up => self.above = self.above.saturating_sub(1),
            Key::PageDown => self.above = (self.above + 10).min(last),
            Key::PageUp => self.above = self.above.saturating_sub(10),
            Key::Home => self.above = 0,
        }
        Obeyed::ShowAgain
    }

    fn show(&mut self) -> io::Result<()> {
        self.size = terminal::size()?;
        let (columns, rows) = self.size;
        let (columns, rows) = (usize::from(columns.max(1)), usize::from(rows.max(1)));
        let mut lines = self.lines(columns, rows.saturating_sub(1));
        lines.truncate(rows.saturating_sub(1));
        lines.resize(rows.saturating_sub(1), String::new());
        lines.push(self.keys(columns));
        let mut to = io::stdout().lock();
        queue!(to, terminal::BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            let row = u16::try_from(row).unwrap_or(u16::MAX);
            queue!(to, cursor::MoveTo(0, row), Clear(ClearType::CurrentLine), style::Print(line))?;
        }
        queue!(to, terminal::EndSynchronizedUpdate)?;
        to.flush()
    }

    /// All but the keys; what is beyond `rows` is cut off.
    fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let look = &self.look;
        let now = Instant::now();
        let coloured = is_coloured();
        let (bold, dim, plain) = if coloured { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let state = if self.paused { "paused".to_owned() } else { format!("every {} s", self.interval.as_secs_f64()) };
        let title = format!("{} {} `{}`, {} bytes", look.mode.word(), look.id, look.name, look.bytes);
        let gap = columns.saturating_sub(title.chars().count() + state.chars().count());
        let mut lines = vec![
            cut(&format!("{bold}{title}{plain}{}{state}", " ".repeat(gap)), columns),
            cut(&format!("held by   {}", self.about.owners()), columns),
            cut(&format!("used by   {}", self.about.programs()), columns),
        ];
        let rate = |bytes| if self.paused { "-".to_owned() } else { watch::rate(bytes) };
        lines.push(cut(
            &format!("producer  {:>20}  {:>12} written", look.producer_pos, rate(self.motion.written)),
            columns,
        ));
        lines.push(cut(
            &format!("consumer  {:>20}  {:>12} released", look.consumer_pos, rate(self.motion.released)),
            columns,
        ));
        let bar = (columns / 2).clamp(10, 60);
        lines.push(cut(&format!("fill      {}", show::fill(look, bar)), columns));
        lines.push(cut(&format!("over time {}", curve(&self.motion, columns.saturating_sub(10))), columns));
        let age = self.motion.age(now).map_or_else(String::new, |age| format!("; the head for {age}"));
        lines.push(cut(&format!("waiting   {}{age}", show::counts(look)), columns));
        lines.push(cut(&format!("wake-up   {}", show::wakeup(look).unwrap_or("of a program that drains it")), columns));
        if let Some(corrupt) = &look.corrupt {
            lines.push(cut(corrupt, columns));
        }
        if self.drawn {
            // Without what the lines above say already.
            lines.extend(draw::text(look, columns, coloured).into_iter().skip(3));
        }
        if !look.records.is_empty() && lines.len() + 1 < rows {
            let last = if self.ring.is_decoded() && !self.bytes { "VALUE" } else { "PAYLOAD" };
            lines.push(cut(&format!("{bold}{}  {last}{plain}", show::head(look)), columns));
            let room = rows.saturating_sub(lines.len());
            for record in look.records.iter().skip(self.above).take(room) {
                let payload =
                    |_: &Waiting, bytes: &[u8]| if self.bytes { show::bytes(bytes) } else { self.ring.payload(bytes) };
                lines.push(cut(&format!("{}  {}", show::row(look, record), show::content(record, payload)), columns));
            }
            let left = look.records.len().saturating_sub(self.above + room);
            if left > 0
                && let Some(line) = lines.last_mut()
            {
                *line = cut(&format!("{dim}{:>20}  {} more{plain}", "…", left + 1), columns);
            }
        }
        lines
    }

    fn keys(&self, columns: usize) -> String {
        let pause = if self.paused { "p go on" } else { "p pause" };
        let kind = match (self.ring.is_decoded(), self.bytes) {
            (false, _) => "",
            (true, false) => "  x bytes",
            (true, true) => "  x values",
        };
        let picture = if self.drawn { "d no picture" } else { "d picture" };
        let keys = format!("q quit  {pause}  s one look  {picture}{kind}  ↑↓ records  +- pace");
        let (inverse, plain) = if is_coloured() { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
        format!("{inverse}{}{plain}", cut(&keys, columns))
    }
}

/// How full it was, newest at the right end.
fn curve(motion: &Motion, columns: usize) -> String {
    const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let from = motion.past.len().saturating_sub(columns);
    let level = |part: &f64| {
        // Anything above nothing is seen.
        let level = (part * 8.0).ceil().clamp(0.0, 8.0) as usize;
        LEVELS.get(level).copied().unwrap_or('█')
    };
    motion.past.iter().skip(from).map(level).collect()
}

/// The terminal as it was before, when this is dropped: also by a panic.
struct Restored;

impl Restored {
    fn enter() -> Result<Self, Failure> {
        let failed =
            |error| Failure::system("take over the terminal", &error).advise("pipe the output for plain lines");
        terminal::enable_raw_mode().map_err(failed)?;
        let restored = Self;
        // Lines that are too long are cut, not wrapped.
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide, terminal::DisableLineWrap, Clear(ClearType::All))
            .map_err(failed)?;
        Ok(restored)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        // There is nothing left to do if the terminal is gone.
        let _ = execute!(io::stdout(), terminal::EnableLineWrap, cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}
