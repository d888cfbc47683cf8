//! `--record`: snapshots of buffers, recorded; and their replay.
//!
//! A snapshot that equals the one before is not recorded: of a buffer that does not change, each would be the same but
//! for its time.

use std::{
    borrow::Cow,
    collections::VecDeque,
    path::Path,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use cutaway_recording::{Entry, Snapshot};
use log::warn;

use super::{args::Arguments, kept::Kept, replay_page::ReplayPage, screen, view::Live, watch};
use crate::{
    args::Format,
    diagnostics,
    draw::{Canvas, Command, Steps},
    error::CliError,
    recorder::NewRecording,
    replay::{Definitions, Recording, ReplayArguments, Show},
    terminal,
};

/// The longest sleep, so that a signal is noticed soon.
const PATIENCE: Duration = Duration::from_millis(100);

/// Snapshots that are kept in memory for `--watch`.
const MOST_WATCHED: usize = 100_000;

/// Pictures that --step can return to.
const BACK: usize = 10_000;

/// Records snapshots until there were `--count` of them, or a signal comes.
pub(super) fn record(live: &mut impl Live, path: &Path, arguments: &Arguments) -> Result<(), CliError> {
    let stopped = watch::stopped()?;
    let new = NewRecording::create(path, true)?;
    live.take_snapshot(arguments.records(), Instant::now());
    let first = live.kept();
    let mut recorder = new.begin("peek", Definitions::count(0, first.len()).into())?;
    for (index, kept) in first.iter().enumerate() {
        recorder.add(&Entry::Buffer(kept.buffer(index as u32)))?;
    }
    let interval = arguments.record_interval();
    diagnostics::say(&format!("Recording snapshots every {interval:?}; Ctrl-C to end"));
    let (mut snapshots, mut recorded) = (0_u64, 0_u64);
    let mut before: Vec<Option<Snapshot>> = vec![None; first.len()];
    let mut next = Instant::now();
    loop {
        for ((index, kept), before) in live.kept().iter().enumerate().zip(&mut before) {
            let snapshot = kept.snapshot(index as u32);
            let same = before
                .as_ref()
                .is_some_and(|before| Snapshot { time_ns: before.time_ns, ..snapshot.clone() } == *before);
            if !same {
                recorder.add(&Entry::Snapshot(Cow::Borrowed(&snapshot)))?;
                recorded += 1;
                *before = Some(snapshot);
            }
        }
        recorder.pass_on()?;
        snapshots += 1;
        // A snapshot that took too long does not shift those that follow, and none is made up for.
        next = (next + interval).max(Instant::now());
        // ATOMICS: the flag publishes nothing else.
        while Instant::now() < next && !stopped.load(Ordering::Relaxed) {
            thread::sleep(PATIENCE.min(next.saturating_duration_since(Instant::now())));
        }
        // ATOMICS: see above.
        if stopped.load(Ordering::Relaxed) || arguments.count.is_some_and(|most| snapshots >= most) {
            return recorder.finish(recorded, None, false);
        }
        live.take_snapshot(arguments.records(), Instant::now());
    }
}

/// Shows the snapshots of a recording.
pub(crate) fn replay(mut recording: Recording, arguments: &ReplayArguments) -> Result<(), CliError> {
    if arguments.watch && !watch::has_screen() {
        return Err(CliError::usage("--watch needs a terminal with a keyboard; omit it"));
    }
    let definitions = recording.definitions()?;
    let most = arguments.records.unwrap_or(usize::MAX);
    let canvas = arguments.draw.as_deref().map(|picture| Canvas::apart(picture, &[&arguments.file])).transpose()?;
    let screen = match canvas {
        None if arguments.watch => Screen::Watched(Vec::new()),
        Some(canvas) => Screen::Pictures(Pictures::new(canvas, arguments.step)?),
        None => Screen::Text(arguments.format(), most),
    };
    let mut replay =
        Replay { definitions: &definitions, screen, most, shown: 0, limit: arguments.count.unwrap_or(u64::MAX) };
    // The live screen has a pace of its own.
    let outcome = recording.each(arguments.speed.filter(|_| !arguments.watch), &mut replay);
    let shown = replay.shown;
    replay.screen.finish(arguments.speed)?;
    outcome?;
    recording.say_end(shown);
    Ok(())
}

/// The state of a replay.
struct Replay<'d> {
    definitions: &'d Definitions,
    screen: Screen,
    /// The records of each snapshot that have their payload.
    most: usize,
    shown: u64,
    limit: u64,
}

