//! `cutaway inspect` from end to end: every object of the corpus and of the assembler, other kernels' BTF, garbage.
//! And `cutaway doctor`, which examines the machine.
//!
//! Needs no privileges, except for tests that drop them, or that load programs.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod aya_obj;
mod doctor;
mod garbage;
mod objects;
mod verified;

#[path = "../support/binary.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod binary;
#[path = "../support/harness.rs"]
#[expect(dead_code, reason = "other suites use more of it")]
mod harness;
#[path = "../support/many_core.rs"]
mod many_core;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/requirements.rs"]
mod requirements;

use std::{ffi::OsStr, path::PathBuf};

use harness::Suite;
use serde_json::Value;

fn main() {
    let tables = [objects::tests(), verified::tests(), garbage::tests(), aya_obj::tests(), doctor::tests()];
    Suite::new(tables).run()
}

/// Runs `cutaway inspect` with these arguments to its end.
fn inspect<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> binary::Ended {
    let mut command = binary::command(["inspect"]);
    command.args(arguments);
    binary::Running::start(&mut command).end()
}

/// Returns the report as JSON.
fn report<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Value {
    let mut command = binary::command(["inspect", "--format", "json"]);
    command.args(arguments);
    let ended = binary::Running::start(&mut command).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Returns the path of an object of the corpus.
fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../tests/corpus", name].iter().collect()
}
