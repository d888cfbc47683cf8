//! Measures the cost of draining, without a kernel or privileges: a fake ring full of samples of 8 bytes, drained over
//! and over.
//!
//! ```text
//! cargo bench -p perf-reader --bench drain        instructions a sample, under callgrind, and the best time a sample
//! ```
//!
//! Callgrind counts the instructions of one function, so the first figure is the same in every run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use perf_reader::fake::{Kernel, Pages, perf_buffer};
use perf_reader::{Reader, Record};

/// Size of the ring in bytes: 128 pages.
const SIZE: usize = 128 * 4096;
/// The number of drains under callgrind.
const DRAINS: u64 = 20;

/// Fills the ring. Returns the number of samples written.
fn fill(kernel: &mut Kernel) -> u64 {
    let samples = (SIZE as u64 - 1) / 24;
    for n in 0..samples {
        kernel.sample(&n.to_ne_bytes()).unwrap();
    }
    samples
}

/// Adds up all samples, by `for_each`. One of the two measured functions.
#[inline(never)]
fn drain_and_sum(reader: &mut Reader<Pages>) -> u64 {
    let batch = reader.batch().unwrap();
    let mut sum = 0_u64;
    batch.records().for_each(|record| {
        if let Ok(Record::Sample(sample)) = record
            && let Ok(payload) = sample.array()
        {
            sum = sum.wrapping_add(u64::from_ne_bytes(payload));
        }
    });
    sum
}

/// Adds up all samples, by `for`. The other measured function.
#[inline(never)]
fn loop_and_sum(reader: &mut Reader<Pages>) -> u64 {
    let batch = reader.batch().unwrap();
    let mut sum = 0_u64;
    for record in &batch {
        if let Ok(Record::Sample(sample)) = record
            && let Ok(payload) = sample.array()
        {
            sum = sum.wrapping_add(u64::from_ne_bytes(payload));
        }
    }
    sum
}

/// A measured function, and its name.
type Measured = (&'static str, fn(&mut Reader<Pages>) -> u64);
const MEASURED: [Measured; 2] = [("drain_and_sum", drain_and_sum), ("loop_and_sum", loop_and_sum)];

fn main() {
    let (mut kernel, pages) = perf_buffer(SIZE);
    let mut reader = Reader::new(pages, false).unwrap();
    if std::env::args().any(|argument| argument == "--under-callgrind") {
        for _ in 0..DRAINS {
            for (_, drain) in MEASURED {
                fill(&mut kernel);
                black_box(drain(&mut reader));
            }
        }
        return;
    }
    for (name, drain) in MEASURED {
        let samples = fill(&mut kernel);
        assert_eq!(drain(&mut reader), samples * (samples - 1) / 2);
        match instructions(name) {
            Some(count) => println!("{name}: instructions a sample: {:.2}", count as f64 / (samples * DRAINS) as f64),
            None => println!("{name}: instructions a sample: not counted, valgrind cannot be run"),
        }
    }
    let mut best = [Duration::MAX; MEASURED.len()];
    let mut samples = 0;
    for _ in 0..400 {
        for ((_, drain), best) in MEASURED.iter().zip(&mut best) {
            samples = fill(&mut kernel);
            let began = Instant::now();
            black_box(drain(&mut reader));
            *best = began.elapsed().min(*best);
        }
    }
    for ((name, _), best) in MEASURED.iter().zip(best) {
        println!("{name}: best time a sample: {:.2} ns", best.as_secs_f64() * 1e9 / samples as f64);
    }
}

/// Runs this program under callgrind. Returns the number of instructions in one of the functions and its callees.
fn instructions(function: &str) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(std::env::current_exe().unwrap())
        .arg("--under-callgrind")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let Some(collected) = text.lines().find_map(|line| line.split_once("Collected : ")) else {
        panic!("callgrind failed: {text}");
    };
    collected.1.trim().parse().ok()
}