impl Show for Replay<'_> {
    fn show(&mut self, entry: Entry<'_>) -> Result<bool, CliError> {
        let Entry::Snapshot(snapshot) = entry else { return Ok(true) };
        let buffer = self.definitions.buffers.iter().find(|buffer| buffer.index == snapshot.buffer);
        let Some(buffer) = buffer else { return Ok(true) };
        match Kept::of(buffer, snapshot) {
            Ok(mut kept) => {
                self.shown += 1;
                kept.keep_payloads(self.most);
                Ok(self.screen.show(kept)? && self.shown < self.limit)
            }
            Err(why) => {
                warn!("the snapshot after {} is skipped: {why}", self.shown);
                Ok(true)
            }
        }
    }

    fn flush(&mut self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Where snapshots are shown.
enum Screen {
    Text(Format, usize),
    /// On the live screen, once all are read.
    Watched(Vec<Kept>),
    Pictures(Pictures),
}

impl Screen {
    /// Shows a snapshot. Returns false if no more are wanted.
    fn show(&mut self, kept: Kept) -> Result<bool, CliError> {
        match self {
            Self::Text(format, most) => terminal::print(&kept.show(*format, *most)?).map(|()| true),
            Self::Watched(all) => {
                all.push(kept);
                if all.len() >= MOST_WATCHED {
                    diagnostics::say(&format!("--watch shows the first {MOST_WATCHED} snapshots of the recording"));
                }
                Ok(all.len() < MOST_WATCHED)
            }
            Self::Pictures(pictures) => pictures.show(kept),
        }
    }

    fn finish(self, speed: Option<f64>) -> Result<(), CliError> {
        match self {
            Self::Text(..) => Ok(()),
            Self::Watched(all) if all.is_empty() => Ok(()),
            Self::Watched(all) => screen::run(&mut ReplayPage::new(all, speed), None),
            Self::Pictures(mut pictures) => pictures.canvas.finish(),
        }
    }
}

/// Snapshots as pictures, with steps if they are wanted.
struct Pictures {
    canvas: Canvas,
    steps: Option<Steps>,
    /// The last snapshots, the newest last, for steps back.
    seen: VecDeque<Kept>,
}

impl Pictures {
    fn new(canvas: Canvas, step: bool) -> Result<Self, CliError> {
        Ok(Self { canvas, steps: step.then(Steps::new).transpose()?, seen: VecDeque::new() })
    }

    /// Draws a snapshot, and those before it as often as they are asked for.
    fn show(&mut self, kept: Kept) -> Result<bool, CliError> {
        let Some(steps) = &mut self.steps else { return self.canvas.draw(kept.picture()) };
        if self.seen.len() >= BACK {
            self.seen.pop_front();
        }
        let mut kept = kept;
        // A picture has no payloads.
        kept.keep_payloads(0);
        self.seen.push_back(kept);
        let newest = self.seen.len() - 1;
        let mut at = newest;
        while let Some(kept) = self.seen.get(at) {
            if !self.canvas.draw(kept.picture())? {
                return Ok(false);
            }
            // A frame in a file stays there, so stepping back works in a terminal only.
            let back = at > 0 && matches!(self.canvas, Canvas::Terminal);
            match steps.next(back, None) {
                Command::End => return Ok(false),
                Command::Back => at = at.saturating_sub(1),
                Command::Next if at == newest => return Ok(true),
                Command::Next => at += 1,
            }
        }
        Ok(true)
    }
}
