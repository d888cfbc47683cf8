//! Runs the test of damaged objects that aya-obj reads.

use crate::tools::{self, Outcome, Result};

/// The range of damaged objects.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Number of damaged objects
    #[arg(long, default_value_t = 20_000)]
    count: u64,

    /// Number of the first object
    ///
    /// Each number names the same object on every machine.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Runs the loader's test of damaged objects. It prints how many objects end in each result. It fails on an abort, a
/// hang or more than 1 GiB of address space, and prints the number that reproduces it.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let (count, seed) = (arguments.count.to_string(), arguments.seed.to_string());
    // As users build it: without checks of overflow, and several times faster.
    let Outcome::Done = tools::cargo(&["build", "--release", "-p", "cutaway-cli"], &[])? else {
        return Err("the command cannot be built".to_owned());
    };
    let command = tools::root().join("target/release/cutaway").display().to_string();
    let environment = [("CUTAWAY_DAMAGED", &*count), ("CUTAWAY_SEED", &*seed), ("CUTAWAY_COMMAND", &*command)];
    tools::cargo(
        &[
            "test",
            "-p",
            "cutaway",
            "--features",
            "aya-obj",
            "--test",
            "readers",
            "--",
            "damaged_objects",
            "--nocapture",
        ],
        &environment,
    )
}
