//! Measures what inserted instructions cost: the time of a program's run as it is, with counted losses and with marks.
//!
//! The variants of a program run in turn on one CPU, so that a change of the machine's speed meets all of them. A round
//! sends less than the buffer holds: a program that loses records does something else.

use std::time::Instant;

use cutaway::{Loaded, Map, Object, Program, StatsGuard, TestRun, perf_reader};
use cutaway_programs::prelude::*;
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use crate::{
    instrumented::unprivileged,
    tools::{Outcome, Result},
};

/// The arguments of `cargo xtask loss-cost`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds of each variant
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

/// Runs of one round.
const RUNS: u32 = 20_000;
/// Size of the ring and of each perf buffer in bytes: more than a round sends.
const BUFFER: u32 = 4 << 20;
/// The maximal share of its time that counting may add to a program that sends.
const MOST: f64 = 0.05;

/// How a program sends one record.
#[derive(Debug, Clone, Copy)]
enum Method {
    Discard,
    Submit,
    Output,
    Perf,
}

const METHODS: [(&str, Method); 4] = [
    ("reserve, discard", Method::Discard),
    ("reserve, submit", Method::Submit),
    ("ringbuf_output", Method::Output),
    ("perf_event_output", Method::Perf),
];

/// Measures each method, and prints medians.
pub(crate) fn run(arguments: &Arguments) -> Result {
    if let Some(why) = unprivileged() {
        return Ok(Outcome::Skipped(why));
    }
    pin_to_this_cpu()?;
    println!("nanoseconds per run, medians of {} rounds of {RUNS} runs in turn; nothing is lost", arguments.rounds);
    println!("{:20} {:>12} {:>8} {:>16} {:>16}", "", "clock", "plain", "counted", "covered");
    let mut missed = Vec::new();
    for (name, method) in METHODS {
        let times = measure(method, arguments.rounds).map_err(|error| format!("{name}: {error}"))?;
        for (clock, times) in [("caller's", &times.outside), ("kernel's", &times.inside)] {
            let [plain, counted, covered] = times;
            let shares = [counted, covered].map(|times| median(ratios(times, plain)) - 1.0);
            let [share, covered_share] = shares;
            println!(
                "{name:20} {clock:>12} {:8.1} {:8.1} {:+6.1} % {:8.1} {:+6.1} %",
                median(plain.clone()),
                median(counted.clone()),
                100.0 * share,
                median(covered.clone()),
                100.0 * covered_share
            );
            if share > MOST {
                missed.push(format!("{name}: counting adds {:.1} % by the {clock} clock", 100.0 * share));
            }
        }
    }
    if missed.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(format!("target: {:.0} %; {}", 100.0 * MOST, missed.join("; ")))
    }
}

/// Nanoseconds per run in each round, for each variant.
struct Times {
    /// By the clock of the caller of `BPF_PROG_TEST_RUN`, without run statistics.
    outside: [Vec<f64>; 3],
    /// By the run statistics, which add the time of reading the clock once.
    inside: [Vec<f64>; 3],
}

fn measure(method: Method, rounds: usize) -> std::result::Result<Times, String> {
    let plain = |object: Object| object;
    let counted = |mut object: Object| object.count_losses().clone();
    let covered = |mut object: Object| object.cover().clone();
    let variants = [variant(method, plain)?, variant(method, counted)?, variant(method, covered)?];
    let mut subjects = Vec::new();
    for loaded in &variants {
        let program = loaded.program("send").map_err(|error| error.to_string())?;
        let map = loaded.map("events").map_err(|error| error.to_string())?;
        subjects.push((program, Reader::open(map)?));
    }
    let mut times = Times { outside: Default::default(), inside: Default::default() };
    let mut received = 0;
    for _ in 0..=rounds {
        for (index, (program, reader)) in subjects.iter_mut().enumerate() {
            let start = Instant::now();
            round(program)?;
            let outside = start.elapsed().as_nanos() as f64 / f64::from(RUNS);
            received += reader.drain()?;
            let inside = inside(program)?;
            received += reader.drain()?;
            times.outside.get_mut(index).into_iter().for_each(|times| times.push(outside));
            times.inside.get_mut(index).into_iter().for_each(|times| times.push(inside));
        }
    }
    // The first round warms up.
    for times in times.outside.iter_mut().chain(&mut times.inside) {
        times.remove(0);
    }
    let expected = if matches!(method, Method::Discard) { 0 } else { (rounds as u64 + 1) * 6 * u64::from(RUNS) };
    if received != expected {
        return Err(format!("{received} of {expected} records were received"));
    }
    check(&variants)?;
    Ok(times)
}

/// Checks that the variants are what they are called, and that nothing was lost.
fn check(variants: &[Loaded; 3]) -> std::result::Result<(), String> {
    let [_, counted, covered] = variants;
    let losses = counted.losses().ok_or("losses are not counted")?.maps().map_err(|error| error.to_string())?;
    if losses.iter().map(cutaway::MapLosses::exact).collect::<Vec<_>>() != [Some(0)] {
        return Err(format!("{losses:?}"));
    }
    let unmarked = covered.coverage().ok_or("nothing is marked")?.not_measured();
    if unmarked.is_empty() { Ok(()) } else { Err(format!("{unmarked:?}")) }
}

