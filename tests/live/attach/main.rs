//! Attach types on the running kernel: each attaches, runs, detaches on drop, and leaves nothing behind.
//!
//! Each test runs in a process of its own, started from this binary. A feature that the kernel lacks is the reason to
//! ignore a test (`unsupported.rs`).
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod breakpoints;
mod cgroups;
mod containers;
mod contexts;
mod devices;
mod kernel;
mod link_info;
mod network;
mod orders;
mod pins;
mod programs;
mod replacing;
mod runs;
mod sample;
mod sockets;
mod streams;
mod tables;
mod tracing_multi;
mod updates;
mod usdt;
mod user;
mod waiting;

#[path = "../support/crafted.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod crafted;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/mapped.rs"]
mod mapped;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/requirements.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod requirements;
#[path = "../support/unsupported.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod unsupported;

use harness::Suite;

fn main() {
    // The loader mounts tracefs itself if it is not mounted.
    own_mounts::enter(&[own_mounts::BPFFS]);
    // The arguments of a contained process may be paths that are not UTF-8.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == waiting::WAIT => return waiting::be_waiting(),
        Some(first) if first == containers::CONTAINED => {
            return containers::be_contained(&arguments.collect::<Vec<_>>());
        }
        _ => {}
    }
    let tables = [
        kernel::tests(),
        user::tests(),
        usdt::tests(),
        containers::tests(),
        contexts::tests(),
        devices::tests(),
        cgroups::tests(),
        sockets::tests(),
        pins::tests(),
        programs::tests(),
        streams::tests(),
        replacing::tests(),
        tables::tests(),
        tracing_multi::tests(),
        runs::tests(),
        link_info::tests(),
        updates::tests(),
        orders::tests(),
        breakpoints::tests(),
    ];
    Suite::new(tables).all_need(requirements::root).run_isolated(|| {})
}
