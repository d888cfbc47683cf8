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

use super::{args::Arguments, kept::Kept, replay_page::ReplayPage, screen, view::Live, watch};
use crate::{
    args::Format,
    diagnostics,
    draw::{Canvas, Command, Steps},
    error::CliError,
    recorder::NewRecording,
    replay::{Definitions, Recording, ReplayArguments},
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
    let new = NewRecording::create(path)?;
    live.take_snapshot(arguments.records(), Instant::now());
    let first = live.kept();
    let mut recorder = new.begin("peek", vec![Definitions::count(first.len())])?;
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
            return recorder.finish(recorded, None);
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
    let mut screen = match canvas {
        None if arguments.watch => Screen::Watched(Vec::new()),
        Some(canvas) => Screen::Pictures(Pictures::new(canvas, arguments.step)?),
        None => Screen::Text(arguments.format(), most),
    };
    let limit = arguments.count.unwrap_or(u64::MAX);
    let (mut shown, mut wrong) = (0, None);
    // The live screen has a pace of its own.
    let speed = arguments.speed.filter(|_| !arguments.watch);
    let outcome = recording.each(speed, |entry| {
        let Entry::Snapshot(snapshot) = entry else { return Ok(true) };
        let Some(buffer) = definitions.buffers.iter().find(|buffer| buffer.index == snapshot.buffer) else {
            return Ok(true);
        };
        match Kept::of(buffer, snapshot) {
            Ok(mut kept) => {
                shown += 1;
                kept.keep_payloads(most);
                Ok(screen.show(kept)? && shown < limit)
            }
            Err(why) => {
                wrong = Some(why);
                Ok(false)
            }
        }
    });
    screen.finish(arguments.speed)?;
    outcome?;
    if let Some(why) = wrong {
        return Err(recording.failure(&format!("snapshot {} is wrong: {why}", shown + 1)));
    }
    recording.say_end(shown);
    Ok(())
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
