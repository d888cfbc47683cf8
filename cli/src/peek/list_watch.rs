//! Shows the list of buffers repeatedly: on a live screen, or as a line for each buffer and snapshot.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{
    args::Arguments,
    list_page::ListPage,
    live_list::{LiveList, LiveRow},
    rates, screen, watch,
};
use crate::{args::Format, error::CliError, terminal};

/// Interval at which the processes and programs that use the buffers are found again.
const USERS: Duration = Duration::from_secs(2);

/// Shows the list until there were `--count` snapshots, or a key or signal ends it.
pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let mut live = LiveList::new(&arguments.comm)?;
    if watch::is_on_screen(arguments)? {
        return screen::run(&mut ListPage::new(live, arguments.interval()), arguments.count);
    }
    let stopped = watch::stopped()?;
    let (begun, mut users_found, mut snapshots) = (Instant::now(), Instant::now(), 0_u64);
    loop {
        let now = Instant::now();
        if now.duration_since(users_found) >= USERS {
            live.find_users()?;
            users_found = now;
        }
        live.take_snapshot(now)?;
        let mut text = String::new();
        match arguments.format {
            Format::Json => {
                for row in &live.rows {
                    text += &(terminal::json(row)? + "\n");
                }
            }
            Format::Table => {
                if snapshots == 0 {
                    text = format!("{:>8} {}\n", "SECONDS", LiveRow::heading(None, usize::MAX));
                }
                let seconds = now.duration_since(begun).as_secs_f64();
                text.extend(live.rows.iter().map(|row| format!("{seconds:>8.2} {}\n", row.line(usize::MAX))));
            }
        }
        terminal::print(&text)?;
        snapshots += 1;
        let next = now + arguments.interval();
        // ATOMICS: see `watch::stopped`.
        while Instant::now() < next && !stopped.load(Ordering::Relaxed) {
            thread::sleep(rates::SAMPLE.min(next.saturating_duration_since(Instant::now())));
        }
        // ATOMICS: see `watch::stopped`.
        if stopped.load(Ordering::Relaxed) || arguments.count.is_some_and(|count| snapshots >= count) {
            return Ok(());
        }
    }
}
