//! `cargo xtask`: the routines of this repository, by name. CI calls the same ones.

mod bench;
mod ci;
mod compare_matrix;
mod damaged;
mod instrumented;
mod loss_cost;
mod messages;
mod mutants;
mod objects;
mod plots;
mod source;
mod structure;
mod style;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{api, book, packages, tools};

/// Run a routine of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    routine: Routine,
}

#[derive(Debug, Subcommand)]
enum Routine {
    /// Run everything that a change must pass, and print a summary
    Ci(ci::Arguments),
    /// Check the formatting
    Fmt,
    /// Check imports between files: no circles, stages in order
    Structure,
    /// Check docs/style.md: words, comments, doc comments, help
    Style(style::Arguments),
    /// List every text that a user can see, with file and line
    Messages(messages::Arguments),
    /// Run clippy, warnings denied
    Clippy,
    /// Build the documentation, warnings denied
    Doc,
    /// Run the README's test command
    Test,
    /// Run the readers' protocol tests under Miri
    ///
    /// With Stacked Borrows. Skipped if Miri cannot be installed.
    Miri,
    /// Run the same tests with Tree Borrows
    MiriTree,
    /// Check the loader with each feature alone, and with none
    Minimal,
    /// Check the published packages by Rust 1.88, the oldest version
    ///
    /// Skipped if rustup cannot install that version.
    OldestRust,
    /// Check the libraries for other architectures
    ///
    /// They build for 64-bit Linux, and one error says why they do not build
    /// for others. Skipped for targets that rustup cannot add.
    #[command(verbatim_doc_comment)]
    Targets,
    /// Compare the public API of each library with its api.txt
    Api(api::Arguments),
    /// Package all that would be published, without uploading
    Publish,
    /// Check the fuzz targets
    ///
    /// Skipped if there is no C++ compiler or their crates cannot be fetched.
    Fuzz,
    /// Write the built-in programs and the objects of the examples
    Objects(objects::Arguments),
    /// Make the listings, outputs, tables and pictures of the book
    Book(book::Arguments),
    /// Extract the plots of a report of `cutaway compare`
    Plots(plots::Arguments),
    /// Run tests as root on chosen kernels, in virtual machines
    Vm(vm::Args),
    /// Run `cutaway compare` on the kernels of the matrix
    ///
    /// It runs in throw-away virtual machines. Each experiment has to give a verdict.
    CompareElsewhere,
    /// Weaken each memory ordering of mmap-ring: a test must fail
    Mutants,
    /// Load damaged objects: no panic, little time and memory
    BrokenObjects {
        /// Number of damaged objects
        #[arg(long, default_value_t = 2_000_000)]
        count: u64,
    },
    /// Damage objects and read each by aya-obj
    ///
    /// aya-obj accepts the objects before the damage. Each must end in an
    /// object or one message, within seconds and 1 GiB.
    #[command(verbatim_doc_comment)]
    Damaged(damaged::Arguments),
    /// Compile C and compare its programs with and without counts
    ///
    /// Each source of tests/instrument becomes many objects. Each object must
    /// load and do the same with inserted instructions. Needs clang and root.
    #[command(verbatim_doc_comment)]
    Instrumented(instrumented::Arguments),
    /// Measure the cost of counting losses and of coverage
    ///
    /// Time per run, by the kernel's statistics, with and without inserted
    /// instructions in turn. Needs root.
    #[command(verbatim_doc_comment)]
    LossCost(loss_cost::Arguments),
    /// Measure the readers and the loader against others
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print a built-in program: Rust lines, instructions, names
    Listing(objects::Transport),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().routine {
        Routine::Ci(before) => return ci::all(&before),
        Routine::Vm(arguments) => return vm::run(&arguments),
        Routine::Fmt => ci::fmt(),
        Routine::Structure => structure::check(),
        Routine::Style(arguments) => style::run(&arguments),
        Routine::Messages(arguments) => messages::run(&arguments),
        Routine::Clippy => ci::clippy(),
        Routine::Doc => ci::doc(),
        Routine::Test => ci::test(),
        Routine::Miri => ci::miri(),
        Routine::MiriTree => ci::miri_tree(),
        Routine::Minimal => ci::minimal(),
        Routine::OldestRust => packages::oldest_rust(),
        Routine::Targets => packages::targets(),
        Routine::Api(arguments) => api::run(&arguments),
        Routine::Publish => packages::publish(),
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
        Routine::Instrumented(arguments) => instrumented::run(&arguments),
        Routine::LossCost(arguments) => loss_cost::run(&arguments),
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
