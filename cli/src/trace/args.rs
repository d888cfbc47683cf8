//! The arguments of `cutaway trace`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use cutaway::features;
use cutaway_programs::getaddrinfo::Transport;
use log::info;

use super::filter_args::FilterArgs;
use crate::{
    args::{Format, buffer_size, count, duration},
    object_reader::{self, Reader},
};

/// Default of `--buffer`.
pub(super) const DEFAULT_BUFFER: u32 = 256 * 1024;

/// Default of `--reader`.
pub(super) const DEFAULT_READER: Reader = Reader::AyaObj;

const EXAMPLES: &str = "\
Examples:
  cutaway trace -- getent ahosts localhost             one line for each call
  cutaway trace --format json -- getent ahosts localhost        lines of JSON
  cutaway trace --errors --host '*.internal'             lookups that fail
  cutaway trace --min-latency 100ms --uid 0,1000 --wide  slow calls of users
  cutaway trace -p $$ --children --quiet                 this shell's commands
  cutaway trace --comm curl --count 5 --buffer 4M        five calls of curl
  cutaway trace --summary --interval 10s                 who resolves what
  cutaway trace --record calls.rec -- getent ahosts localhost     for replay
  cutaway trace --draw -- getent ahosts localhost        the ring, as a picture";

/// The arguments of `cutaway trace`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Transport: auto, ring, perf-heap or perf-stack
    ///
    /// How events are built and sent:
    ///
    /// ring: built in a ring buffer
    /// perf-heap: built in a per-CPU array, then copied to a perf buffer
    /// perf-stack: built on the BPF stack, then copied to a perf buffer
    /// auto (default): ring, or perf-heap if the kernel has no ring buffers
    /// (before Linux 5.8)
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "auto", value_name = "TRANSPORT")]
    pub(super) transport: TransportArg,

    #[arg(long, value_enum, default_value_t = DEFAULT_READER, value_name = "READER", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    #[arg(help = object_reader::HELP_OF_TRACE, long_help = object_reader::LONG_HELP)]
    pub(super) reader: Reader,

    /// Trace only this library: a path or a name
    ///
    /// A name is looked up first among the files in cutaway's own memory
    /// (/proc/self/maps). After that, cutaway searches as the dynamic loader
    /// (ld.so) does. If the name has no `.so`, cutaway also searches PATH.
    ///
    /// With --pid, cutaway searches among the files in the memory of process
    /// PID (/proc/PID/maps). It uses the LD_LIBRARY_PATH, the PATH and the
    /// root directory of that process. With --pid, a path is
    /// looked up only in that root directory. With several --pid, PID is the
    /// first of them.
    ///
    /// Default: every C library that is in use or comes into use, also in
    /// containers.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATH")]
    pub(super) library: Option<String>,

    /// Do not stop threads that map a new C library
    ///
    /// A C library is new if it was not in use before. By default, trace
    /// stops a thread that maps a new C library. To stop it in time, trace
    /// uses real-time priority. The thread continues when the probes are
    /// attached to the library. With COMMAND or --pid, trace stops a traced
    /// thread whenever it maps a new executable file, even if that is no C
    /// library.
    ///
    /// With --no-hold, trace stops no thread and uses no real-time priority.
    /// trace may then miss the first calls that use a new library.
    #[arg(verbatim_doc_comment)]
    #[arg(long, conflicts_with = "library")]
    pub(super) no_hold: bool,

    /// Exit after N events
    ///
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short = 'n', value_name = "N", value_parser = count)]
    pub(super) count: Option<u64>,

    /// Exit after this time: 5s, 250ms, 2m
    ///
    /// A number without a unit is in seconds. Units are ns, us, ms, s, m and
    /// h; fractions are allowed.
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "DURATION", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Buffer size in bytes: 65536, 64K, 4M
    ///
    /// Size of the ring, or of each CPU's perf buffer: from 1 to 1G, rounded
    /// up to a power-of-two number of pages. The suffixes K, M and G are
    /// powers of 1024. Default: 256K.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "BYTES", hide_default_value = true)]
    #[arg(default_value_t = DEFAULT_BUFFER, value_parser = buffer_size)]
    pub(super) buffer: u32,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Print a summary at the end: only or also
    ///
    /// The summary has the number of calls, the failures by error, the
    /// latencies with their percentiles, and the hosts and commands with the
    /// most calls. Percentiles are exact to a sixteenth of their value. The
    /// summary is printed at the end, and on SIGUSR1.
    ///
    /// only (default): the summary instead of a line for each call
    /// also: a line for each call too
    #[arg(verbatim_doc_comment, hide_possible_values = true)]
    #[arg(long, short, value_enum, value_name = "WITH")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "only")]
    pub(super) summary: Option<SummaryArg>,

    /// With --summary: print one at this interval
    ///
    /// Each of these summaries covers the time since the one before, as the
    /// word `interval` in it says. Those at the end and on SIGUSR1 cover the
    /// whole trace. A number of seconds, or a number with a unit: ns, us, ms,
    /// s, m, h.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "DURATION", value_parser = duration, requires = "summary")]
    pub(super) interval: Option<Duration>,

    /// Print all columns of the table, and whole values
    ///
    /// Without --wide, the table is fitted to the terminal, or to 80
    /// columns: COMMAND, HOST and ADDRESSES share what is left, and a
    /// terminal gets values that are cut. Below 100 columns the service
    /// follows the host, as in localhost:80. JSON always has everything.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short)]
    pub(super) wide: bool,

    /// Show the container and library of each call
    ///
    /// Adds two columns to the table. JSON always has both.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) containers: bool,

    /// Draw the ring before its records are read
    ///
    /// Each time the ring has unread records, trace draws the ring's pages.
    /// The picture goes to the terminal, or to FILE as SVG. Requires
    /// the ring: --transport ring, or auto from Linux 5.8 on. Without FILE,
    /// also requires --format table.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) draw: Option<String>,

    /// Draw and read one record at a time
    ///
    /// Requires --draw. To advance, press Enter. To stop drawing, type q and
    /// press Enter. The trace then continues. The stdin of COMMAND is empty.
    #[arg(verbatim_doc_comment)]
    #[arg(long, requires = "draw")]
    pub(super) step: bool,

    /// Record the events in FILE
    ///
    /// `cutaway replay FILE` shows them again, by other options if wanted.
    /// FILE must not exist, or be a pipe; only its owner can read it.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// Print only problems and losses on stderr
    ///
    /// Omits the line at the start, and `received N, lost 0` at the end.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Command to run and trace, with its children
    ///
    /// trace exits when COMMAND exits. The stdout of COMMAND goes to stderr.
    #[arg(verbatim_doc_comment)]
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,

    #[command(flatten)]
    pub(super) filters: FilterArgs,
}

