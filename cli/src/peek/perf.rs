//! The perf buffers of other processes.
//!
//! ```text
//!     borrowed.rs   whose events have a ring, and which of them write into the same one
//!     look.rs       one look at a buffer, a plain value      show.rs   as text
//!     live.rs       look after look, of all of them
//! ```

mod borrowed;
mod live;
mod look;
mod show;

use self::live::LivePerf;
#[cfg(test)]
pub(crate) use self::look::tests::look;
pub(crate) use self::{
    look::Look,
    show::{json, kept as table},
};
use super::{
    args::Arguments,
    screen,
    types::Types,
    view::{self, Live as _},
    watch,
};
use crate::{args::Format, diagnostics, draw::Canvas, error::CliError, terminal};

/// Looks at the perf buffers of these processes: once, or again and again.
pub(crate) fn run(pids: &[u32], arguments: &Arguments) -> Result<(), CliError> {
    let types = match &arguments.decode_as {
        Some(name) => Some(Types::find(name, arguments.btf.as_deref(), None)?),
        None => None,
    };
    let mut live = LivePerf::new(borrowed::open(pids, arguments.pid.is_some())?, types);
    match (&arguments.draw, arguments.watch) {
        (Some(file), false) => {
            live.leave_out_empty_pictures();
            view::draw(&mut live, Canvas::new(file)?, arguments.step)?;
            if let left @ 1.. = live.left_out() {
                let what = if left == 1 { "buffer is" } else { "buffers are" };
                diagnostics::say(&format!("{left} more {what} empty, and not drawn"));
            }
            Ok(())
        }
        (None, true) if watch::is_on_screen(arguments)? => screen::run(&mut live, arguments.interval, arguments.count),
        (draw, true) => watch::run(&mut live, arguments, draw.as_deref().map(Canvas::new).transpose()?),
        (None, false) => {
            live.look(arguments.records(), std::time::Instant::now());
            match arguments.format {
                Format::Json => terminal::print(&live.json()?),
                Format::Table => terminal::print(&live.tables(arguments.records())),
            }
        }
    }
}
