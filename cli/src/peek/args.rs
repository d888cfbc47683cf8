//! The arguments of `cutaway peek`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::names::comm;
use crate::{
    args::{Format, count, duration, pid},
    pattern::Pattern,
};

const EXAMPLES: &str = "\
Examples:
  cutaway peek                          all rings, with their owners
  cutaway peek --name events            unread records of the ring `events`
  cutaway peek --name events --watch    the same, live
  cutaway peek --pid 4711 --watch       ring or perf buffers of a process, live
  cutaway peek --watch                  all rings, live, by fill or by rate
  cutaway peek --comm 'agent*'          rings of processes with such a name
  cutaway peek --fail-above 80          for scripts: status 1 if one is fuller

  Suspend trace, so that its ring fills, and draw the ring (as root):
  cutaway trace -- sh -c 'kill -STOP $PPID; getent ahosts localhost; \\
    cutaway peek --pid $PPID --draw; kill -CONT $PPID' 2>&1 | cat";

/// The arguments of `cutaway peek`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Show the ring with this map id
    #[arg(long, value_name = "ID", group = "ring", value_parser = map_id)]
    pub(super) id: Option<u32>,

    /// Show the ring pinned at this path
    #[arg(long, value_name = "PATH", group = "ring")]
    pub(super) pin: Option<PathBuf>,

    /// Show the ring with this name
    ///
    /// The kernel keeps only the first 15 bytes of a name, and only these are
    /// compared.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "NAME", group = "ring")]
    pub(super) name: Option<String>,

    /// Show the ring, or the perf buffers, of a process
    ///
    /// If the process holds no ring, shows its perf buffers. This requires
    /// Linux 5.6.
    ///
    /// --id, --name and --pin may also name a perf event array. peek then
    /// shows the perf buffers of the processes that hold the array.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "PID", group = "ring", value_parser = pid)]
    pub(super) pid: Option<u32>,

    /// List the buffers of processes with this name
    ///
    /// In NAME, * is any text and ? is any character. Put a pattern in
    /// quotes, so that the shell does not expand it. Repeat the option for
    /// more names. The name of a process is the one in /proc/PID/comm: its
    /// first 15 bytes. Lists rings and perf event arrays, once or with
    /// --watch. It is an error if there is none.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "NAME", conflicts_with = "ring", value_parser = comm)]
    pub(super) comm: Vec<Pattern>,

    /// Replay the snapshots in a file
    ///
    /// FILE has the output of peek --format json, with or without --watch.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", group = "ring")]
    pub(super) from: Option<PathBuf>,

    /// Take snapshots repeatedly, on a live screen
    ///
    /// If stdin or stdout is not a terminal, prints a line for each snapshot
    /// instead. With --format json, prints each snapshot as a JSON object.
    ///
    /// Without --id, --pin, --name and --pid, shows the list of buffers, with
    /// the bytes a second that were written between two snapshots. The keys
    /// f, r and i sort it by fill, rate and id; the arrows scroll. The fill
    /// and the rate of a perf event array are those of the perf buffers of
    /// its processes: the fill of the fullest, and the sum of the rates.
    #[arg(verbatim_doc_comment)]
    #[arg(long, conflicts_with = "from", group = "repeated")]
    pub(super) watch: bool,

    /// Record snapshots in FILE, repeatedly
    ///
    /// Records the positions, the headers, and the payloads of the first
    /// --records records, until Ctrl-C or --count. A snapshot that equals the
    /// one before is not recorded. `cutaway replay FILE` shows them again.
    /// FILE must not exist, or be a pipe; only its owner can read it. To
    /// record no payload: --records 0.
    ///
    /// A record that is committed and released between two snapshots shows in
    /// the positions only. No observer sees wake-ups.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", requires = "ring", conflicts_with_all = ["from", "draw", "format", "fail_above"], group = "repeated")]
    pub(super) record: Option<PathBuf>,

    /// Time between the snapshots of --watch or --record
    ///
    /// 1s, 100ms, 50us; without a unit, in seconds. Fractions are allowed.
    /// Default: 0.5s for --watch, 10ms for --record.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "DURATION", requires = "repeated", conflicts_with = "from", value_parser = duration)]
    interval: Option<Duration>,

    /// Exit after N snapshots of --watch or --record
    ///
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short = 'n', value_name = "N", requires = "repeated", conflicts_with = "from", value_parser = count)]
    pub(super) count: Option<u64>,

    /// Fail if a buffer is filled above PERCENT
    ///
    /// Tests the buffers that are shown or listed, once. If one is filled
    /// above PERCENT, exits with status 1 and names it on stderr. A buffer
    /// whose fill is unknown counts as filled: it is named with the reason. A
    /// buffer whose oldest records are overwritten is full by design and not
    /// tested. For a perf event array of the list, tests the perf buffers of
    /// its processes. Excludes --watch, --draw and --from.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PERCENT", conflicts_with_all = ["watch", "draw", "from"], value_parser = percent)]
    pub(super) fail_above: Option<f64>,

    /// List N records with their payload [default: 20]
    ///
    /// Default with --from: all records of each snapshot. The
    /// counts that peek prints include the records that it does not list. The
    /// live screen refuses --records, and lists the records that fit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", requires = "ring", conflicts_with = "draw", value_parser = records)]
    pub(super) records: Option<usize>,

    /// Decode payloads as this BTF type
    ///
    /// A structure, union, typedef, enumeration or integer. If --type is used
    /// with --from, --btf is required.
    ///
    /// Default: the type that `cutaway run` would find for a record of this
    /// length, in the BTF of the loaded programs that send to the buffer. If
    /// only the length indicates the type, peek calls it a guess. Records of
    /// an unknown type are shown as bytes.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "type", value_name = "TYPE", requires = "ring", conflicts_with = "draw")]
    pub(super) decode_as: Option<String>,

    /// Object or BTF file that has the type
    ///
    /// Default: the BTF of the loaded programs that use the ring, then the
    /// kernel's BTF.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", requires = "decode_as")]
    pub(super) btf: Option<PathBuf>,

    /// Draw the buffer in the terminal, or to FILE as SVG
    ///
    /// Excludes --records, --type and --format.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "", requires = "ring")]
    pub(super) draw: Option<String>,

    /// Draw one picture at a time; press Enter to advance
    ///
    /// Requires --draw; excludes --watch.
    ///
    /// Enter takes the next snapshot. With --from, Enter shows the next
    /// snapshot of the file. To return to the previous picture with --from,
    /// type b and press Enter. To quit, type q and press Enter.
    #[arg(verbatim_doc_comment)]
    #[arg(long, requires = "draw", conflicts_with = "watch")]
    pub(super) step: bool,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table", conflicts_with = "draw")]
    pub(super) format: Format,
}

