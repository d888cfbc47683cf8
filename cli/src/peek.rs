//! `cutaway peek`: shows ring and perf buffers of any process, as a pure observer.
//!
//! ```text
//!     args.rs       the arguments
//!     choose.rs     the map that the arguments name
//!     list.rs       all rings: owners, pins, fill         gauge.rs      how full a buffer is; --fail-above
//!     ring/         one ring: its read-only pages, a snapshot, the snapshot as text, repeated snapshots
//!     perf/         the perf buffers of a process, borrowed: the same
//!     types.rs      the types of records                      programs.rs   the programs that use a ring
//!     loaded.rs     types found in loaded programs
//!     payload.rs    payloads as hexadecimal text              line.rs       lines common to rings and perf buffers
//!     view.rs       a watched buffer and the view settings
//!     rates.rs      rates and ages, from several snapshots
//!     watch.rs      a line for each snapshot                  screen.rs     a live screen      keys.rs   its keys
//!     live_page.rs  a watched buffer on the screen            list_page.rs  the list on the screen
//!     live_list.rs  the list with rates                       list_watch.rs the list, watched
//!     names.rs      names of maps and processes, and patterns for them
//!     replay.rs     snapshots from a file
//!     kept.rs       a snapshot of either kind, as a look of a recording
//!     replay_page.rs a recording on the screen
//!     recorded.rs   --record, and the replay of a recording
//! ```
//!
//! Nothing here writes to a ring, waits on one or consumes from one. The pages are mapped read-only, which the kernel
//! enforces. If the owner exits, the map lives until this process closes it.

mod args;
mod choose;
mod gauge;
mod kept;
mod keys;
mod line;
mod list;
mod list_page;
mod list_watch;
mod live_list;
mod live_page;
mod loaded;
mod names;
mod payload;
mod perf;
mod programs;
mod rates;
mod recorded;
mod replay;
mod replay_page;
mod ring;
mod screen;
mod types;
mod view;
mod watch;

use cutaway::{MapType, system};

pub(crate) use self::{
    args::Arguments,
    keys::WATCH_KEYS,
    recorded::replay,
    ring::{Mode, Snapshot},
};
use self::{
    live_page::LivePage,
    ring::{LiveRing, Ring},
};
use crate::{draw::Canvas, error::CliError};

/// Shows the buffers that the arguments name, or lists all of them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    if let Some(file) = &arguments.from {
        return replay::run(file, arguments);
    }
    let Some(map) = choose::choose(arguments)? else {
        return match arguments.pid {
            Some(pid) => perf::run(&[pid], arguments),
            None if arguments.watch => list_watch::run(arguments),
            None => list::run(arguments),
        };
    };
    if map.map_type() == MapType::PERF_EVENT_ARRAY {
        let holders = system::open_fds()?;
        let mut pids: Vec<u32> = holders.of_map(map.id()).map(|holder| holder.pid).collect();
        pids.retain(|pid| *pid != std::process::id());
        pids.dedup();
        if pids.is_empty() {
            return Err(CliError::new(format!("no process holds the perf event array `{}`", map.name()))
                .advise("name the process that opened its perf events: --pid PID"));
        }
        return perf::run(&pids, arguments);
    }
    let ring = Ring::open(map, arguments)?;
    if let Some(path) = &arguments.record {
        return recorded::record(&mut LiveRing::new(ring), path, arguments);
    }
    match (&arguments.draw, arguments.watch) {
        (Some(file), false) => view::draw(&mut LiveRing::new(ring), Canvas::new(file)?, arguments.step),
        (None, true) if watch::is_on_screen(arguments)? => {
            let mut live = LiveRing::new(ring);
            screen::run(&mut LivePage::new(&mut live, arguments.interval()), arguments.count)
        }
        (draw, true) => watch::run(&mut LiveRing::new(ring), arguments, draw.as_deref().map(Canvas::new).transpose()?),
        (None, false) => {
            let snapshot = ring::show(&ring, arguments.format)?;
            gauge::check(arguments.fail_above, &[ring::gauge(&snapshot)])
        }
    }
}
