//! The arguments of `cutaway trace`.

use std::{ffi::OsString, time::Duration};

use clap::{Args, ValueEnum};
use cutaway::features;
use cutaway_programs::getaddrinfo::Transport;
use log::info;

use crate::{
    args::{Format, seconds},
    object_reader::{self, Reader},
};

/// Default of `--buffer`.
pub(super) const DEFAULT_BUFFER: u32 = 256 * 1024;

/// Default of `--reader`.
pub(super) const DEFAULT_READER: Reader = Reader::AyaObj;

const EXAMPLES: &str = "\
Examples:
  cutaway trace -- getent ahosts localhost               one line for each call
  cutaway trace --format json -- getent ahosts localhost          lines of JSON
  cutaway trace --draw -- getent ahosts localhost       the ring, as a picture";

/// The arguments of `cutaway trace`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Transport: auto, ring, perf-heap or perf-stack
    ///
    /// auto (default): ring, or perf-heap without ring buffers (Linux 5.8)
    /// ring: events are built in the ring
    /// perf-heap: events are built in a per-CPU map, and copied
    /// perf-stack: events are built on the BPF stack, and copied
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "auto", value_name = "TRANSPORT")]
    pub(super) transport: TransportArg,

    #[arg(long, value_enum, default_value_t = DEFAULT_READER, value_name = "READER", hide_possible_values = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    pub(super) reader: Reader,

    /// Trace only this library: a path or a name
    ///
    /// A name is searched for as the dynamic loader does. By default calls of
    /// every C library in use are traced, also in containers, and of those
    /// that come into use.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATH")]
    pub(super) library: Option<String>,

    /// Do not hold threads; first calls may be missed
    ///
    /// Without it, a thread that maps a C library that was not in use before
    /// is held until the probes are attached. With it, no process waits, and
    /// no thread runs at real-time priority. The first calls of such a
    /// process may be missed.
    #[arg(verbatim_doc_comment)]
    #[arg(long, conflicts_with = "library")]
    pub(super) no_hold: bool,

    /// Trace only this process
    ///
    /// By default every process is traced, or with COMMAND the command and
    /// its children.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(super) pid: Option<u32>,

    /// Exit after N events
    ///
    /// A COMMAND that still runs is ended too.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Exit after SECS seconds, fractions allowed
    ///
    /// A COMMAND that still runs is ended too.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(super) duration: Option<Duration>,

    /// Buffer size in bytes
    ///
    /// The size of the ring, or of the perf buffer of each CPU. It is rounded
    /// up to a power of two of pages.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_BUFFER, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(super) buffer: u32,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object a line
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Show the container and library of each call
    ///
    /// Two more columns of the table. JSON always has them.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) containers: bool,

    /// Draw the ring before its records are read
    ///
    /// Each time the ring has unread records, its pages are drawn in the
    /// terminal, or into an SVG file.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) draw: Option<String>,

    /// Draw and read one record at a time
    ///
    /// Press Enter to advance. The stdin of a COMMAND is empty.
    #[arg(verbatim_doc_comment)]
    #[arg(long, requires = "draw")]
    pub(super) step: bool,

    /// Command to run and to trace, with its children
    ///
    /// The trace ends with the command. The command's output goes to stderr.
    #[arg(verbatim_doc_comment)]
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// The values of `--transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TransportArg {
    Ring,
    PerfHeap,
    PerfStack,
    Auto,
}

impl TransportArg {
    /// Returns the transport. `ring_buffer` returns whether the kernel has ring buffers.
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