/// Parses the value of `--id`.
fn map_id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "must be a map id, which is a number; `cutaway peek` lists them".to_owned())
}

/// Parses the value of `--records`.
fn records(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "must be a whole number".to_owned())
}

/// Parses the value of `--fail-above`.
fn percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent.filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(|| "must be from 0 to 100".to_owned())
}

/// Default of `--records`.
const RECORDS: usize = 20;

impl Arguments {
    /// Returns the time between the snapshots of `--watch`.
    pub(super) fn interval(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_millis(500))
    }

    /// Returns the time between the snapshots of `--record`.
    pub(super) fn record_interval(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_millis(10))
    }

    /// Returns how many records are listed with their payload.
    pub(super) fn records(&self) -> usize {
        self.records.unwrap_or(RECORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::{map_id, percent, records};

    #[test]
    fn percent_has_limits() {
        assert_eq!((percent("80"), percent("99.5%"), percent("0")), (Ok(80.0), Ok(99.5), Ok(0.0)));
        for text in ["", "-1", "101", "nan", "inf", "much"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn error_of_a_number_says_what_is_expected() {
        assert_eq!((map_id("7"), records("0")), (Ok(7), Ok(0)));
        assert!(map_id("events").unwrap_err().contains("`cutaway peek` lists them"));
        assert!(records("-1").unwrap_err().contains("whole number"));
    }
}
