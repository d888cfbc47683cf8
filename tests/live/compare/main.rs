//! `cutaway compare` from end to end: every experiment on the running kernel, and every experiment broken on purpose.
//!
//! Needs root. What measures time takes turns, so that one test's load is not another's noise; the machine's own noise
//! remains, and a verdict that depends on time may therefore be "too noisy", but never the wrong one.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod endings;
mod experiments;
mod report;
mod usage;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "shared with tests that do more with it")]
mod binary;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/stalled.rs"]
mod stalled;

use std::sync::{Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Trial};
use requirements::Needs;

fn main() {
    let arguments = Arguments::from_args();
    let trials = [experiments::trials(), report::trials(), endings::trials(), usage::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A test that fails by panicking.
fn trial(name: impl Into<String>, needs: Needs, test: impl FnOnce() + Send + 'static) -> Trial {
    requirements::trial(name, needs, move || {
        test();
        Ok(())
    })
}

/// One at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn has left nothing behind that would matter.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The CPUs that tests may use.
fn cpus() -> usize {
    std::thread::available_parallelism().unwrap().get()
}
