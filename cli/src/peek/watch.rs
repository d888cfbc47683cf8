//! Prints a line for each snapshot, if stdout is not a terminal for a live screen.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use log::warn;

use super::{args::Arguments, keys, rates::SAMPLE, view::Live};
use crate::{args::Format, draw::Canvas, error::CliError, signals, terminal};

/// Returns a flag that the first signal sets.
pub(crate) fn stopped() -> Result<Arc<AtomicBool>, CliError> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    // ATOMICS: the flag publishes nothing else.
    let stop = move || flag.store(true, Ordering::Relaxed);
    signals::on_stop(stop).map_err(|error| CliError::system("listen for signals", &error))?;
    Ok(stopped)
}

/// Takes snapshots until there were `--count` of them, or a signal comes.
pub(crate) fn run(live: &mut impl Live, arguments: &Arguments, mut canvas: Option<Canvas>) -> Result<(), CliError> {
    if canvas.is_none() && arguments.format == Format::Table {
        unused(arguments);
    }
    let stopped = stopped()?;
    let begun = Instant::now();
    let mut snapshots = 0_u64;
    loop {
        let now = Instant::now();
        live.sample(now);
        live.take_snapshot(arguments.records(), now);
        let mut more = true;
        match (&mut canvas, arguments.format) {
            (Some(canvas), _) => {
                for picture in live.pictures() {
                    more = more && canvas.draw(picture)?;
                }
            }
            (None, Format::Json) => terminal::print(&live.json()?)?,
            (None, Format::Table) => {
                let head = if snapshots == 0 { live.heading() } else { String::new() };
                terminal::print(&(head + &live.short(now.duration_since(begun))))?;
            }
        }
        snapshots += 1;
        let next = now + arguments.interval();
        // ATOMICS: see `stopped`.
        while Instant::now() < next && !stopped.load(Ordering::Relaxed) {
            thread::sleep(SAMPLE.min(next.saturating_duration_since(Instant::now())));
            live.sample(Instant::now());
        }
        // ATOMICS: see `stopped`.
        let ended = stopped.load(Ordering::Relaxed);
        if ended || !more || arguments.count.is_some_and(|count| snapshots >= count) {
            return canvas.as_mut().map_or(Ok(()), Canvas::finish);
        }
    }
}

/// Returns whether there is a terminal with a keyboard.
pub(crate) fn has_screen() -> bool {
    io::stdout().is_terminal() && keys::are_available()
}

/// Returns whether `--watch` shows a live screen: a table on a terminal with a keyboard.
///
/// # Errors
/// Fails if `--records` is given: the screen lists the records that fit.
pub(crate) fn is_on_screen(arguments: &Arguments) -> Result<bool, CliError> {
    let is_on_screen = arguments.format == Format::Table && has_screen();
    if is_on_screen && arguments.records.is_some() {
        return Err(CliError::usage(
            "--records has no effect on the live screen, which lists the records that fit; drop it",
        ));
    }
    Ok(is_on_screen)
}

/// Warns of options without effect: lines of a table show no payloads; the screen and JSON do.
fn unused(arguments: &Arguments) {
    let given = [("--type", arguments.decode_as.is_some()), ("--records", arguments.records.is_some())];
    for (option, _) in given.iter().filter(|(_, given)| *given) {
        warn!("{option} has no effect here: lines of --watch show no payloads; --format json does");
    }
}
