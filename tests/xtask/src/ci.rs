//! What a change must pass.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use crate::{
    compare_matrix, structure, style,
    tools::{self, Outcome, Result, cargo},
    vm,
};

/// A check and its name.
type Check = (&'static str, fn() -> Result);

/// The check that runs the test suite.
const TESTS: &str = "tests";

/// Every check, in the order of how soon it tells something.
const CHECKS: &[Check] = &[
    ("formatting", fmt),
    ("structure", structure::check),
    ("style", style::check),
    ("clippy", clippy),
    ("documentation", doc),
    ("loader without features", minimal),
    ("fuzz targets build", fuzz),
    ("miri", miri),
    (TESTS, test),
    ("sick guests", vm::sick),
    ("readers on few CPUs", vm::few_cpus),
    ("tests on other kernels", vm::matrix),
    ("comparison on other kernels", compare_matrix::compare),
];

/// How the README's commands ended that were run before, and are not to be run again.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The exit status of the README's `cargo run --release -- trace …`, run before on the bare machine
    #[arg(long, value_name = "STATUS")]
    traced: Option<u8>,

    /// The exit status of `cargo test --workspace`, run before on the bare machine: here only the tests run that want a
    /// tool
    #[arg(long, value_name = "STATUS")]
    tested: Option<u8>,
}

/// Runs all checks, even after one has failed, and prints a table.
pub(crate) fn all(before: &Arguments) -> ExitCode {
    let mut rows = Vec::new();
    for (name, status) in [("the README's trace, bare", before.traced), ("the README's tests, bare", before.tested)] {
        let outcome = match status {
            Some(0) => Ok(Outcome::Done),
            Some(status) => Err(format!("exit status {status}, see above")),
            None => continue,
        };
        rows.push((name, outcome, None));
    }
    for (name, check) in CHECKS {
        let (name, check): Check = match before.tested {
            Some(_) if *name == TESTS => ("tests that want a tool", test_with_tools),
            _ => (*name, *check),
        };
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let outcome = check();
        rows.push((name, outcome, Some(start.elapsed())));
    }
    eprintln!("\n=== summary");
    for (name, outcome, time) in &rows {
        let text = match outcome {
            Ok(Outcome::Done) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(why) => format!("FAILED: {why}"),
        };
        let time = time.map_or_else(|| "before".to_owned(), |time| format!("{:>4} s", time.as_secs()));
        eprintln!("{name:<28} {time:>6}  {text}");
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

/// The tests that are ignored where a tool is not installed: disassemblers and `bpftool` on the objects, musl's library
/// in a process that is traced. Of the whole workspace: its dependencies' features are then those that the suite was
/// built with.
fn test_with_tools() -> Result {
    cargo(&["test", "--workspace", "--test", "outside"], &[])?;
    cargo(&["test", "--workspace", "--test", "trace", "--", "every_c_library_in_use"], &[])
}

/// Each feature by itself, and none, must build and be free of warnings.
pub(crate) fn minimal() -> Result {
    const FEATURES: [&str; 17] = [
        "ring",
        "perf",
        "core-relo",
        "externs",
        "struct-ops",
        "tracing",
        "uprobe",
        "debugdata",
        "usdt",
        "kprobe",
        "tracepoint",
        "perf-event",
        "network",
        "cgroup",
        "lirc",
        "system",
        "advice",
    ];
    for features in [""].into_iter().chain(FEATURES) {
        let only = ["clippy", "-p", "cutaway", "--lib", "--no-default-features", "--features", features];
        cargo(&[&only[..], &["--", "-D", "warnings"]].concat(), &[])?;
    }
    // What needs a feature that was left out must say so.
    cargo(&["test", "-p", "cutaway", "--lib", "--no-default-features", "left_out"], &[])
}

/// The fuzz targets, which are a workspace of their own: checked, by any toolchain, not run.
pub(crate) fn fuzz() -> Result {
    if !tools::works("c++", &["--version"]) {
        return Ok(Outcome::Skipped("there is no C++ compiler, which libFuzzer needs".to_owned()));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(&folder);
        command
    };
    let fetched =
        command(&["fetch", "--locked", "--quiet"]).output().map_err(|error| format!("cargo fetch: {error}"))?;
    let said = String::from_utf8_lossy(&fetched.stderr);
    if said.contains("--locked") {
        return Err(format!("tests/fuzz/Cargo.lock is out of date, `cargo fetch` there mends it: {said}"));
    }
    if !fetched.status.success() {
        return Ok(Outcome::Skipped(format!("its crates cannot be had: {}", said.lines().last().unwrap_or_default())));
    }
    tools::run(&mut command(&["check", "--locked", "--bins"]))
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
