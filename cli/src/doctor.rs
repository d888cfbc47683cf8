//! `cutaway doctor`: checks what this kernel and these privileges allow, and says what to do about the rest.
//!
//! No finding is derived from a version number: each check tries the feature, and the last ones do all that the command
//! does for which the machine is examined. The exit status is 1 if that command does not work.

mod finding;
mod guests;
mod kernel_features;
mod machine;
mod observing;
mod privileges;
mod programs;
mod purpose;
mod transports;

use clap::Args;

use self::{
    finding::{Finding, Status},
    purpose::Purpose,
};
use crate::{
    args::Format,
    columns::wrapped,
    error::{CliError, enough_fds, listed},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway doctor                  what works and what is missing
  cutaway doctor --for peek       what `cutaway peek` needs
  cutaway doctor --features       program types, map types and helpers
  cutaway doctor --format json    the same as JSON, for scripts

  In a script:
  cutaway doctor > /dev/null || exit";

/// The arguments of `cutaway doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Command to examine: trace (default), run, peek or vm
    ///
    /// trace: traces getaddrinfo by one of the transports
    /// run: loads objects. A part that only some objects need is a note
    /// peek: lists the rings of other processes, and maps them
    /// vm: runs tests in virtual machines (the command cutaway-vm)
    #[arg(long = "for", value_enum, value_name = "COMMAND", default_value = "trace")]
    #[arg(hide_default_value = true, hide_possible_values = true, verbatim_doc_comment)]
    purpose: Purpose,

    /// List program types, map types and helpers
    ///
    /// Tries each one: loads a small program, or creates a small map. The
    /// helpers that programs can call depend on the program's type.
    #[arg(long, conflicts_with = "purpose", verbatim_doc_comment)]
    features: bool,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    #[arg(verbatim_doc_comment)]
    format: Format,
}

/// Makes the checks and prints the findings.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    // For maps, programs and links, and two perf events for each CPU. A larger demand would refuse large machines.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    enough_fds("examine this machine", 32 + 2 * cpus)?;
    if arguments.features {
        return kernel_features::print(arguments.format);
    }
    let findings = arguments.purpose.findings();
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
    terminal::print(&text)?;
    let missing: Vec<_> =
        findings.iter().filter(|finding| finding.status == Status::No).map(|found| found.check).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let command = arguments.purpose.command();
    let failure = CliError::new(format!("`{command}` does not work here: {}", listed(&missing)));
    Err(failure.advise("the findings say what to do"))
}

/// The column of advice, which is below the findings.
const ADVICE: usize = 29;

fn row(finding: &Finding) -> String {
    let colored = terminal::is_colored();
    let (word, color) = match finding.status {
        Status::Ok => ("ok", "\x1b[32m"),
        Status::Note => ("note", "\x1b[33m"),
        Status::No => ("no", "\x1b[31m"),
    };
    let head = format!("{word:<5} {:<22} ", finding.check);
    let row = wrapped(&terminal::one_line(&finding.finding), &head, terminal::WIDTH);
    let advice = finding.advice.as_ref().map(|advice| {
        let text = wrapped(&terminal::one_line(advice), "→ ", terminal::WIDTH - ADVICE);
        text.lines().map(|line| format!("{:ADVICE$}{line}\n", "")).collect::<String>()
    });
    let row = match row.strip_prefix(word).filter(|_| colored) {
        Some(rest) => format!("{color}{word}\x1b[0m{rest}"),
        None => row,
    };
    row + &advice.unwrap_or_default()
}
