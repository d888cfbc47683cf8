//! Look after look: how fast a ring is filled and emptied, and how long what waits has waited.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Arguments, Snapshot, ring::Ring, show};
use crate::{Format, draw::Canvas, failure::Failure, signals, terminal};

/// How often the positions alone are looked at between two looks.
const SAMPLE: Duration = Duration::from_millis(20);

/// How much of the past is kept for the curve of fill over time.
const PAST: usize = 400;

/// What several looks tell that one does not.
pub(crate) struct Motion {
    /// Time, consumer and producer position of the last look.
    last: Option<(Instant, u64, u64)>,
    /// Bytes a second that were reserved, and that were released, between the last two looks.
    pub(crate) written: f64,
    pub(crate) released: f64,
    /// The position at the head, and since when it stands there.
    head: Option<(u64, Instant)>,
    /// Whether the head was there at the first look already: then it is older than we know.
    older: bool,
    /// The highest fill since the last look, in bytes.
    peak: u64,
    /// Such peaks as parts of the whole, one for each look, newest last.
    pub(crate) past: VecDeque<f64>,
}

impl Motion {
    pub(crate) fn new() -> Self {
        Self { last: None, written: 0.0, released: 0.0, head: None, older: false, peak: 0, past: VecDeque::new() }
    }

    /// Looks at the positions alone, which costs next to nothing.
    pub(crate) fn sample(&mut self, ring: &Ring, now: Instant) {
        let positions = ring.positions();
        let oldest = if positions.overwrite > positions.consumer { positions.overwrite } else { positions.consumer };
        let fill = positions.producer.wrapping_sub(oldest);
        self.peak = self.peak.max(fill);
        if fill == 0 {
            self.head = None;
            self.older = false;
        } else if self.head.is_none_or(|(head, _)| head != oldest) {
            self.older = self.last.is_none() && self.head.is_none();
            self.head = Some((oldest, now));
        }
    }

    /// Takes a whole look into account.
    pub(crate) fn look(&mut self, look: &Snapshot, now: Instant) {
        if let Some((then, consumer, producer)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64().max(1e-6);
            self.written = look.producer_pos.wrapping_sub(producer) as f64 / seconds;
            self.released = look.consumer_pos.wrapping_sub(consumer) as f64 / seconds;
        }
        self.last = Some((now, look.consumer_pos, look.producer_pos));
        let peak = std::mem::take(&mut self.peak).max(look.fill_bytes);
        self.past.push_back(peak as f64 / look.bytes.max(1) as f64);
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// How long the oldest record has been seen to wait; `None` if none does.
    pub(crate) fn age(&self, now: Instant) -> Option<String> {
        let (_, since) = self.head?;
        let seconds = now.duration_since(since).as_secs_f64();
        Some(format!("{}{seconds:.2} s", if self.older { "≥ " } else { "" }))
    }
}

/// Bytes a second, in three digits.
pub(crate) fn rate(bytes: f64) -> String {
    match bytes {
        ..1e3 => format!("{bytes:.0} B/s"),
        ..1e6 => format!("{:.1} kB/s", bytes / 1e3),
        ..1e9 => format!("{:.1} MB/s", bytes / 1e6),
        _ => format!("{:.1} GB/s", bytes / 1e9),
    }
}

/// Set when it is time to end.
pub(crate) fn stopped() -> Result<Arc<AtomicBool>, Failure> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    // ATOMICS: nothing but the flag itself passes from thread to thread.
    let stop = move || flag.store(true, Ordering::Relaxed);
    signals::on_stop(stop).map_err(|error| Failure::system("listen for signals", &error))?;
    Ok(stopped)
}

/// A line for each look, where there is no terminal to draw a screen on.
pub(crate) fn run(ring: &mut Ring, arguments: &Arguments, mut canvas: Option<Canvas>) -> Result<(), Failure> {
    let stopped = stopped()?;
    let mut motion = Motion::new();
    let begun = Instant::now();
    let mut looks = 0_u64;
    loop {
        let now = Instant::now();
        motion.sample(ring, now);
        let look = ring.full_look();
        motion.look(&look, now);
        let more = match (&mut canvas, arguments.format) {
            (Some(canvas), _) => canvas.draw(&look)?,
            (None, Format::Json) => terminal::print(&show::json(&look)?).map(|()| true)?,
            (None, Format::Table) => {
                let head = if looks == 0 { heading() } else { String::new() };
                terminal::print(&(head + &line(&look, &motion, begun, now))).map(|()| true)?
            }
        };
        looks += 1;
        let next = now + arguments.interval;
        while Instant::now() < next {
            // ATOMICS: see `stopped`.
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(SAMPLE.min(next.saturating_duration_since(Instant::now())));
            motion.sample(ring, Instant::now());
        }
        // ATOMICS: see `stopped`.
        let ended = stopped.load(Ordering::Relaxed);
        if ended || !more || arguments.count.is_some_and(|count| looks >= count) {
            if let Some(canvas) = &canvas {
                canvas.tell();
            }
            return Ok(());
        }
    }
}

fn heading() -> String {
    format!(
        "{:>8} {:>16} {:>16} {:>7} {:>8} {:>5} {:>10} {:>10} {:>10}\n",
        "SECONDS", "CONSUMER", "PRODUCER", "FILL", "RECORDS", "BUSY", "WRITTEN", "RELEASED", "HEAD"
    )
}

fn line(look: &Snapshot, motion: &Motion, begun: Instant, now: Instant) -> String {
    format!(
        "{:>8.2} {:>16} {:>16} {:>5.1} % {:>8} {:>5} {:>10} {:>10} {:>10}\n",
        now.duration_since(begun).as_secs_f64(),
        look.consumer_pos,
        look.producer_pos,
        look.percent(),
        look.committed + look.busy + look.discarded,
        look.busy,
        rate(motion.written),
        rate(motion.released),
        motion.age(now).unwrap_or_else(|| "-".to_owned())
    )
}
