//! Compares loaders: the cost from an object to its first event, in whole processes, in turn.
//!
//! Each loader has a package of its own, `tests/peers/loader/NAME`, that does the same task and nothing else. So the
//! binaries, the crates and the build times are comparable as well.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::tools::{self, Outcome, Result};

/// This project's loader, and those that it is compared with.
const LOADERS: [&str; 3] = ["cutaway", "libbpf-rs", "aya"];

/// How much the medians of equal memory may differ, in KiB.
///
/// `VmHWM` of the same binary varies by about 50 KiB (standard deviation) from process to process: the addresses are
/// random, so faults map different neighbors, and the kernel sums its counters of pages per CPU. The median of 41
/// processes then varies by about 10 KiB, and the difference of two medians by about 14 KiB. This is twice that, in
/// pages.
const MEMORY_NOISE: u64 = 28;

/// The cost of one process.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: Duration,
    /// The peak of its memory in KiB.
    memory: u64,
}

fn directory(loader: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/loader").join(loader)
}

fn object(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/kinds").join(name)
}

/// Runs all measurements; `quick` skips the clean builds.
pub(super) fn run(quick: bool) -> Result {
    let mut misses = Vec::new();
    if !quick {
        misses.extend(builds()?);
    }
    let mut binaries = Vec::new();
    for loader in LOADERS {
        let target = directory(loader).join("target");
        tools::run(&mut cargo(loader, &["build", "--quiet", "--release"], &target))?;
        // Only the features that the task needs, for loaders that have features.
        let small = ["build", "--quiet", "--profile", "small", "--no-default-features"];
        tools::run(&mut cargo(loader, &small, &target))?;
        binaries.push(["release", "small"].map(|profile| target.join(profile).join(format!("first-event-{loader}"))));
    }

    println!("\n{:<12}{:>22}{:>10}", "", "stripped binary (kB)", "crates");
    for (loader, [_, small]) in LOADERS.iter().zip(&binaries) {
        let size = small.metadata().map_err(|error| format!("{}: {error}", small.display()))?.len();
        let crates = crates(loader)?;
        println!("{loader:<12}{:>22.0}{crates:>10}", size as f64 / 1e3);
        if *loader == "cutaway" {
            misses.extend((size > 500_000).then(|| format!("the binary has {size} bytes, more than 500,000")));
            misses.extend((crates > 20).then(|| format!("{crates} crates, more than 20")));
        }
    }

    for (what, object_name, question) in [
        ("first", "one_ring.o", "load, attach, first event of one_ring.o"),
        ("load", "one_ring.o", "load one_ring.o"),
        ("load", "core_reads.o", "load core_reads.o (CO-RE)"),
    ] {
        let binaries: Vec<_> = binaries.iter().map(|[release, _]| release.as_path()).collect();
        let costs = measure(&binaries, what, &object(object_name))?;
        println!("\n{question:<42}{:>10}{:>10}{:>12}", "median ms", "least ms", "peak KiB");
        for (loader, (median, least)) in LOADERS.iter().zip(&costs) {
            let [median_ms, least_ms] = [median, least].map(|cost| cost.cpu.as_secs_f64() * 1e3);
            println!("{loader:<42}{median_ms:>10.2}{least_ms:>10.2}{:>12}", median.memory);
        }
        let [(ours, _), (libbpf, _), ..] = costs.as_slice() else { continue };
        misses.extend((ours.cpu > libbpf.cpu).then(|| format!("{question}: more CPU than libbpf")));
        let more = ours.memory > libbpf.memory + MEMORY_NOISE;
        misses.extend(more.then(|| format!("{question}: more memory than libbpf")));
    }
    match misses.is_empty() {
        true => Ok(Outcome::Done),
        false => Err(format!("missed: {}", misses.join("; "))),
    }
}

fn cargo(loader: &str, arguments: &[&str], target: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(directory(loader)).env("CARGO_TARGET_DIR", target);
    command
}

