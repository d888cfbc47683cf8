//! The options that select the calls that are traced.

use std::time::Duration;

use clap::Args;
use cutaway_programs::getaddrinfo::{Filter, HostGlob};

use super::users;
use crate::{
    args::{duration, pid},
    error::CliError,
};

/// The largest number of values of one of these options. The programs compare a call with each of them.
const MOST: usize = 64;

/// The options of `cutaway trace` that select calls. A call must pass all of them, and one value of each.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Trace only these processes, until all exit
    ///
    /// Repeat the option, or separate process ids by commas. Default with
    /// COMMAND: COMMAND and its children. If trace cannot follow the children
    /// on this machine, it warns and traces every process. Default without
    /// COMMAND: every process. --pid and COMMAND exclude each other.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "PID", conflicts_with = "command", value_delimiter = ',')]
    #[arg(value_parser = pid)]
    pub(super) pid: Vec<u32>,

    /// With --pid: trace the children too
    ///
    /// These are the descendants of the processes: those that run now, and
    /// those that start later. trace exits when the processes of --pid have
    /// exited, even if children still run. The children of COMMAND are always
    /// traced.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short = 'f', alias = "follow-forks")]
    pub(super) children: bool,

    /// Trace only threads with this name
    ///
    /// The name must be equal as a whole. It is the COMMAND of the table: the
    /// first 15 bytes of a thread's name. Repeat the option for more names.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "NAME")]
    comm: Vec<String>,

    /// Trace only processes of this user: a name or id
    ///
    /// The real user id of a process counts. Repeat the option, or separate
    /// users by commas.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "USER", value_delimiter = ',', value_parser = users::id)]
    uid: Vec<u32>,

    /// Trace only calls for hosts that match PATTERN
    ///
    /// In it, * is any text and ? is any character. Upper and lower case are
    /// equal. Put the pattern in quotes, so that the shell does not expand
    /// it. Calls without a host never match.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATTERN", value_parser = host)]
    host: Option<HostGlob>,

    /// Trace only calls that fail
    #[arg(long, short)]
    errors: bool,

    /// Trace only calls that take at least this long
    ///
    /// A number of seconds, or a number with a unit: ns, us, ms, s, m, h.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short = 'l', value_name = "DURATION", value_parser = duration)]
    min_latency: Option<Duration>,
}

/// Parses the value of `--host`.
pub(crate) fn host(pattern: &str) -> Result<HostGlob, String> {
    HostGlob::new(pattern).map_err(|error| error.to_string())
}

impl FilterArgs {
    /// Checks what clap cannot, and returns the filter of the programs.
    pub(super) fn filter(&self, has_command: bool) -> Result<Filter, CliError> {
        if self.children && self.pid.is_empty() && !has_command {
            return Err(CliError::usage(
                "--children needs --pid or COMMAND: without them, every process is traced; omit it",
            ));
        }
        for (count, option) in [(self.comm.len(), "--comm"), (self.uid.len(), "--uid")] {
            if count > MOST {
                return Err(CliError::usage(format!("{option} has {count} values; at most {MOST} are possible")));
            }
        }
        if self.comm.iter().any(|name| name.contains('\0')) {
            return Err(CliError::usage("a name of --comm has a NUL, which no thread's name has"));
        }
        let min_latency = self.min_latency.unwrap_or_default().as_nanos();
        Ok(Filter {
            uids: self.uid.clone(),
            comms: self.comm.iter().map(|name| Filter::comm(name.as_bytes())).collect(),
            failures: self.errors,
            min_latency_ns: u64::try_from(min_latency).unwrap_or(u64::MAX),
            host: self.host.clone(),
        })
    }
}
