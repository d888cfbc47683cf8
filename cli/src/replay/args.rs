//! The arguments of `cutaway replay`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cutaway_programs::getaddrinfo::HostGlob;

use crate::{
    args::{self, count, duration, pid},
    error::CliError,
    run::{Filter, Format},
    trace::{SummaryArg, host, user_id},
};

const EXAMPLES: &str = "\
Examples:
  cutaway trace --record calls.rec -- getent ahosts localhost
  cutaway replay calls.rec                     the same table again
  cutaway replay calls.rec --errors --format json
  cutaway replay calls.rec --summary           latencies, hosts, commands
  cutaway run program.o --record run.rec --duration 5s
  cutaway replay run.rec --filter 'ret < 0' --speed 1
  cutaway peek --name events --record snapshots.rec
  cutaway replay snapshots.rec --watch         the ring, on a live screen
  cutaway replay snapshots.rec --draw=ring.svg     the ring, as pictures";

/// The arguments of `cutaway replay`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayArguments {
    /// Recording: a file that --record wrote; `-` is stdin
    ///
    /// It may still be growing, or have been cut off by a crash: replay shows
    /// what is whole.
    #[arg(verbatim_doc_comment)]
    pub(crate) file: PathBuf,

    /// Output format: table (default), json or hex
    ///
    /// table: columns, for people
    /// json: one JSON object per line, as the recording command prints it
    /// hex: the bytes of each record; for recordings of run
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,

    /// Replay at the recorded pace, times N
    ///
    /// 1 is the pace of the recording, 0.1 a tenth of it. Default: as fast as
    /// the output is read.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", value_parser = speed)]
    pub(crate) speed: Option<f64>,

    /// Exit after N records or snapshots
    #[arg(long, short = 'n', value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,

    /// Print only records that EXPRESSION selects
    ///
    /// As in `cutaway run --filter`.
    #[arg(verbatim_doc_comment)]
    #[arg(help_heading = "Recordings of run", long, value_name = "EXPRESSION", value_parser = Filter::parse)]
    pub(crate) filter: Option<Filter>,

    /// Decode records, or those of MAP, as TYPE
    ///
    /// Default: as they were decoded when they were recorded.
    #[arg(verbatim_doc_comment)]
    #[arg(help_heading = "Recordings of run", long = "type", value_name = "[MAP=]TYPE")]
    pub(crate) types: Vec<String>,

    /// Print the wall-clock time of each record
    #[arg(help_heading = "Recordings of run", long)]
    pub(crate) timestamps: bool,

    /// Print only calls of these processes
    #[arg(help_heading = "Recordings of trace", long, short, value_name = "PID", value_delimiter = ',', value_parser = pid)]
    pub(crate) pid: Vec<u32>,

    /// Print only calls of these threads
    #[arg(help_heading = "Recordings of trace", long, short, value_name = "NAME")]
    pub(crate) comm: Vec<String>,

    /// Print only calls of these users
    #[arg(help_heading = "Recordings of trace", long, short, value_name = "USER", value_delimiter = ',', value_parser = user_id)]
    pub(crate) uid: Vec<u32>,

    /// Print only calls for matching hosts
    #[arg(help_heading = "Recordings of trace", long, value_name = "PATTERN", value_parser = host)]
    pub(crate) host: Option<HostGlob>,

    /// Print only calls that fail
    #[arg(help_heading = "Recordings of trace", long, short)]
    pub(crate) errors: bool,

    /// Print only calls that take this long
    ///
    /// At least: 5ms, 1s. Without a unit, in seconds.
    #[arg(verbatim_doc_comment)]
    #[arg(help_heading = "Recordings of trace", long, short = 'l', value_name = "DURATION", value_parser = duration)]
    pub(crate) min_latency: Option<Duration>,

    /// Print a summary at the end: only or also
    #[arg(hide_possible_values = true)]
    #[arg(help_heading = "Recordings of trace", long, short, value_enum, value_name = "WITH")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "only")]
    pub(crate) summary: Option<SummaryArg>,

    /// Print all columns, and whole values
    #[arg(help_heading = "Recordings of trace", long, short)]
    pub(crate) wide: bool,

    /// Show the container and library of each call
    #[arg(help_heading = "Recordings of trace", long)]
    pub(crate) containers: bool,

    /// Draw the buffer, or to FILE as SVG
    #[arg(help_heading = "Recordings of peek", long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) draw: Option<String>,

    /// Draw one picture at a time, on Enter
    ///
    /// To return to the picture before, type b and press Enter. To quit,
    /// type q and press Enter.
    #[arg(verbatim_doc_comment)]
    #[arg(help_heading = "Recordings of peek", long, requires = "draw", conflicts_with = "speed")]
    pub(crate) step: bool,

    /// Show the snapshots on a live screen
    ///
    /// At a pace that a viewer can follow; --speed makes it faster or slower,
    /// and the keys + and - do. p pauses, and the arrows step to the next
    /// snapshot and back.
    #[arg(verbatim_doc_comment)]
    #[arg(help_heading = "Recordings of peek", long, conflicts_with_all = ["draw", "format", "records"])]
    pub(crate) watch: bool,

    /// Show the payloads of N records
    #[arg(help_heading = "Recordings of peek", long, value_name = "N", conflicts_with = "draw")]
    pub(crate) records: Option<usize>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: Option<f64> = text.parse().ok();
    speed.filter(|speed| (1e-6..=1e6).contains(speed)).ok_or_else(|| "must be from 0.000001 to 1000000".to_owned())
}

impl ReplayArguments {
    /// Returns the format for commands without hexadecimal output.
    pub(crate) fn format(&self) -> args::Format {
        if self.format == Format::Json { args::Format::Json } else { args::Format::Table }
    }

    /// Refuses options that have no effect on a recording of this command.
    pub(super) fn check(&self, command: &str) -> Result<(), CliError> {
        let options = [
            ("--filter", self.filter.is_some(), "run"),
            ("--type", !self.types.is_empty(), "run"),
            ("--timestamps", self.timestamps, "run"),
            ("--format hex", self.format == Format::Hex, "run"),
            ("--pid", !self.pid.is_empty(), "trace"),
            ("--comm", !self.comm.is_empty(), "trace"),
            ("--uid", !self.uid.is_empty(), "trace"),
            ("--host", self.host.is_some(), "trace"),
            ("--errors", self.errors, "trace"),
            ("--min-latency", self.min_latency.is_some(), "trace"),
            ("--summary", self.summary.is_some(), "trace"),
            ("--wide", self.wide, "trace"),
            ("--containers", self.containers, "trace"),
            ("--draw", self.draw.is_some(), "peek"),
            ("--watch", self.watch, "peek"),
            ("--records", self.records.is_some(), "peek"),
        ];
        match options.iter().find(|(_, is_given, of)| *is_given && *of != command) {
            Some((option, _, of)) => Err(CliError::usage(format!(
                "{option} is for recordings of {of}, and this is one of {command}; omit it"
            ))),
            None => Ok(()),
        }
    }
}