fn round(program: &Program) -> std::result::Result<(), String> {
    let input = TestRun { data: vec![0; 64], repeat: RUNS, ..TestRun::default() };
    program.test_run(&input).map(drop).map_err(|error| error.to_string())
}

/// Returns the nanoseconds per run by the run statistics.
fn inside(program: &Program) -> std::result::Result<f64, String> {
    let stats = || program.stats().map_err(|error| error.to_string());
    let guard = StatsGuard::enable().map_err(|error| error.to_string())?;
    let before = stats()?;
    round(program)?;
    let after = stats()?;
    drop(guard);
    Ok((after.time - before.time).as_nanos() as f64 / (after.count - before.count).max(1) as f64)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ratios(times: &[f64], plain: &[f64]) -> Vec<f64> {
    times.iter().zip(plain).map(|(time, plain)| time / plain).collect()
}

/// The reader of the map `events`.
enum Reader {
    Ring(cutaway::mmap_ring::Ring),
    Perf(Box<perf_reader::AdaptiveReader<cutaway::PerfEventArray>>),
}

impl Reader {
    fn open(map: &Map) -> std::result::Result<Self, String> {
        match map.map_type() {
            MapType::RINGBUF => map.ring().map(Self::Ring),
            _ => map.perf_buffers(BUFFER, &perf_reader::Options::new()).map(|buffers| Self::Perf(Box::new(buffers))),
        }
        .map_err(|error| error.to_string())
    }

    /// Returns the number of records.
    fn drain(&mut self) -> std::result::Result<u64, String> {
        let mut records = 0;
        match self {
            Self::Ring(ring) => {
                ring.drain(|_| records += 1).map_err(|error| error.to_string())?;
            }
            Self::Perf(buffers) => {
                let count = |_, record: std::result::Result<perf_reader::Record<'_>, _>| {
                    records += u64::from(matches!(record, Ok(perf_reader::Record::Sample(_))));
                };
                buffers.drain(count).map_err(|error| error.to_string())?;
            }
        }
        Ok(records)
    }
}

/// Loads the program with what `instrument` adds.
fn variant(method: Method, instrument: impl FnOnce(Object) -> Object) -> std::result::Result<Loaded, String> {
    let bytes = object(method).map_err(|error| error.to_string())?;
    let object = Object::parse(&bytes).map_err(|error| error.to_string())?;
    instrument(object).load().map_err(|error| error.to_string())
}

/// Returns the object whose program `send` sends 32 bytes.
fn object(method: Method) -> std::result::Result<Vec<u8>, cutaway_programs::Error> {
    let mut object = ObjectBuilder::new("GPL");
    let events = match method {
        Method::Perf => MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0),
        _ => MapDef::new(MapType::RINGBUF).max_entries(BUFFER),
    };
    let events = object.map("events", events);
    let mut asm = Assembler::new();
    let done = asm.label("done");
    match method {
        Method::Discard | Method::Submit => {
            asm.load_map(R1, events);
            asm.mov(R2, 32);
            asm.mov(R3, 0);
            asm.call(Helper::bpf_ringbuf_reserve);
            asm.jump_if(Eq, R0, 0, done);
            fill(&mut asm, R0, 0);
            asm.mov(R1, R0);
            asm.mov(R2, 1); // BPF_RB_NO_WAKEUP
            let end = matches!(method, Method::Submit);
            asm.call(if end { Helper::bpf_ringbuf_submit } else { Helper::bpf_ringbuf_discard });
        }
        Method::Output => {
            fill(&mut asm, R10, -32);
            asm.load_map(R1, events);
            asm.mov(R2, R10);
            asm.add(R2, -32);
            asm.mov(R3, 32);
            asm.mov(R4, 1);
            asm.call(Helper::bpf_ringbuf_output);
        }
        Method::Perf => {
            fill(&mut asm, R10, -32);
            asm.load_map(R2, events);
            asm.mov(W3, -1); // BPF_F_CURRENT_CPU
            asm.mov(R4, R10);
            asm.add(R4, -32);
            asm.mov(R5, 32);
            asm.call(Helper::bpf_perf_event_output);
        }
    }
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program("tc", "send", asm);
    object.write()
}

/// Writes 32 bytes.
fn fill<B: Register<Width = cutaway_programs::Bits64>>(asm: &mut Assembler, base: B, offset: i16) {
    for step in 0..4 {
        asm.store(DW, base, offset + 8 * step, 7);
    }
}

/// Keeps this thread on the CPU that it runs on.
fn pin_to_this_cpu() -> std::result::Result<(), String> {
    let mut own = CpuSet::new();
    own.set(sched_getcpu());
    sched_setaffinity(None, &own).map_err(|error| format!("cannot keep the measurement on one CPU: {error}"))
}
