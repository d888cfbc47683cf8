//! Measures the readers and the loader against those of other projects.
//!
//! The measuring programs are a workspace of their own, `tests/peers`, because they need C.

mod loader;
mod record;

use std::{path::Path, process::Command};

use clap::{Subcommand, ValueEnum};

use crate::tools::{self, Outcome, Result, root};

/// Measure the readers and the loader against others
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Readers of rings, readers of perf buffers, loading by libbpf
    ///
    /// The peers of one subject run in one process, in turn.
    /// Prints tables and writes dated CSVs to tests/peers/results.
    #[command(verbatim_doc_comment)]
    Peers {
        /// Measure only this subject
        ///
        /// ring, perf, load, verify, corpus, memory, gethostlatency
        #[arg(value_enum, hide_possible_values = true)]
        buffer: Option<Buffer>,
        /// Run fewer and shorter rounds, and write no CSV
        #[arg(long)]
        quick: bool,
    },
    /// Loaders: CPU, memory, binary size, crates, build time
    ///
    /// CPU time and memory are those of a process from its start to its first event.
    Loader {
        /// Skip the clean builds
        #[arg(long)]
        quick: bool,
    },
    /// Losses and rates with and without recordings
    ///
    /// A million records a second. Needs tracefs.
    #[command(verbatim_doc_comment)]
    Record,
    /// User instructions per record, counted by callgrind
    ///
    /// Each reader of both buffers drains 8-byte records.
    Instructions,
}

/// The subject of a measurement
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Buffer {
    /// The BPF ring buffer
    Ring,
    /// Perf buffers
    Perf,
    /// Loading of objects: CO-RE, kconfig, large .bss
    Load,
    /// Loading of 64 programs that take the verifier long
    Verify,
    /// Loading of each object in tests/corpus
    Corpus,
    /// Memory of loading each object in tests/corpus
    Memory,
    /// A traced getaddrinfo call, by `cutaway trace` and by a tool like bcc's
    Gethostlatency,
}

pub(crate) fn run(bench: &Bench) -> Result {
    match bench {
        Bench::Peers { buffer, quick } => peers(*buffer, *quick),
        Bench::Loader { quick } => loader::run(*quick),
        Bench::Record => record::run(),
        Bench::Instructions => instructions(),
    }
}

/// Returns a `cargo build` or `cargo run` of the measuring program.
fn peers_command(verb: &str) -> Command {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
    let mut command = Command::new(env!("CARGO"));
    command.args([verb, "--quiet", "--release"]).current_dir(directory);
    command
}

fn peers(buffer: Option<Buffer>, quick: bool) -> Result {
    let date = output(Command::new("date").arg("+%F"))?;
    let buffers = match buffer {
        Some(buffer) => vec![buffer],
        None => vec![
            Buffer::Ring,
            Buffer::Perf,
            Buffer::Load,
            Buffer::Verify,
            Buffer::Corpus,
            Buffer::Memory,
            Buffer::Gethostlatency,
        ],
    };
    for buffer in buffers {
        let name = match buffer {
            Buffer::Ring => "ring",
            Buffer::Perf => "perf",
            Buffer::Load => "load",
            Buffer::Verify => "verify",
            Buffer::Corpus => "corpus",
            Buffer::Memory => "memory",
            Buffer::Gethostlatency => "gethostlatency",
        };
        let csv = format!("results/{}-{name}.csv", date.trim());
        let mut how = if quick { vec!["--quick"] } else { vec!["--csv", &csv] };
        let command = root().join("target/release/cutaway");
        if matches!(buffer, Buffer::Gethostlatency) {
            tools::run(Command::new(env!("CARGO")).args(["build", "--quiet", "--release", "-p", "cutaway-cli"]))?;
            how.extend(["--cutaway", command.to_str().ok_or("the path of the repository is no UTF-8")?]);
        }
        tools::run(peers_command("run").args(["--", name]).args(how))?;
        if !quick {
            println!("\nwritten to tests/peers/{csv}");
        }
    }
    Ok(Outcome::Done)
}

/// The readers of one buffer, for callgrind.
struct Readers {
    what: &'static str,
    /// The measuring program's subcommand for one of them.
    command: &'static str,
    /// This project's reader, and the maximum of its instructions per record.
    ours: (&'static str, f64),
    others: &'static [&'static str],
}

const READERS: [Readers; 2] = [
    Readers {
        what: "ring buffer",
        command: "instructions",
        ours: ("mmap-ring", 16.0),
        others: &["bare", "libbpf", "aya"],
    },
    Readers {
        what: "perf buffer",
        command: "perf-instructions",
        ours: ("perf-reader", 22.0),
        others: &["libbpf-raw", "aya"],
    },
];

fn instructions() -> Result {
    if !tools::works("valgrind", &["--version"]) {
        return Ok(Outcome::Skipped("valgrind is not installed".to_owned()));
    }
    tools::run(&mut peers_command("build"))?;
    println!("user instructions per record while draining 8-byte records");
    let mut missed = Vec::new();
    for Readers { what, command, ours: (ours, most), others } in READERS {
        println!("\n{what}");
        let each = instructions_each(command, ours)?;
        let verdict = if each <= most { "met" } else { "MISSED" };
        println!("  {ours:12} {each:6.2}   target: {most} or fewer, {verdict}");
        if each > most {
            missed.push(format!("{ours} takes {each:.2} instructions per record, more than {most}"));
        }
        for other in others {
            let each = instructions_each(command, other)?;
            println!("  {other:12} {each:6.2}");
        }
    }
    if missed.is_empty() { Ok(Outcome::Done) } else { Err(missed.join("; ")) }
}

/// Returns the instructions per record: the difference of a long run and a short one, so that the code before and after
/// the records does not count.
fn instructions_each(command: &str, consumer: &str) -> std::result::Result<f64, String> {
    const SHORT: u64 = 1;
    const LONG: u64 = 5;
    let count = |drains: u64| -> std::result::Result<(f64, f64), String> {
        let text = output(
            peers_command("run")
                .env(
                    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                    "valgrind --tool=callgrind --callgrind-out-file=/dev/null",
                )
                .args(["--", command, consumer, &drains.to_string()]),
        )?;
        let number = |after: &str| {
            let words = text.lines().find(|line| line.contains(after))?.replace(after, " ");
            words.split_whitespace().rev().find_map(|word| word.parse::<f64>().ok())
        };
        number("Collected :").zip(number("records")).ok_or_else(|| format!("callgrind did not count:\n{text}"))
    };
    let ((short, few), (long, many)) = (count(SHORT)?, count(LONG)?);
    Ok((long - short) / (many - few))
}

/// Returns the output of a command on both streams.
fn output(command: &mut Command) -> std::result::Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?} failed:\n{text}")) }
}
