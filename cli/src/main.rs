//! The command `cutaway`.
//!
//! Exit status: 0 when it did what was asked, 1 when it could not (one line on stderr says what failed, why, and what
//! to do), 2 for wrong usage. Results go to stdout, everything else to stderr. The first of SIGINT, SIGTERM and SIGHUP
//! ends a command that watches something in an orderly way, and the second ends any command at once, by that signal
//! (`signals.rs`).

mod args;
mod child;
mod columns;
mod compare;
mod decode;
mod diagnostics;
mod doctor;
mod draw;
mod error;
mod inspect;
mod manual;
mod object_arg;
mod object_reader;
mod outlet;
mod output_file;
mod peek;
mod run;
mod signals;
mod terminal;
mod trace;
mod usage;

use std::{panic, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use cutaway::ObjectReader;

use self::error::CliError;

/// Lays open how events travel from an eBPF program to user space
#[derive(Debug, Parser)]
#[command(name = "cutaway", version, disable_help_subcommand = true)]
struct Arguments {
    /// Tells each system call of loading, attaching and reading on stderr, with its arguments by name, the answer, and
    /// why it is made; as JSON, one object a line
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
    /// Shows what is in an object and what loading it will do: maps, programs, instructions before and after; loads
    /// nothing
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

/// Installs a panic hook that prints nothing for a panic of aya-obj: the loader catches it, and the command ends with
/// its error.
fn silence_caught_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        if !ObjectReader::is_catching_panics() {
            report(panicked);
        }
    }));
}

fn main() -> ExitCode {
    if let Some(ended) = trace::hold_threads_if_asked() {
        return ended;
    }
    silence_caught_panics();
    signals::report_limits_of_files();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => return usage::print(&answer),
    };
    if arguments.explain.is_some() && matches!(arguments.command, Command::Completions(_) | Command::Man(_)) {
        let failure =
            CliError::usage("--explain has no effect here: the command loads, attaches and reads nothing; drop it");
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
        Command::Completions(arguments) => manual::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::man(&arguments, Arguments::command()),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::fail(&failure);
            if failure.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
