//! `cutaway trace` from end to end: the binary, the running kernel, the real C library, and a child that records its
//! calls.
//!
//! Needs root. Each test starts its own `cutaway` and its own child and checks those only, so all tests run in
//! parallel. Any number of tracers may attach to one function.
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
mod filters;
mod holding;
mod leftovers;
mod limits;
mod losses;
mod names;
mod old_kernels;
mod processes;
mod readers;
mod recorded;
mod roots;
mod screen;
mod signals;
mod summaries;
mod usage;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/child.rs"]
mod child;
#[path = "../support/events.rs"]
mod events;
#[path = "../support/explained.rs"]
mod explained;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/kernel_objects.rs"]
mod kernel_objects;
#[path = "../support/own_mounts.rs"]
#[expect(dead_code, reason = "other suites mount more")]
mod own_mounts;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/pseudo_terminal.rs"]
mod pseudo_terminal;
#[path = "../support/requirements.rs"]
mod requirements;
#[path = "../support/stalled.rs"]
mod stalled;
#[path = "../support/supervisor.rs"]
mod supervisor;
#[path = "../support/transports.rs"]
mod transports;

use harness::Suite;

fn main() {
    child::be_one_if_asked();
    roots::be_one_if_asked();
    own_mounts::enter(&[]);
    let tables = [
        calls::tests(),
        names::tests(),
        processes::tests(),
        containers::tests(),
        holding::tests(),
        endings::tests(),
        signals::tests(),
        limits::tests(),
        losses::tests(),
        leftovers::tests(),
        drawing::tests(),
        bad_input::tests(),
        usage::tests(),
        explain::tests(),
        filters::tests(),
        summaries::tests(),
        screen::tests(),
        old_kernels::tests(),
        recorded::tests(),
        readers::tests(),
    ];
    Suite::new(tables).run()
}
