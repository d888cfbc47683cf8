//! The command `cutaway`.
//!
//! Exit status: 0 when it did what was asked, 1 when it could not (one line on stderr says what failed, why, and what to
//! do), 2 for wrong usage. Results go to stdout, everything else to stderr. The first of SIGINT, SIGTERM and SIGHUP
//! ends a command that watches something in an orderly way, and the second ends any command at once, by that signal
//! (`signals.rs`).

mod command;
mod compare;
mod decode;
mod diagnostics;
mod doctor;
mod draw;
mod failure;
mod given;
mod inspect;
mod manual;
mod outlet;
mod output_file;
mod peek;
mod run;
mod signals;
mod terminal;
mod trace;

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};

use self::failure::Failure;

/// Lays open how events travel from an eBPF program to user space
#[derive(Debug, Parser)]
#[command(name = "cutaway", version, disable_help_subcommand = true)]
struct Arguments {
    /// Tells each system call of loading, attaching and reading on stderr, with its arguments by name, the answer, and why it is
    /// made; as JSON, one object a line
    #[arg(long, global = true, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<diagnostics::Explain>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Traces getaddrinfo: one event for each call, through the chosen kind of buffer
    Trace(trace::Arguments),
    /// Puts the three ways side by side: tries what is said of them on this kernel, with figures
    Compare(compare::Arguments),
    /// Shows what is in an object and what loading it will do: maps, programs, instructions before and after; loads nothing
    Inspect(inspect::Arguments),
    /// Runs any object: loads it, attaches its programs, and prints the records that it sends, decoded by its own types
    Run(run::Arguments),
    /// Looks at a ring buffer of any process, without disturbing it; without one, lists them all
    Peek(peek::Arguments),
    /// Tells what this kernel and these privileges allow, and what to do about what they don't
    Doctor(doctor::Arguments),
    /// Prints the script by which a shell completes this command's words
    Completions(manual::Completions),
    /// Prints the manual, as pages for man(1)
    Man(manual::Man),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// One JSON object a line
    Json,
}

fn main() -> ExitCode {
    if let Some(ended) = trace::hold_threads_if_asked() {
        return ended;
    }
    signals::report_limits_of_files();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return tell(&answer),
    };
    if arguments.explain.is_some() && matches!(arguments.command, Command::Completions(_) | Command::Man(_)) {
        let failure =
            Failure::usage("--explain has no effect here: the command loads, attaches and reads nothing; drop it");
        diagnostics::fail(&failure);
        return ExitCode::from(2);
    }
    diagnostics::start(arguments.explain);
    let answer = match arguments.command {
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Peek(arguments) => peek::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_unheard() => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::fail(&failure);
            if failure.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Prints what the command line alone calls for: help and version on stdout, wrong usage on stderr.
fn tell(answer: &clap::Error) -> ExitCode {
    // It quotes what was typed or pasted, among colours of its own: with anything in it that a terminal obeys it goes
    // without those.
    let obeyed = |word: std::ffi::OsString| {
        let word = word.to_string_lossy();
        terminal::clean(&word) != word
    };
    let printed = if answer.use_stderr() && std::env::args_os().any(obeyed) {
        outlet::stderr().write_all(terminal::clean(&answer.render().to_string()).as_bytes())
    } else {
        answer.print()
    };
    match printed {
        Err(error) if !answer.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            diagnostics::fail(&Failure::system("write to stdout", &error));
            ExitCode::FAILURE
        }
        // With stderr gone there is nobody to tell.
        _ => u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// A length of time on the command line. A longer one than a century is a century: clocks can be set that far ahead.
fn seconds(text: &str) -> Result<Duration, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration.min(CENTURY)),
        _ => Err("not a length of time above 0".to_owned()),
    }
}

/// The time of events and looks: nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_positive_numbers_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        let longest = seconds("1e18").unwrap();
        assert!(std::time::Instant::now().checked_add(longest * 2).is_some(), "{longest:?}");
        for nonsense in ["", "0", "-1", "nan", "inf", "1s"] {
            assert!(seconds(nonsense).is_err(), "{nonsense}");
        }
    }
}
