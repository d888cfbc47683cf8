//! `cutaway doctor`: what this kernel and these privileges allow, and what to do about what they don't.
//!
//! Nothing is concluded from version numbers: each finding comes from trying it, and the last ones from doing all that
//! `cutaway trace` does. Finding something amiss is what a doctor is for: the exit status is 0 then, too.

mod machine;
mod privileges;
mod transports;

use std::io::{self, IsTerminal};

use clap::Args;
use serde::Serialize;

use crate::{
    args::Format,
    failure::{Failure, enough_descriptors},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway doctor                  what works here, and what is missing
  cutaway doctor --format json    the same for other programs";

/// The arguments of `cutaway doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// How findings are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// Good to know, or a limit that somebody may meet.
    Note,
    /// Missing: something does not work.
    No,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    status: Status,
    finding: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, finding: finding.into(), advice: None }
    }

    fn note(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Note, finding: finding.into(), advice: Some(advice.into()) }
    }

    fn no(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::No, finding: finding.into(), advice: Some(advice.into()) }
    }
}

/// Looks at everything and tells.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // For maps, programs and links, and for each CPU two perf events. More than is needed would refuse large machines.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    enough_descriptors("examine this machine", 32 + 2 * cpus)?;
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
    let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (word, colour) = match finding.status {
        Status::Ok => ("ok", "\x1b[32m"),
        Status::Note => ("note", "\x1b[33m"),
        Status::No => ("no", "\x1b[31m"),
    };
    let (colour, plain) = if coloured { (colour, "\x1b[0m") } else { ("", "") };
    let mut row = format!("{colour}{word:<5}{plain} {:<22} {}\n", finding.check, terminal::one_line(&finding.finding));
    if let Some(advice) = &finding.advice {
        row.push_str(&format!("{:29}→ {}\n", "", terminal::one_line(advice)));
    }
    row
}