/// Times clean builds, in turn: the smallest of each loader, and those with what it has by default. Returns the missed
/// targets.
fn builds() -> std::result::Result<Vec<String>, String> {
    const ROUNDS: usize = 3;
    let mut misses = Vec::new();
    println!("{:<42}{:>10}{:>10}", "clean build, seconds", "median", "CPU");
    for (what, options) in [
        ("smallest", ["--profile=small", "--no-default-features"].as_slice()),
        ("by default", ["--release"].as_slice()),
    ] {
        let mut costs = vec![Vec::new(); LOADERS.len()];
        for _ in 0..ROUNDS {
            for (loader, costs) in LOADERS.iter().zip(&mut costs) {
                costs.push(build(loader, options)?);
            }
        }
        let medians = costs.into_iter().map(|costs| {
            let (mut times, mut cpu): (Vec<_>, Vec<_>) = costs.into_iter().unzip();
            times.sort_unstable();
            cpu.sort_unstable();
            (times.swap_remove(ROUNDS / 2), cpu.swap_remove(ROUNDS / 2))
        });
        let medians: Vec<_> = medians.collect();
        for (loader, (time, cpu)) in LOADERS.iter().zip(&medians) {
            println!("{:<42}{:>10.1}{:>10.1}", format!("{loader}, {what}"), time.as_secs_f64(), cpu.as_secs_f64());
        }
        let [(ours, _), _, (aya, _)] = medians.as_slice() else { continue };
        let slow = *ours * 2 > *aya;
        misses.extend(
            slow.then(|| format!("a clean build ({what}) takes {ours:.1?}, more than half of aya's {aya:.1?}")),
        );
    }
    Ok(misses)
}

/// Builds a loader from nothing. Returns the time and the CPU time that it took.
fn build(loader: &str, options: &[&str]) -> std::result::Result<(Duration, Duration), String> {
    let target = directory(loader).join("target/clean");
    tools::run(&mut cargo(loader, &["fetch", "--quiet"], &target))?;
    let _ = std::fs::remove_dir_all(&target);
    let before = cpu_of_children()?;
    let start = Instant::now();
    tools::run(cargo(loader, &["build", "--quiet", "--offline"], &target).args(options))?;
    Ok((start.elapsed(), cpu_of_children()?.saturating_sub(before)))
}

/// Returns the CPU time of all children that have ended and been waited for.
#[expect(unsafe_code, reason = "only getrusage(2) returns the time of children")]
fn cpu_of_children() -> std::result::Result<Duration, String> {
    // SAFETY: an all-zero `rusage` is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a writable value.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0;
    if failed {
        return Err(format!("getrusage: {}", io::Error::last_os_error()));
    }
    Ok(cpu_time(&usage))
}

/// Returns the time that a process ran, in user space and in the kernel.
fn cpu_time(usage: &libc::rusage) -> Duration {
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Returns the number of crates in the tree, without the package itself.
fn crates(loader: &str) -> std::result::Result<usize, String> {
    let tree = ["tree", "--edges=normal,build", "--prefix=none"];
    let output = cargo(loader, &tree, &directory(loader).join("target")).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.len().saturating_sub(1))
}

/// Returns the median and the least cost of each binary, run in turn.
fn measure(binaries: &[&Path], what: &str, object: &Path) -> std::result::Result<Vec<(Cost, Cost)>, String> {
    const ROUNDS: usize = 41;
    let mut all = vec![Vec::new(); binaries.len()];
    for _ in 0..ROUNDS {
        for (binary, costs) in binaries.iter().zip(&mut all) {
            costs.push(once(binary, what, object).map_err(|error| format!("{}: {error}", binary.display()))?);
        }
    }
    let figures = all.iter().map(|costs| {
        // Each by itself: the process with the median time need not have the median memory.
        let (mut times, mut memories): (Vec<_>, Vec<_>) = costs.iter().map(|cost| (cost.cpu, cost.memory)).unzip();
        times.sort_unstable();
        memories.sort_unstable();
        let at = |index: usize| Some(Cost { cpu: *times.get(index)?, memory: *memories.get(index)? });
        Some((at(ROUNDS / 2)?, at(0)?))
    });
    Ok(figures.flatten().collect())
}

/// Runs a binary to its end and returns its cost.
#[expect(unsafe_code, reason = "only wait4(2) returns the cost of one child")]
fn once(binary: &Path, what: &str, object: &Path) -> io::Result<Cost> {
    let mut child = Command::new(binary).arg(what).arg(object).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    // The binary prints its peak memory as the kernel reports it: `VmHWM:     2664 kB`.
    let mut says = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut says)?;
    }
    let memory = says.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to writable values; the child is ours, and no other code waits for it.
    let waited = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    if status != 0 {
        return Err(io::Error::other(format!("ended with the status {status:#x}")));
    }
    Ok(Cost { cpu: cpu_time(&usage), memory })
}
