//! `cargo xtask`: every routine of this repository, by name. CI calls the same ones.

mod bench;
mod ci;
mod compare_matrix;
mod damaged;
mod mutants;
mod objects;
mod plots;
mod structure;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{book, tools};

/// Every routine of this repository, by name
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    routine: Routine,
}

#[derive(Debug, Subcommand)]
enum Routine {
    /// All that a change must pass, in order, with a summary
    Ci(ci::Arguments),
    /// Formatting, checked
    Fmt,
    /// The imports between files: no circles, none against the order of the stages
    Structure,
    /// Clippy, warnings denied
    Clippy,
    /// Documentation, warnings denied
    Doc,
    /// The README's test command
    Test,
    /// Both readers' protocol tests under Miri, by Stacked Borrows; skipped where Miri is not to be had
    Miri,
    /// The same by Tree Borrows
    MiriTree,
    /// The loader without its default features, and what an embedder gets for it
    Minimal,
    /// The fuzz targets, checked; skipped where their crates or a C++ compiler are not to be had
    Fuzz,
    /// Writes every built-in program, and the objects of the loader's examples, into a directory
    Objects(objects::Arguments),
    /// Makes the listings, outputs, tables and pictures of the book in docs/ anew
    Book(book::Arguments),
    /// Takes the plots out of a report of `cutaway compare`, as files of their own
    Plots(plots::Arguments),
    /// Runs tests as root on chosen kernels, in throw-away virtual machines
    Vm(vm::Args),
    /// The comparison on the kernels of the matrix, in throw-away virtual machines: each experiment has to give a
    /// verdict
    CompareElsewhere,
    /// Weakens each memory ordering of mmap-ring in turn: its model must notice
    Mutants,
    /// Damages real objects in so many ways: the loader must answer each soon, in little memory, and never panic
    BrokenObjects {
        /// How many damaged objects
        #[arg(long, default_value_t = 2_000_000)]
        count: u64,
    },
    /// Damages objects that aya-obj takes: reading each by aya-obj must end in an object or one message, within seconds
    /// and 1 GiB
    Damaged(damaged::Arguments),
    /// Measures the readers against other people's
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Prints a built-in program: Rust lines, instructions, names
    Listing(objects::Transport),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().routine {
        Routine::Ci(before) => return ci::all(&before),
        Routine::Vm(arguments) => return vm::run(&arguments),
        Routine::Fmt => ci::fmt(),
        Routine::Structure => structure::check(),
        Routine::Clippy => ci::clippy(),
        Routine::Doc => ci::doc(),
        Routine::Test => ci::test(),
        Routine::Miri => ci::miri(),
        Routine::MiriTree => ci::miri_tree(),
        Routine::Minimal => ci::minimal(),
        Routine::Fuzz => ci::fuzz(),
        Routine::Objects(arguments) => objects::write(&arguments),
        Routine::Book(arguments) => book::write(&arguments),
        Routine::Plots(arguments) => plots::write(&arguments),
        Routine::CompareElsewhere => compare_matrix::compare(),
        Routine::Mutants => mutants::run("mmap-ring", "model"),
        Routine::BrokenObjects { count } => tools::cargo(
            &["test", "-p", "cutaway", "--test", "broken", "--", "--nocapture"],
            &[("CUTAWAY_MUTANTS", &count.to_string())],
        ),
        Routine::Damaged(arguments) => damaged::run(&arguments),
        Routine::Bench(bench) => bench::run(&bench),
        Routine::Listing(transport) => objects::listing(&transport),
    };
    match outcome {
        Ok(tools::Outcome::Done) => ExitCode::SUCCESS,
        Ok(tools::Outcome::Skipped(why)) => {
            eprintln!("skipped: {why}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
