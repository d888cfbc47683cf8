//! `cutaway trace` from end to end: the binary, the running kernel, the real C library, and a child that knows what it asked.
//!
//! Needs root. Each test starts its own `cutaway` and its own child, and looks at those alone, so they all run in parallel;
//! any number of tracers may hang on one function.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod asker;
mod bad_input;
mod calls;
mod containers;
mod drawing;
mod endings;
mod explain;
mod holding;
mod leftovers;
mod limits;
mod losses;
mod names;
mod old_kernels;
mod processes;
mod roots;
mod signals;
mod usage;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod binary;
#[path = "../support/child.rs"]
mod child;
#[path = "../support/events.rs"]
mod events;
#[path = "../support/explained.rs"]
mod explained;
#[path = "../support/kernel_objects.rs"]
mod kernel_objects;
#[path = "../support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/stalled.rs"]
mod stalled;
#[path = "../support/supervisor.rs"]
mod supervisor;

use cutaway_programs::getaddrinfo::Transport;
use libtest_mimic::{Arguments, Trial};
use requirements::Needs;

fn main() {
    child::be_one_if_asked();
    roots::be_one_if_asked();
    own_mounts::enter(&[]);
    let arguments = Arguments::from_args();
    let trials = [
        calls::trials(),
        names::trials(),
        processes::trials(),
        containers::trials(),
        holding::trials(),
        endings::trials(),
        signals::trials(),
        limits::trials(),
        losses::trials(),
        leftovers::trials(),
        drawing::trials(),
        bad_input::trials(),
        usage::trials(),
        explain::trials(),
        old_kernels::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// What a transport needs.
fn needs(transport: Transport) -> Needs {
    match transport {
        Transport::Ring => Needs::Ring,
        Transport::PerfStack | Transport::PerfHeap => Needs::Root,
    }
}

/// A test that fails by panicking.
fn trial(name: impl Into<String>, needs: Needs, test: impl FnOnce() + Send + 'static) -> Trial {
    requirements::trial(name, needs, move || {
        test();
        Ok(())
    })
}

/// The same test through each way, as `NAME_through_WAY`.
fn each_way(name: &str, test: fn(Transport)) -> impl Iterator<Item = Trial> {
    Transport::ALL.map(|way| trial(format!("{name}_through_{way}"), needs(way), move || test(way))).into_iter()
}
