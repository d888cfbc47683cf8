//! The checks that a change must pass.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use xtask::packages;

use crate::{
    compare_matrix, structure, style,
    tools::{self, Outcome, Result, cargo},
    vm,
};

/// The name of a check, and its function.
type Check = (&'static str, fn() -> Result);

/// The check that runs the test suite.
const TESTS: &str = "tests";

/// The checks; the fast ones come first.
const CHECKS: &[Check] = &[
    ("formatting", fmt),
    ("structure", structure::check),
    ("style", style::check),
    ("clippy", clippy),
    ("documentation", doc),
    ("loader without features", minimal),
    ("oldest Rust", packages::oldest_rust),
    ("other targets", packages::targets),
    ("packages to publish", packages::publish),
    ("fuzz targets build", fuzz),
    ("miri", miri),
    (TESTS, test),
    ("sick guests", vm::sick),
    ("readers on few CPUs", vm::few_cpus),
    ("tests on other kernels", vm::matrix),
    ("tests on arm64", vm::arm64),
    ("comparison on other kernels", compare_matrix::compare),
];

/// The exit statuses of the README's commands, if they were run before and are not to be run again.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exit status of the README's `trace`, run before
    ///
    /// `cargo run --release -- trace …` ran on the bare machine.
    #[arg(long, value_name = "STATUS")]
    traced: Option<u8>,

    /// Exit status of `cargo test --workspace`, run before
    ///
    /// It ran on the bare machine. Tests that need a tool run again.
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
            Some(_) if *name == TESTS => ("tests that need a tool", test_with_tools),
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

/// Runs the tests that are ignored without a tool: disassemblers and `bpftool` on the objects, musl's library in a
/// traced process.
///
/// `--workspace` selects the features of dependencies that the suite was built with, so nothing is built again.
fn test_with_tools() -> Result {
    cargo(&["test", "--workspace", "--test", "outside"], &[])?;
    cargo(&["test", "--workspace", "--test", "trace", "--", "every_c_library_in_use"], &[])
}

/// Checks that the loader builds without warnings with each feature alone, and with none.
pub(crate) fn minimal() -> Result {
    const FEATURES: [&str; 20] = [
        "aya-obj",
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
        "instrument",
        "parallel",
    ];
    for features in [""].into_iter().chain(FEATURES) {
        let only = ["clippy", "-p", "cutaway", "--lib", "--no-default-features", "--features", features];
        cargo(&[&only[..], &["--", "-D", "warnings"]].concat(), &[])?;
    }
    // The error of an object that needs a disabled feature names the feature.
    cargo(&["test", "-p", "cutaway", "--lib", "--no-default-features", "left_out"], &[])
}

/// Checks the fuzz targets, which are a workspace of their own, by any toolchain. It does not run them.
pub(crate) fn fuzz() -> Result {
    if !tools::works("c++", &["--version"]) {
        return Ok(Outcome::Skipped("there is no C++ compiler, which libFuzzer needs".to_owned()));
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(&directory);
        command
    };
    let fetched =
        command(&["fetch", "--locked", "--quiet"]).output().map_err(|error| format!("cargo fetch: {error}"))?;
    let stderr = String::from_utf8_lossy(&fetched.stderr);
    if stderr.contains("--locked") {
        return Err(format!("tests/fuzz/Cargo.lock is out of date: run `cargo fetch` in tests/fuzz: {stderr}"));
    }
    if !fetched.status.success() {
        let why = stderr.lines().last().unwrap_or_default();
        return Ok(Outcome::Skipped(format!("cannot fetch the crates of the fuzz targets: {why}")));
    }
    tools::run(&mut command(&["check", "--locked", "--bins"]))
}

/// Installs Miri for the nightly toolchain if it is not there. The error is the reason why there is no Miri.
fn miri_toolchain() -> std::result::Result<(), String> {
    let installed = || tools::works("cargo", &["+nightly", "miri", "--version"]);
    if installed() {
        return Ok(());
    }
    tools::works("rustup", &["component", "add", "--toolchain", "nightly", "miri", "rust-src"]);
    if installed() { Ok(()) } else { Err("no nightly toolchain here has Miri, and rustup cannot add it".to_owned()) }
}

/// Runs the protocol tests under Miri with Stacked Borrows.
pub(crate) fn miri() -> Result {
    miri_under("-Zmiri-disable-isolation")
}

/// Runs the protocol tests under Miri with Tree Borrows.
pub(crate) fn miri_tree() -> Result {
    miri_under("-Zmiri-disable-isolation -Zmiri-tree-borrows")
}

fn miri_under(model: &str) -> Result {
    if let Err(why) = miri_toolchain() {
        return Ok(Outcome::Skipped(why));
    }
    for tests in [&["-p", "mmap-ring", "--lib"][..], &["-p", "perf-reader", "--lib", "--test", "protocol"]] {
        // By name, because this program runs under another toolchain.
        let mut command = Command::new("cargo");
        command.args(["+nightly", "miri", "test"]).args(tests);
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env("MIRIFLAGS", model);
        tools::run(&mut command)?;
    }
    Ok(Outcome::Done)
}
