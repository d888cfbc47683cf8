//! The command `cutaway`.
//!
//! Exit status: 0 when it did what was asked, 1 when it could not (one line on stderr says what failed, why, and what to
//! do), 2 for wrong usage. Results go to stdout, everything else to stderr.

mod compare;
mod diagnostics;
mod doctor;
mod failure;
mod signals;
mod terminal;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Lays open how events travel from an eBPF program to user space
#[derive(Debug, Parser)]
#[command(name = "cutaway", version, disable_help_subcommand = true)]
struct Arguments {
    /// Prints each system call of loading, attaching and reading, with its arguments by name and why it is made
    #[arg(long, global = true)]
    explain: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Traces getaddrinfo: one event for each call, through the chosen kind of buffer
    Trace(trace::Arguments),
    /// Puts the three ways side by side: tries what is said of them on this kernel, with figures
    Compare(compare::Arguments),
    /// Tells what this kernel and these privileges allow, and what to do about what they don't
    Doctor(doctor::Arguments),
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
    let arguments = Arguments::parse();
    diagnostics::start(arguments.explain);
    let answer = match arguments.command {
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::fail(&failure);
            ExitCode::FAILURE
        }
    }
}
