//! The comparison with other people's readers, which lives in a workspace of its
//! own because it needs C.

mod loader;

use std::{path::Path, process::Command};

use clap::Subcommand;

use crate::tools::{self, Outcome, Result};

/// What to measure
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// All readers in one process, in turn: a table, and a dated CSV in tests/peers/results
    Peers {
        /// Fewer and shorter rounds, and no CSV
        #[arg(long)]
        quick: bool,
    },
    /// Loaders: CPU and memory to the first event, size, crates, build time
    Loader {
        /// No clean builds
        #[arg(long)]
        quick: bool,
    },
    /// User instructions a record while draining 8-byte records, counted by callgrind
    Instructions,
}

pub(crate) fn run(bench: &Bench) -> Result {
    match bench {
        Bench::Peers { quick } => peers(*quick),
        Bench::Loader { quick } => loader::run(*quick),
        Bench::Instructions => instructions(),
    }
}

fn peers_command() -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--release"]).current_dir(folder);
    command
}

fn peers(quick: bool) -> Result {
    if quick {
        return tools::run(peers_command().args(["--", "ring", "--quick"]));
    }
    let date = output(Command::new("date").arg("+%F"))?;
    let csv = format!("results/{}-ring.csv", date.trim());
    tools::run(peers_command().args(["--", "ring", "--csv", &csv]))
}

/// The difference of a long run and a short one, so that what comes before and
/// after the records does not count.
fn instructions() -> Result {
    const SHORT: u64 = 1;
    const LONG: u64 = 5;
    if !tools::works("valgrind", &["--version"]) {
        return Ok(Outcome::Skipped("valgrind is not installed".to_owned()));
    }
    tools::run(
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers")),
    )?;
    let mut ours = f64::MAX;
    for consumer in ["bare", "mmap-ring", "libbpf", "aya"] {
        let count = |drains: u64| -> std::result::Result<(f64, f64), String> {
            let text = output(
                peers_command()
                    .env(
                        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
                        "valgrind --tool=callgrind --callgrind-out-file=/dev/null",
                    )
                    .args(["--", "instructions", consumer, &drains.to_string()]),
            )?;
            let number = |after: &str| {
                let words = text.lines().find(|line| line.contains(after))?.replace(after, " ");
                words.split_whitespace().rev().find_map(|word| word.parse::<f64>().ok())
            };
            number("Collected :").zip(number("records")).ok_or_else(|| format!("callgrind did not count:\n{text}"))
        };
        let ((short, few), (long, many)) = (count(SHORT)?, count(LONG)?);
        let each = (long - short) / (many - few);
        println!("{consumer:10} {each:6.2} instructions a record");
        if consumer == "mmap-ring" {
            ours = each;
        }
    }
    if ours > 16.0 {
        return Err(format!("mmap-ring takes {ours:.2} instructions a record, more than 16"));
    }
    Ok(Outcome::Done)
}

/// What a command prints, on both streams.
fn output(command: &mut Command) -> std::result::Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?} failed:\n{text}")) }
}
