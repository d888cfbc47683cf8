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
  cutaway trace -- getent ahosts localhost                  one event, one line
  cutaway trace --format json -- getent ahosts localhost    the same for other programs
  cutaway trace --draw -- getent ahosts localhost           and the ring that held it, as a picture";

/// The arguments of `cutaway trace`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The way events take to user space; auto is the ring, or perf-heap where the kernel has none (before 5.8)
    #[arg(long, value_enum, default_value = "auto", value_name = "WAY")]
    pub(super) transport: TransportArg,

    #[arg(long, value_enum, default_value_t = DEFAULT_READER, value_name = "READER", hide_possible_values = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    pub(super) reader: Reader,

    /// Traces getaddrinfo of this library alone: a path, or a name as the dynamic loader finds it; by default, of every
    /// C library in use, in containers, too, and of those that come into use
    #[arg(long, value_name = "PATH")]
    pub(super) library: Option<String>,

    /// Never keeps a process waiting until probes are on a C library that was not in use before, and runs no thread at
    /// real-time priority; the first calls of such a process may be missed
    #[arg(long, conflicts_with = "library")]
    pub(super) no_hold: bool,

    /// Traces this process only; without it, every process, or with COMMAND that and its children
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(super) pid: Option<u32>,

    /// Ends after so many events; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Ends after so many seconds, fractions allowed; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(super) duration: Option<Duration>,

    /// Bytes of buffer: of the ring, or of each CPU's perf buffer; rounded up to a power of two of pages
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_BUFFER, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(super) buffer: u32,

    /// How events are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Shows in the table, too, which container and library each call came from; JSON has it always
    #[arg(long)]
    pub(super) containers: bool,

    /// Draws the ring's pages whenever records wait in them: in the terminal, or into an SVG file
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) draw: Option<String>,

    /// One picture and one record at a time: a line on stdin calls for the next; a COMMAND gets an empty stdin
    #[arg(long, requires = "draw")]
    pub(super) step: bool,

    /// Runs this command, traces it and its children, and ends when it does; its output goes to stderr
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
    /// Returns the transport; `ring_buffer` says whether the kernel has ring buffers.
    pub(super) fn choose(self, ring_buffer: impl FnOnce() -> features::Support) -> Transport {
        match self {
            Self::Ring => Transport::Ring,
            Self::PerfHeap => Transport::PerfHeap,
            Self::PerfStack => Transport::PerfStack,
            Self::Auto => match ring_buffer() {
                features::Support::Needs(version) => {
                    info!("this kernel has no ring buffer (it came with Linux {version}): taking perf-heap");
                    Transport::PerfHeap
                }
                // If it is merely not permitted, loading will say so, and what to do.
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
    fn auto_takes_the_ring_unless_the_kernel_has_none() {
        assert_eq!(TransportArg::Auto.choose(|| Support::Yes), Transport::Ring);
        assert_eq!(TransportArg::Auto.choose(|| Support::Needs("5.8")), Transport::PerfHeap);
        assert_eq!(TransportArg::Auto.choose(|| Support::NotPermitted), Transport::Ring);
        assert_eq!(TransportArg::PerfStack.choose(|| unreachable!("nobody asked for auto")), Transport::PerfStack);
    }
}
