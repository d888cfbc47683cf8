//! The crate `cutaway` on the running kernel.
//!
//! Each test runs in a process of its own, started from this binary: fds, limits, the logger and cached kernel features
//! belong to a process.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod attaching;
mod batches;
mod bindgen;
mod built;
mod corpus;
mod created;
mod descriptors;
mod externs;
mod journal;
mod kernel_btf;
mod lockdown;
#[cfg(feature = "instrument")]
mod losses;
mod maps;
mod objects;
#[cfg(feature = "parallel")]
mod parallel;
mod pin_paths;
mod polling;
mod privileges;
#[cfg(feature = "aya-obj")]
mod readers;
mod reading;
mod replaced;
mod sample;
mod stacks;
mod sysfs;
#[cfg(feature = "token")]
mod token;
mod typed;
mod variables;
mod verifier;

#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/many_core.rs"]
mod many_core;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[cfg(feature = "parallel")]
#[path = "../support/patience.rs"]
mod patience;
#[cfg(any(feature = "instrument", feature = "parallel"))]
#[path = "../support/repetitions.rs"]
mod repetitions;
#[path = "../support/requirements.rs"]
mod requirements;
#[cfg(feature = "parallel")]
#[path = "../support/slow_programs.rs"]
mod slow_programs;
#[path = "../support/transports.rs"]
mod transports;
#[cfg(feature = "token")]
#[path = "../support/user_namespace.rs"]
mod user_namespace;

use harness::Suite;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tables = [
        objects::tests(),
        maps::tests(),
        batches::tests(),
        built::tests(),
        created::tests(),
        pin_paths::tests(),
        replaced::tests(),
        bindgen::tests(),
        verifier::tests(),
        attaching::tests(),
        stacks::tests(),
        reading::tests(),
        polling::tests(),
        descriptors::tests(),
        externs::tests(),
        privileges::tests(),
        lockdown::tests(),
        #[cfg(feature = "instrument")]
        losses::tests(),
        variables::tests(),
        sysfs::tests(),
        #[cfg(feature = "token")]
        token::tests(),
        typed::tests(),
        kernel_btf::tests(),
        #[cfg(feature = "parallel")]
        parallel::tests(),
        #[cfg(feature = "aya-obj")]
        readers::tests(),
    ];
    Suite::new(tables).run_isolated(journal::start)
}
