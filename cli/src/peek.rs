//! `cutaway peek`: a look at the ring buffers of this machine, whoever owns them, that disturbs nobody.
//!
//! ```text
//!     list.rs       every ring: who holds it, where it is pinned, how full it is
//!     ring.rs       one ring, opened: its map, its read-only pages, the types of its records
//!     snapshot.rs   one look at it: positions and headers, a plain value
//!     show.rs       a look as text or JSON
//!     perf.rs       the perf buffers of a process, borrowed; the same of them
//!     live.rs       what is looked at again and again      motion.rs   what several looks tell
//!     watch.rs      look after look, a line each           screen.rs   the same as a live screen      keys.rs   its keys
//!     recorded.rs   looks that were kept in a file
//!     types.rs      where the types of records come from
//! ```
//!
//! Nothing here writes to a ring, waits on one or consumes from one. The pages are mapped read-only, which the kernel
//! enforces; an owner that dies leaves the map to this process until it lets go.

mod keys;
mod list;
mod live;
mod motion;
mod perf;
mod recorded;
mod ring;
mod screen;
mod show;
mod snapshot;
mod types;
mod watch;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cutaway::{MapType, system};

pub(crate) use self::snapshot::{Mode, Snapshot, State, Waiting};
use self::{
    recorded::Recording,
    ring::{LiveRing, Ring},
    types::Types,
};
use crate::{
    args::Format,
    draw::{Canvas, Command, Steps},
    failure::Failure,
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway peek                          the rings of this machine, and who owns them
  cutaway peek --name events            what waits in the ring `events`
  cutaway peek --name events --watch    the same, live
  cutaway peek --pid 4711 --watch       the ring of a process, or its perf buffers, live

  A ring with something in it, as root, all in one:
  cutaway trace -- sh -c 'kill -STOP $PPID; getent ahosts localhost; \\
    cutaway peek --pid $PPID --draw; kill -CONT $PPID' 2>&1 | cat";

/// The arguments of `cutaway peek`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The ring with this number
    #[arg(long, value_name = "N", group = "ring")]
    id: Option<u32>,

    /// The ring that is pinned here
    #[arg(long, value_name = "PATH", group = "ring")]
    pin: Option<PathBuf>,

    /// The ring of this name, of which the kernel keeps 15 bytes
    #[arg(long, value_name = "NAME", group = "ring")]
    name: Option<String>,

    /// The ring that this process holds; if it holds none, its perf buffers (Linux 5.6), which --id and --name of their
    /// array show, too
    #[arg(long, value_name = "PID", group = "ring", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: Option<u32>,

    /// Looks that were kept: the file that `--format json` was written to
    #[arg(long, value_name = "FILE", group = "ring")]
    from: Option<PathBuf>,

    /// Looks again and again: a live screen, or, where stdout is no terminal, a line for each look
    #[arg(long, requires = "ring", conflicts_with = "from")]
    watch: bool,

    /// Seconds between two looks, with --watch
    #[arg(long, value_name = "SECS", default_value = "0.5", requires = "watch", conflicts_with = "from", value_parser = crate::args::seconds)]
    interval: Duration,

    /// Ends after so many looks, with --watch
    #[arg(long, value_name = "N", requires = "watch", conflicts_with = "from", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How many records are listed with their payload (20 unless told; with --from all that were kept); all are counted
    #[arg(long, value_name = "N", requires = "ring", conflicts_with = "draw")]
    records: Option<usize>,

    /// Decodes payloads as this type: a structure, union, typedef, enumeration or integer
    #[arg(long = "type", value_name = "TYPE", requires = "ring", conflicts_with = "draw")]
    decode_as: Option<String>,

    /// Where that type is described: an object or a file of BTF; without it, the programs that use the ring, then the
    /// kernel. With --from it is needed: the programs of that time may be gone
    #[arg(long, value_name = "FILE", requires = "decode_as")]
    btf: Option<PathBuf>,

    /// Draws the pages: in the terminal, or into an SVG file
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true, default_missing_value = "", requires = "ring")]
    draw: Option<String>,

    /// One picture at a time: a line on stdin calls for the next
    #[arg(long, requires = "draw", conflicts_with = "watch")]
    step: bool,

    /// How results are printed
    #[arg(long, value_enum, default_value = "table", conflicts_with = "draw")]
    format: Format,
}

/// Records that are listed with their payload unless told otherwise.
const RECORDS: usize = 20;

impl Arguments {
    fn records(&self) -> usize {
        self.records.unwrap_or(RECORDS)
    }
}

/// Looks, and tells what is there.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(file) = &arguments.from {
        if arguments.decode_as.is_some() && arguments.btf.is_none() {
            return Err(Failure::usage(
                "--type needs --btf FILE with --from: the programs that wrote these records may be gone",
            ));
        }
        return replay(arguments, Recording::read(file)?);
    }
    let Some(map) = list::choose(arguments)? else {
        return match arguments.pid {
            Some(pid) => perf::run(&[pid], arguments),
            None => list::run(arguments.format),
        };
    };
    if map.map_type() == MapType::PERF_EVENT_ARRAY {
        let holders = system::holders()?;
        let mut pids: Vec<u32> = holders.of_map(map.id()).map(|holder| holder.pid).collect();
        pids.retain(|pid| *pid != std::process::id());
        pids.dedup();
        if pids.is_empty() {
            return Err(Failure::new(format!("no process holds the perf event array `{}`", map.name()))
                .advise("its events, if it has any, belong to the process that opened them: --pid PID"));
        }
        return perf::run(&pids, arguments);
    }
    let ring = Ring::open(map, arguments)?;
    match (&arguments.draw, arguments.watch) {
        (Some(file), false) => live::draw(&mut LiveRing::new(ring), Canvas::new(file)?, arguments.step),
        (None, true) if watch::is_on_screen(arguments)? => {
            screen::run(&mut LiveRing::new(ring), arguments.interval, arguments.count)
        }
        (draw, true) => watch::run(&mut LiveRing::new(ring), arguments, draw.as_deref().map(Canvas::new).transpose()?),
        (None, false) => show::once(&ring, arguments.format),
    }
}

/// The looks of a file.
fn replay(arguments: &Arguments, mut recording: Recording) -> Result<(), Failure> {
    let Some(file) = &arguments.draw else {
        let find = |name: &String| Types::find(name, arguments.btf.as_deref(), None);
        if let Some(types) = arguments.decode_as.as_ref().map(find).transpose()? {
            recording.decode(&types);
        }
        let most = arguments.records.unwrap_or(usize::MAX);
        recording.keep_payloads(most);
        return recording.looks().try_for_each(|look| terminal::print(&look.show(arguments.format, most)?));
    };
    let mut canvas = Canvas::new(file)?;
    let mut steps = arguments.step.then(Steps::new).transpose()?;
    let mut at = 0;
    while let Some(look) = recording.look(at) {
        if !canvas.draw(look.picture())? {
            break;
        }
        // What is drawn into a file stays there: there is no way back.
        let back = at > 0 && matches!(canvas, Canvas::Terminal);
        at = match steps.as_mut().map(|steps| steps.next(back, None)) {
            Some(Command::End) => break,
            Some(Command::Back) => at.saturating_sub(1),
            Some(Command::Next) | None => at + 1,
        };
    }
    canvas.finish()
}
