//! `cutaway doctor`: checks what this kernel and these privileges allow, and says what to do about the rest.
//!
//! No finding is derived from a version number: each check tries the feature, and the last ones do all that `cutaway
//! trace` does. The exit status is 0 even if a check fails.

mod finding;
mod machine;
mod privileges;
mod transports;

use std::io::{self, IsTerminal};

use clap::Args;

use self::finding::{Finding, Status};
use crate::{
    args::Format,
    error::{CliError, enough_fds},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway doctor                  what works and what is missing
  cutaway doctor --format json    the same as JSON, for scripts";

/// The arguments of `cutaway doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    #[arg(verbatim_doc_comment)]
    format: Format,
}

/// Runs all checks and prints the findings.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    // For maps, programs and links, and two perf events for each CPU. A larger demand would refuse large machines.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    enough_fds("examine this machine", 32 + 2 * cpus)?;
    let mut findings = machine::findings();
    findings.extend(privileges::findings());
    findings.extend(transports::findings());
    let mut text = String::new();
    for finding in &findings {
        match arguments.format {
            Format::Json => {
                text.push_str(&terminal::json(finding)?);
                text.push('\n');
            }
            Format::Table => text.push_str(&row(finding)),
        }
    }
    terminal::print(&text)
}

fn row(finding: &Finding) -> String {
    let colored = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (word, color) = match finding.status {
        Status::Ok => ("ok", "\x1b[32m"),
        Status::Note => ("note", "\x1b[33m"),
        Status::No => ("no", "\x1b[31m"),
    };
    let (color, plain) = if colored { (color, "\x1b[0m") } else { ("", "") };
    let mut row = format!("{color}{word:<5}{plain} {:<22} {}\n", finding.check, terminal::one_line(&finding.finding));
    if let Some(advice) = &finding.advice {
        row.push_str(&format!("{:29}→ {}\n", "", terminal::one_line(advice)));
    }
    row
}
