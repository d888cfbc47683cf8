//! What a change must pass.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use crate::tools::{self, Outcome, Result, cargo};
use crate::vm;

/// A check and its name.
type Check = (&'static str, fn() -> Result);

/// Every check, in the order of how soon it tells something.
const CHECKS: &[Check] = &[
    ("formatting", fmt),
    ("clippy", clippy),
    ("documentation", doc),
    ("loader without features", minimal),
    ("miri", miri),
    ("tests", test),
    ("sick guests", vm::sick),
    ("tests on other kernels", vm::matrix),
];

/// Runs all checks, even after one has failed, and prints a table.
pub(crate) fn all() -> ExitCode {
    let mut rows = Vec::new();
    for (name, check) in CHECKS {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let outcome = check();
        rows.push((*name, outcome, start.elapsed()));
    }
    eprintln!("\n=== summary");
    for (name, outcome, time) in &rows {
        let text = match outcome {
            Ok(Outcome::Done) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(why) => format!("FAILED: {why}"),
        };
        eprintln!("{name:<24} {:>5} s  {text}", time.as_secs());
    }
    if rows.iter().all(|(_, outcome, _)| outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn fmt() -> Result {
    cargo(&["fmt", "--all", "--check"], &[])
}

pub(crate) fn clippy() -> Result {
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], &[])
}

pub(crate) fn doc() -> Result {
    cargo(&["doc", "--workspace", "--no-deps", "--all-features"], &[("RUSTDOCFLAGS", "-D warnings")])
}

pub(crate) fn test() -> Result {
    cargo(&["test", "--workspace"], &[])
}

/// Each combination of features must build and be free of warnings.
pub(crate) fn minimal() -> Result {
    for features in [
        &["--no-default-features"][..],
        &["--no-default-features", "--features", "ring"],
        &["--no-default-features", "--features", "perf"],
    ] {
        cargo(&[&["clippy", "-p", "cutaway", "--lib"], features, &["--", "-D", "warnings"]].concat(), &[])?;
    }
    Ok(Outcome::Done)
}

/// The nightly toolchain, if it has or can get Miri.
fn miri_toolchain() -> std::result::Result<(), String> {
    let there = || tools::works("cargo", &["+nightly", "miri", "--version"]);
    if there() {
        return Ok(());
    }
    tools::works("rustup", &["component", "add", "--toolchain", "nightly", "miri", "rust-src"]);
    if there() { Ok(()) } else { Err("no nightly toolchain here has Miri, and rustup cannot add it".to_owned()) }
}

/// Under Stacked Borrows.
pub(crate) fn miri() -> Result {
    miri_under("-Zmiri-disable-isolation")
}

/// Under Tree Borrows.
pub(crate) fn miri_tree() -> Result {
    miri_under("-Zmiri-disable-isolation -Zmiri-tree-borrows")
}

fn miri_under(model: &str) -> Result {
    if let Err(why) = miri_toolchain() {
        return Ok(Outcome::Skipped(why));
    }
    for tests in [&["-p", "mmap-ring", "--lib"][..], &["-p", "perf-reader", "--lib", "--test", "protocol"]] {
        // By name, since this program runs under another toolchain.
        let mut command = Command::new("cargo");
        command.args(["+nightly", "miri", "test"]).args(tests);
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env("MIRIFLAGS", model);
        tools::run(&mut command)?;
    }
    Ok(Outcome::Done)
}
