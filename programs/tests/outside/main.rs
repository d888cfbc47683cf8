//! Checks the objects with other readers: disassemblers, another loader, the kernel.
//!
//! A test that lacks its tool or privilege is listed as ignored, with the reason before its name. With `--ignored` it
//! runs and fails.
//!
//! `apt-get install llvm binutils bpftool`, or the equivalent, installs the tools.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test without libtest's harness is not seen as one"
)]

mod arithmetic;
#[expect(dead_code, reason = "`encoding.rs` checks the bytes of each form")]
#[path = "../forms/mod.rs"]
mod forms;
mod kernel;
#[path = "../sample/mod.rs"]
mod sample;
mod tools;
mod types;

#[path = "../../../tests/live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;

use libtest_mimic::{Arguments, Failed, Trial};

/// Returns a test, ignored with a reason if it cannot run here.
fn trial(
    name: impl Into<String>,
    obstacle: Option<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let trial = Trial::test(name, test);
    match obstacle {
        None => trial,
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
    }
}

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let arguments = Arguments::from_args();
    let trials = tools::trials().into_iter().chain(kernel::trials());
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
