//! The command `cutaway`.
//!
//! Exit status: 0 on success, 1 on failure, 2 on wrong usage. On failure one line on stderr says what failed, why, and
//! what to do. Results go to stdout, everything else to stderr. On the first SIGINT, SIGTERM or SIGHUP, a command that
//! watches something detaches all programs, prints its summary and exits. The second ends any command at once, by that
//! signal (`signals.rs`).

mod args;
mod bindgen;
mod child;
mod columns;
mod compare;
mod completion;
mod cover;
mod decode;
mod diagnostics;
mod doctor;
mod draw;
mod error;
mod help;
mod inspect;
mod manual;
mod moment;
mod object_arg;
mod object_reader;
mod outlet;
mod output_file;
mod pattern;
mod peek;
mod recorder;
mod replay;
mod run;
mod signals;
mod terminal;
mod trace;
mod usage;

use std::{panic, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cutaway::ObjectReader;

use self::{error::CliError, terminal::Color};

/// Show how events travel from an eBPF program to user space
///
/// trace, compare, run, cover and peek need root, or capabilities: `cutaway
/// doctor` names missing privileges. Results are printed on stdout, everything
/// else on stderr.
///
/// Exit status: 0 on success, 1 on failure, 2 on wrong usage.
#[derive(Debug, Parser)]
#[command(name = "cutaway", version, verbatim_doc_comment)]
struct Arguments {
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    #[arg(help = diagnostics::EXPLAIN_HELP, long_help = diagnostics::EXPLAIN_LONG_HELP)]
    explain: Option<diagnostics::Explain>,

    /// Log what cutaway chooses and corrects
    ///
    /// The same as RUST_LOG=info, which has priority over --verbose. The log
    /// goes to stderr.
    #[arg(long, short, global = true, verbatim_doc_comment)]
    verbose: bool,

    /// Color results: auto (default), always or never
    ///
    /// auto: on a terminal, unless NO_COLOR is set
    /// always: also in pipes and files
    /// never: nowhere
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto", verbatim_doc_comment)]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    color: Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trace getaddrinfo calls: one event each, by ring or perf buffer
    ///
    /// Uprobes on the C library's function getaddrinfo send an event for each call.
    /// Run it as root.
    #[command(verbatim_doc_comment)]
    Trace(trace::Arguments),
    /// Benchmark perf and ring buffers and verify claims about them
    ///
    /// Each experiment measures on this machine and prints its result. Run it as root.
    #[command(verbatim_doc_comment)]
    Compare(compare::Arguments),
    /// Show the contents of a BPF object and what loading it would do
    ///
    /// Shows maps and programs, and the instructions before and after linking.
    /// Linking joins functions, and fills in references to maps and variables.
    /// Without --verify, inspect loads nothing and needs no privileges.
    #[command(verbatim_doc_comment)]
    Inspect(inspect::Arguments),
    /// Load any BPF object, run its programs and print their records
    ///
    /// The name of a program's section determines what the program is attached to.
    /// By default, run decodes records by the types in the object's BTF.
    /// Run it as root.
    #[command(verbatim_doc_comment)]
    Run(run::Arguments),
    /// Measure which lines of a BPF object's source run
    ///
    /// cover marks the code that runs, and shows each line of source with its
    /// count. The marks cost one store for each basic block. Objects need line
    /// information (clang -g). Run it as root.
    #[command(verbatim_doc_comment)]
    Cover(cover::Arguments),
    /// Show ring and perf buffers of any process, without side effects
    ///
    /// Without options, lists all rings and perf event arrays. One of --id, --pin,
    /// --name, --pid and --from selects a buffer. Consumes no record, and does not
    /// disturb the readers. Run it as root.
    #[command(verbatim_doc_comment)]
    Peek(peek::Arguments),
    /// Show a recording of trace, run or peek again
    ///
    /// Recordings are written by --record. replay formats and filters records
    /// as the command that recorded them does. It needs no privileges.
    #[command(verbatim_doc_comment)]
    Replay(Box<replay::ReplayArguments>),
    /// Check what this kernel and your privileges allow
    ///
    /// doctor tries features, and reads settings of the kernel. If something is
    /// missing, it prints what to do. In the table, this advice follows on the
    /// line after the finding. In JSON, it has the key `advice`. The exit status
    /// is 1 if the command does not work: `cutaway trace`, or that of --for.
    #[command(verbatim_doc_comment)]
    Doctor(doctor::Arguments),
    /// Write a Rust module with the types of a BPF object
    ///
    /// The module has the types of maps, global variables and records, and a
    /// type that opens, loads and attaches the object. bindgen loads nothing,
    /// and needs no clang and no privileges.
    #[command(verbatim_doc_comment)]
    Bindgen(bindgen::Arguments),
    /// Print the completion script for a shell
    Completions(completion::Completions),
    /// Print the candidates for a word, for the completion scripts
    #[command(hide = true)]
    Complete(completion::Complete),
    /// Print the manual, as pages for man(1)
    Man(manual::Man),
}

/// Installs a panic hook that prints nothing for a panic of aya-obj: the loader catches the panic and returns an error.
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
    let color = Color::in_words(std::env::args_os().skip(1));
    let matches = help::fitted(Arguments::command().color(color.into())).try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return usage::print(error),
    };
    arguments.color.apply();
    if arguments.explain.is_some()
        && matches!(
            arguments.command,
            Command::Bindgen(_) | Command::Replay(_) | Command::Completions(_) | Command::Complete(_) | Command::Man(_)
        )
    {
        let failure =
            CliError::usage("--explain has no effect: this command loads, attaches and reads nothing; omit it");
        diagnostics::fail(&failure);
        return ExitCode::from(2);
    }
    diagnostics::start(arguments.explain, arguments.verbose);
    let result = match arguments.command {
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Cover(arguments) => cover::run(&arguments),
        Command::Peek(arguments) => peek::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Bindgen(arguments) => bindgen::run(&arguments),
        Command::Completions(arguments) => completion::script(&arguments),
        Command::Complete(arguments) => completion::complete(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::man(&arguments, Arguments::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::fail(&failure);
            if failure.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn short_option_means_the_same_in_each_command() {
        let mut whole = Arguments::command();
        whole.build();
        let mut known = BTreeMap::new();
        for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
            for arg in command.get_arguments() {
                if let (Some(letter), Some(long)) = (arg.get_short(), arg.get_long()) {
                    let other = known.insert(letter, long);
                    assert_eq!(other.unwrap_or(long), long, "-{letter} of {}", command.get_name());
                }
            }
        }
        // The common ones exist wherever the long one does.
        let letters = [("pid", 'p'), ("comm", 'c'), ("output", 'o'), ("quiet", 'q'), ("count", 'n'), ("interval", 'i')];
        for (long, letter) in letters {
            assert_eq!(known.get(&letter), Some(&long));
            for command in whole.get_subcommands() {
                let mut named = command.get_arguments().filter(|arg| arg.get_long() == Some(long));
                assert!(named.all(|arg| arg.get_short() == Some(letter)), "--{long} of {}", command.get_name());
            }
        }
    }
}
