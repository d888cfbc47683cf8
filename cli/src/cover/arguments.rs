//! The arguments of `cutaway cover`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Arg, Args, ValueEnum};

use super::test_run;
use crate::{error::CliError, object_arg::ObjectArg, run::ProgramArgs};

const EXAMPLES: &str = "\
Examples:
  cutaway cover program.o -- ls              lines that run while ls runs
  cutaway cover program.o --duration 10      lines that run within 10 seconds
  cutaway cover program.o --test-run filter=packet.bin
      run the program `filter` once, on the bytes of the file
  cutaway cover program.o --output a.info -- ls
      the same as lcov, for genhtml
  cutaway cover --merge a.info b.info        several runs together";

/// The arguments of `cutaway cover`.
#[derive(Debug, Args)]
// An earlier result is enough.
#[command(after_help = EXAMPLES, mut_arg("object", optional))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) object: ObjectArg,

    #[command(flatten)]
    pub(super) program: ProgramArgs,

    /// Run a program once, unattached (repeatable)
    ///
    /// By BPF_PROG_TEST_RUN. DATA is a file, or bytes as hex:0a0b. It is the
    /// packet, or the context of a program that works on no packet. Default:
    /// 64 zero bytes as the packet, no context. Without COMMAND, --duration
    /// and --pid, cover attaches no program, and exits after these runs.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "test-run", value_name = "NAME[=DATA]", value_parser = test_run::form)]
    pub(super) test_runs: Vec<String>,

    /// Exit after this time: 5s, 500ms, 2m
    ///
    /// Without a unit, in seconds; fractions are allowed.
    ///
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "DURATION", value_parser = crate::args::duration)]
    pub(super) duration: Option<Duration>,

    /// Add the results in these lcov files
    ///
    /// The results of earlier runs, on this or other kernels, or those of
    /// other tools. Counts of a line are added. If no result has run the
    /// line, and one result has not measured it, it is not measured. A line
    /// ran in part if no result has run all of it. OBJECT is optional, and
    /// must precede --merge.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) merge: Vec<PathBuf>,

    /// Write lcov to FILE
    ///
    /// For genhtml and services for coverage. lcov has no record for lines
    /// that were not measured or ran in part: they are in comments, which
    /// only cutaway reads. --output works together with each --format, which
    /// is for stdout: the table then has no source lines, only the numbers
    /// of each file; lcov is not printed again.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Print only problems on stderr
    ///
    /// Omits the attached programs.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Output format: table (default), json or lcov
    ///
    /// table: each line of source with its count, then the numbers of each
    ///     file. ##### is a line that did not run, ? a line that was not
    ///     measured, - a line without code, … lines that are not shown. The
    ///     count is the number of runs of cutaway that ran the line: 1, or
    ///     more with --merge. 1* is a line that ran in part: some of its
    ///     code did not run, or was not measured. It counts as run, so 100 %
    ///     of the lines is not 100 % of the branches.
    /// json: one JSON object per file, then one for all files
    /// lcov: the format of lcov, for genhtml
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Command to run; exit when it exits
    ///
    /// COMMAND starts when all programs are attached. Its stdout goes to
    /// stderr. Lines that run because of other processes count too.
    #[arg(verbatim_doc_comment)]
    #[arg(last = true, index = 2, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// Makes the argument optional. [`Arguments::check`] refuses that neither an object nor an earlier result is given:
/// clap's own message does not name --merge.
fn optional(object: Arg) -> Arg {
    let help = object.get_help().cloned().unwrap_or_default();
    let long = object.get_long_help().cloned().unwrap_or_default();
    Arg::new("object")
        .index(1)
        .value_name("OBJECT")
        .value_parser(clap::value_parser!(PathBuf))
        .conflicts_with("built_in")
        .help(help)
        .long_help(long)
}

/// The format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Source lines and numbers
    Table,
    /// One JSON object per file
    Json,
    /// The format of lcov
    Lcov,
}

impl Arguments {
    /// Refuses options without effect.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.object.is_given() {
            return self.check_unattached();
        }
        if self.merge.is_empty() {
            return Err(CliError::usage("give OBJECT, --built-in TRANSPORT, or --merge FILE"));
        }
        let others = [
            ("--test-run", !self.test_runs.is_empty()),
            ("--duration", self.duration.is_some()),
            ("COMMAND", !self.command.is_empty()),
        ];
        match self.program.given().into_iter().chain(others).find(|(_, given)| *given) {
            Some((option, _)) => Err(CliError::usage(format!(
                "{option} has no effect without OBJECT; give OBJECT before --merge, or drop {option}"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses options for programs that are attached, if none is.
    fn check_unattached(&self) -> Result<(), CliError> {
        if self.attaches() {
            return Ok(());
        }
        let name = |run: &String| run.split_once('=').map_or(run.clone(), |(name, _)| name.to_owned());
        let runs: Vec<_> = self.test_runs.iter().map(name).collect();
        let idle = self.program.programs.iter().find(|name| !runs.contains(name));
        let attaching = [
            ("--interface", self.program.interface.is_some()),
            ("--cgroup", self.program.cgroup.is_some()),
            ("--frequency", self.program.frequency.is_some()),
        ];
        let without_effect = idle
            .map(|name| format!("--program {name}"))
            .or_else(|| attaching.into_iter().find(|(_, given)| *given).map(|(option, _)| option.to_owned()));
        match without_effect {
            Some(option) => Err(CliError::usage(format!(
                "{option} has no effect: --test-run attaches no program without COMMAND, --duration and --pid"
            ))),
            None => Ok(()),
        }
    }

    /// Returns whether the programs are attached: test runs alone need none of them attached.
    pub(super) fn attaches(&self) -> bool {
        self.test_runs.is_empty() || !self.command.is_empty() || self.duration.is_some() || self.program.pid.is_some()
    }
}
