//! The checks that a change must pass.

mod summary;

use std::{
    path::Path,
    process::{Command, ExitCode},
    str::FromStr,
    time::{Duration, Instant},
};

use summary::Row;

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
    ("loader on arm64", vm::arm64),
    ("tests on other kernels", vm::matrix),
    ("comparison on other kernels", compare_matrix::compare),
];

/// The commands that ran before on the bare machine, and are not run again.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// End of the README's `trace`, run before
    ///
    /// Exit status and seconds, on the bare machine.
    #[arg(long, value_name = "STATUS:SECONDS")]
    traced: Option<Before>,

    /// End of `cargo test --workspace`, run before
    ///
    /// Exit status and seconds, on the bare machine. Tests that need a tool
    /// run again.
    #[arg(long, value_name = "STATUS:SECONDS", verbatim_doc_comment)]
    tested: Option<Before>,

    /// Seconds that passed before, with both commands
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    elapsed: u64,
}

/// The end of a command that ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Before {
    status: u8,
    seconds: u64,
}

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let parsed = text
            .split_once(':')
            .and_then(|(status, seconds)| Some(Self { status: status.parse().ok()?, seconds: seconds.parse().ok()? }));
        parsed.ok_or_else(|| "needs an exit status from 0 to 255, a colon, and seconds".to_owned())
    }
}

impl Before {
    fn row(self, name: &'static str) -> Row {
        let outcome = match self.status {
            0 => Ok(Outcome::Done),
            status => Err(format!("exit status {status}, see above")),
        };
        Row { name, outcome, took: Duration::from_secs(self.seconds) }
    }
}

/// Runs all checks, even after one has failed, and prints a table.
pub(crate) fn all(arguments: &Arguments) -> ExitCode {
    let start = Instant::now();
    let mut rows = before(arguments);
    for (name, check) in CHECKS {
        let (name, check): Check = match arguments.tested {
            Some(_) if *name == TESTS => ("tests that need a tool", test_with_tools),
            _ => (*name, *check),
        };
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let outcome = check();
        rows.push(Row { name, outcome, took: start.elapsed() });
    }
    let total = Duration::from_secs(arguments.elapsed) + start.elapsed();
    eprint!("\n=== summary\n{}", summary::table(&mut rows, total));
    if rows.iter().all(|row| row.outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the rows of the commands that ran before. The last one is the time between and after the two commands, in
/// which tools are installed and this program is built.
fn before(arguments: &Arguments) -> Vec<Row> {
    let commands = [("the README's trace, bare", arguments.traced), ("the README's tests, bare", arguments.tested)];
    let mut rows: Vec<Row> =
        commands.into_iter().filter_map(|(name, before)| before.map(|before| before.row(name))).collect();
    let took = Duration::from_secs(arguments.elapsed).saturating_sub(rows.iter().map(|row| row.took).sum());
    if !took.is_zero() {
        rows.push(Row { name: "tools and this program", outcome: Ok(Outcome::Done), took });
    }
    rows
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
    const FEATURES: [&str; 28] = [
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
        "ring,poller",
        "elements",
        "info",
        "links",
        "programs",
        "test-run",
        "core-relo,struct-ops",
        // The smallest embedding of `cargo xtask bench loader`.
        "ring,tracepoint",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_ran_before_have_their_times() {
        let parsed = |text: &str| text.parse::<Before>();
        assert_eq!(parsed("101:7"), Ok(Before { status: 101, seconds: 7 }));
        for text in ["", "0", "0:", ":5", "256:1", "0:-1", "0:1:2"] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        let traced = Some(Before { status: 0, seconds: 40 });
        let tested = Some(Before { status: 101, seconds: 500 });
        let rows = before(&Arguments { traced, tested, elapsed: 565 });
        let times: Vec<_> = rows.iter().map(|row| (row.outcome.is_ok(), row.took.as_secs())).collect();
        assert_eq!(times, [(true, 40), (false, 500), (true, 25)]);
        assert!(before(&Arguments { traced: None, tested: None, elapsed: 0 }).is_empty());
    }
}