/// The values of `--summary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryArg {
    /// The summary instead of a line for each call
    Only,
    /// A line for each call too
    Also,
}

/// The values of `--transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TransportArg {
    /// Events are built in a ring buffer
    Ring,
    /// Events are built in a per-CPU array, then copied to a perf buffer
    PerfHeap,
    /// Events are built on the BPF stack, then copied to a perf buffer
    PerfStack,
    /// The ring, or perf-heap if the kernel has no ring buffers
    Auto,
}

impl TransportArg {
    /// Returns the transport. `ring_buffer` returns whether the kernel has
    /// ring buffers.
    pub(super) fn choose(self, ring_buffer: impl FnOnce() -> features::Support) -> Transport {
        match self {
            Self::Ring => Transport::Ring,
            Self::PerfHeap => Transport::PerfHeap,
            Self::PerfStack => Transport::PerfStack,
            Self::Auto => match ring_buffer() {
                features::Support::Needs(version) => {
                    info!("this kernel has no ring buffer (it needs Linux {version}): using perf-heap");
                    Transport::PerfHeap
                }
                features::Support::No => Transport::PerfHeap,
                // If it is not permitted, loading fails with the reason and what to do.
                features::Support::Yes | features::Support::NotPermitted | features::Support::Unknown => {
                    Transport::Ring
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutaway::features::Support;

    #[test]
    fn auto_is_the_ring_unless_the_kernel_has_none() {
        assert_eq!(TransportArg::Auto.choose(|| Support::Yes), Transport::Ring);
        assert_eq!(TransportArg::Auto.choose(|| Support::Needs("5.8")), Transport::PerfHeap);
        assert_eq!(TransportArg::Auto.choose(|| Support::NotPermitted), Transport::Ring);
        assert_eq!(TransportArg::PerfStack.choose(|| unreachable!("the transport is not auto")), Transport::PerfStack);
    }
}
