//! The perf buffers of other processes.
//!
//! ```text
//!     borrowed.rs   the events that have a buffer, and those that share one
//!     snapshot.rs   a snapshot of a buffer, a plain value    show.rs   a snapshot as text
//!     live.rs       repeated snapshots of all buffers
//! ```

mod borrowed;
mod live;
mod show;
mod snapshot;

pub(super) use self::borrowed::gauges;
use self::live::LivePerf;
#[cfg(test)]
pub(crate) use self::snapshot::tests::sample;
pub(crate) use self::{
    show::{json, kept as table},
    snapshot::{Record, Snapshot},
};
use super::{
    args::Arguments,
    choose, gauge,
    live_page::LivePage,
    recorded, screen,
    types::Types,
    view::{self, Live as _},
    watch,
};
use crate::{args::Format, diagnostics, draw::Canvas, error::CliError, terminal};

/// Shows the perf buffers of these processes: once, or repeatedly.
pub(crate) fn run(pids: &[u32], arguments: &Arguments) -> Result<(), CliError> {
    let types = Types::of(arguments, &choose::perf_event_arrays(pids)?, true)?;
    let mut live = LivePerf::new(borrowed::open(pids, arguments.pid.is_some())?, types);
    if let Some(path) = &arguments.record {
        return recorded::record(&mut live, path, arguments);
    }
    match (&arguments.draw, arguments.watch) {
        (Some(file), false) => {
            live.draw_only_filled();
            view::draw(&mut live, Canvas::new(file)?, arguments.step)?;
            if let left @ 1.. = live.undrawn() {
                let what = if left == 1 { "buffer is" } else { "buffers are" };
                diagnostics::say(&format!("{left} more {what} empty, and not drawn"));
            }
            Ok(())
        }
        (None, true) if watch::is_on_screen(arguments)? => {
            screen::run(&mut LivePage::new(&mut live, arguments.interval()), arguments.count)
        }
        (draw, true) => watch::run(&mut live, arguments, draw.as_deref().map(Canvas::new).transpose()?),
        (None, false) => {
            live.take_snapshot(arguments.records(), std::time::Instant::now());
            match arguments.format {
                Format::Json => terminal::print(&live.json()?)?,
                Format::Table => terminal::print(&live.tables(arguments.records()))?,
            }
            gauge::check(arguments.fail_above, &live.gauges())
        }
    }
}
