//! The arguments of `cutaway peek`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::args::{Format, seconds};

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
    pub(super) id: Option<u32>,

    /// The ring that is pinned here
    #[arg(long, value_name = "PATH", group = "ring")]
    pub(super) pin: Option<PathBuf>,

    /// The ring of this name, of which the kernel keeps 15 bytes
    #[arg(long, value_name = "NAME", group = "ring")]
    pub(super) name: Option<String>,

    /// The ring that this process holds; if it holds none, its perf buffers (Linux 5.6), which --id and --name of their
    /// array show, too
    #[arg(long, value_name = "PID", group = "ring", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(super) pid: Option<u32>,

    /// Looks that were kept: the file that `--format json` was written to
    #[arg(long, value_name = "FILE", group = "ring")]
    pub(super) from: Option<PathBuf>,

    /// Looks again and again: a live screen, or, where stdout is no terminal, a line for each look
    #[arg(long, requires = "ring", conflicts_with = "from")]
    pub(super) watch: bool,

    /// Seconds between two looks, with --watch
    #[arg(long, value_name = "SECS", default_value = "0.5", requires = "watch", conflicts_with = "from", value_parser = seconds)]
    pub(super) interval: Duration,

    /// Ends after so many looks, with --watch
    #[arg(long, value_name = "N", requires = "watch", conflicts_with = "from", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// How many records are listed with their payload (20 unless told; with --from all that were kept); all are counted
    #[arg(long, value_name = "N", requires = "ring", conflicts_with = "draw")]
    pub(super) records: Option<usize>,

    /// Decodes payloads as this type: a structure, union, typedef, enumeration or integer
    #[arg(long = "type", value_name = "TYPE", requires = "ring", conflicts_with = "draw")]
    pub(super) decode_as: Option<String>,

    /// Where that type is described: an object or a file of BTF; without it, the programs that use the ring, then the
    /// kernel. With --from it is needed: the programs of that time may be gone
    #[arg(long, value_name = "FILE", requires = "decode_as")]
    pub(super) btf: Option<PathBuf>,

    /// Draws the pages: in the terminal, or into an SVG file
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true, default_missing_value = "", requires = "ring")]
    pub(super) draw: Option<String>,

    /// One picture at a time: a line on stdin calls for the next
    #[arg(long, requires = "draw", conflicts_with = "watch")]
    pub(super) step: bool,

    /// How results are printed
    #[arg(long, value_enum, default_value = "table", conflicts_with = "draw")]
    pub(super) format: Format,
}

/// Default of `--records`.
const RECORDS: usize = 20;

impl Arguments {
    /// Returns how many records are listed with their payload.
    pub(super) fn records(&self) -> usize {
        self.records.unwrap_or(RECORDS)
    }
}
