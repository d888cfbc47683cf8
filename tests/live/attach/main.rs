//! Attaching, kind by kind, on the running kernel: each attaches, runs, detaches on drop, and leaves nothing behind.
//!
//! Each test runs in a process of its own, which is this binary once more, and must leave as many descriptors open as it
//! found. What the kernel lacks is told as the test's reason to be ignored, by what the kernel itself says of it.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod cgroups;
mod containers;
mod contexts;
mod devices;
mod kernel;
mod lacks;
mod network;
mod pins;
mod replacing;
mod runs;
mod sample;
mod sockets;
mod tables;
mod usdt;
mod user;

#[path = "../support/crafted.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod crafted;
#[path = "../support/mapped.rs"]
mod mapped;
#[path = "../support/open.rs"]
mod open;
#[path = "../support/own_mounts.rs"]
mod own_mounts;
#[path = "../support/requirements.rs"]
#[expect(dead_code, reason = "these tests need other things, see `lacks`")]
mod requirements;

use std::process::Command;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use requirements::Needs;

/// The argument that makes this binary run one test alone.
const ALONE: &str = "alone";
/// The argument that makes this binary wait for the end of its input.
pub(crate) const WAIT: &str = "wait";

/// A test: its name, why it cannot run here (if it cannot), and what it does.
struct Test {
    name: &'static str,
    lacks: fn() -> Option<String>,
    run: fn(),
}

const fn test(name: &'static str, lacks: fn() -> Option<String>, run: fn()) -> Test {
    Test { name, lacks, run }
}

fn main() {
    // The loader opens tracefs itself where it is not mounted.
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tests = [
        kernel::TESTS,
        user::TESTS,
        usdt::TESTS,
        containers::TESTS,
        contexts::TESTS,
        devices::TESTS,
        cgroups::TESTS,
        sockets::TESTS,
        pins::TESTS,
        replacing::TESTS,
        tables::TESTS,
        runs::TESTS,
    ];
    let mut tests = tests.into_iter().flatten();
    // Those of a contained process may be paths that are no text.
    let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).peekable();
    if words.peek().is_some_and(|word| word == WAIT) {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        return;
    }
    if words.peek().is_some_and(|word| word == containers::CONTAINED) {
        return containers::be_contained(&std::env::args_os().skip(2).collect::<Vec<_>>());
    }
    if words.next().is_some_and(|word| word == ALONE) {
        let name = words.next().expect("a test's name");
        let test = tests.find(|test| test.name == name).expect("the name of a test");
        let before = open::descriptors();
        (test.run)();
        assert_eq!(open::descriptors(), before, "descriptors leak");
        return;
    }
    let trials = tests.map(|test| {
        Trial::ignorable_test(test.name, || match Needs::Root.obstacle().or_else(test.lacks) {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => alone(test.name).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn alone(name: &str) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).args([ALONE, name]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}
