//! `cutaway compare` from end to end: every experiment on the running kernel, and every experiment broken on purpose.
//!
//! Tests that measure time run alone, so that the load of one is not noise in another. The noise of the machine
//! remains: a verdict that depends on time may be "too noisy", but never the wrong one.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod endings;
mod experiments;
mod report;
mod usage;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/pseudo_terminal.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod pseudo_terminal;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/stalled.rs"]
mod stalled;

use harness::Suite;

fn main() {
    let tables = [experiments::tests(), report::tests(), endings::tests(), usage::tests()];
    Suite::new(tables).run()
}

/// The reason why tests run alone: the load of one test is noise in the figures of another.
const MEASURES: &str = "an experiment measures time";

/// Returns the number of CPUs that tests may use.
fn cpus() -> usize {
    std::thread::available_parallelism().unwrap().get()
}
