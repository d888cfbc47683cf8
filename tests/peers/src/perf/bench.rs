//! The measurements, like those of the ring: all consumers in turn, in several rounds. The result is the ratio within
//! one run.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::aya::Aya;
use super::libbpf::{Every500, Libbpf, Raw};
use super::ours::{Immediate, Twins};
use super::producer::{BATCH, Producer, create_array};
use super::{PAGES, Peer};
use crate::ring::{Ages, Eights, Sink, Sum};
use crate::table::{Table, in_turn};

/// Records of eight bytes, 24 in the buffer, that fill one; a byte stays free.
const FULL: u64 = (PAGES as u64 * 4096 - 1) / 24;

/// The amount of measuring.
#[derive(Clone, Copy)]
pub struct Effort {
    rounds: usize,
    run: Duration,
    /// Rounds of single events. More rounds are more reliable, because a late event is an accident of its second.
    deliveries: usize,
    events: u32,
    drains: u32,
}

impl Effort {
    pub fn of(quick: bool) -> Self {
        if quick {
            Self { rounds: 3, run: Duration::from_millis(300), deliveries: 3, events: 500, drains: 50 }
        } else {
            // Fewer drains than of the ring: filling is slow if every record wakes the reader.
            Self { rounds: 7, run: Duration::from_secs(1), deliveries: 21, events: 1000, drains: 60 }
        }
    }
}

/// Pins this thread to a CPU, if the machine has more than one.
fn pin(cpu: usize) {
    // SAFETY: an empty set, filled and passed on.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

/// Creates an array with a slot for every possible CPU, and the program that sends through it.
fn kernel() -> (OwnedFd, Producer) {
    let array = create_array(1024).expect("a perf event array");
    let producer = Producer::new(&array).expect("the program");
    (array, producer)
}

/// Returns M records a second, and the share of lost records: a producer on CPU 0 that never pauses, a consumer on CPU
/// 1.
fn stream<P: Peer<Sum> + Send>(effort: Effort, count: u64) -> [f64; 2] {
    let (array, producer) = kernel();
    let stop = AtomicBool::new(false);
    let mut peer = P::open(&array);
    let (mut sent, mut lost, mut seconds) = (0, 0, 0.0);
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            pin(1);
            peer.serve(&stop);
        });
        pin(0);
        let began = Instant::now();
        while began.elapsed() < effort.run {
            for _ in 0..BATCH / count {
                lost += producer.run(count);
                sent += count;
            }
        }
        seconds = began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        consumer.join().expect("the consumer");
    });
    let received = peer.sink().count();
    assert_eq!(received + lost, sent, "{}", P::NAME);
    [received as f64 / seconds / 1e6, 100.0 * lost as f64 / sent as f64]
}

/// Returns the age of single events on arrival, at 1,000 a second: microseconds at the median and at the 99th
/// percentile.
fn delivery<P: Peer<Ages> + Send>(effort: Effort) -> [f64; 2] {
    let (array, producer) = kernel();
    let stop = AtomicBool::new(false);
    let mut peer = P::open(&array);
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            pin(1);
            peer.serve(&stop);
        });
        pin(0);
        let began = Instant::now();
        for event in 0..effort.events {
            let due = Duration::from_millis(1) * event;
            thread::sleep(due.saturating_sub(began.elapsed()));
            producer.run(1);
        }
        thread::sleep(Duration::from_millis(5));
        stop.store(true, Ordering::Relaxed);
        consumer.join().expect("the consumer");
    });
    let ages = &mut peer.sink().0;
    ages.sort_unstable();
    [50, 99].map(|percent| ages[ages.len() * percent / 100] as f64 / 1e3)
}

/// Fills the buffer of the CPU that this thread runs on.
fn fill(producer: &Producer) {
    for count in fillings() {
        producer.run(count);
    }
}

/// Returns the number of records of each run of the program until the buffer is full.
fn fillings() -> impl Iterator<Item = u64> {
    (0..FULL).step_by(BATCH as usize).map(|first| BATCH.min(FULL - first).max(2))
}

/// Returns nanoseconds per record while draining a full buffer: the best of many drains.
fn drain<P: Peer<Sum>>(effort: Effort) -> f64 {
    pin(1);
    let (array, producer) = kernel();
    let mut peer = P::open(&array);
    let mut best = f64::MAX;
    for _ in 0..effort.drains {
        fill(&producer);
        let before = peer.sink().count();
        let began = Instant::now();
        peer.drain();
        let time = began.elapsed().as_secs_f64();
        let count = peer.sink().count() - before;
        assert!(count >= FULL, "{}: {count}", P::NAME);
        best = best.min(time * 1e9 / count as f64);
    }
    best
}

/// Fills and drains a buffer this many times with one consumer, for callgrind.
pub fn instructions(peer: &str, drains: u32) {
    fn go<P: Peer<Eights>>(drains: u32) -> u64 {
        pin(1);
        let (array, producer) = kernel();
        let mut peer = P::open(&array);
        for _ in 0..drains {
            fill(&producer);
            peer.drain();
        }
        // Every run of the program numbers its records from 0.
        let sums = fillings().map(|count| (0..count).sum::<u64>());
        assert_eq!(peer.sink().0, u64::from(drains) * sums.sum::<u64>());
        u64::from(drains) * fillings().sum::<u64>()
    }
    let count = match peer {
        "libbpf" => go::<Libbpf<Eights>>(drains),
        "libbpf-raw" => go::<Raw<Eights>>(drains),
        "aya" => go::<Aya<Eights>>(drains),
        "perf-reader" => go::<Immediate<Eights>>(drains),
        "perf-reader-twins" => go::<Twins<Eights>>(drains),
        other => panic!("no consumer named {other}"),
    };
    println!("{count} records");
}

/// A measurement of one consumer, with its name.
type Of<T> = (&'static str, fn(Effort) -> T);

/// Measures everything, all consumers in turn.
pub fn main(effort: Effort, only: Option<&str>, table: &mut Table) {
    let wanted = |what: &str| only.is_none_or(|only| what.contains(only));
    const RAW: &str = <Raw<Sum> as Peer<Sum>>::NAME;
    const LIBBPF: &str = <Libbpf<Sum> as Peer<Sum>>::NAME;
    const EVERY: &str = <Every500<Sum> as Peer<Sum>>::NAME;
    const AYA: &str = <Aya<Sum> as Peer<Sum>>::NAME;
    const TWINS: &str = <Twins<Sum> as Peer<Sum>>::NAME;
    const IMMEDIATE: &str = <Immediate<Sum> as Peer<Sum>>::NAME;

    let drains: [Of<f64>; 5] = [
        (RAW, drain::<Raw<Sum>>),
        (LIBBPF, drain::<Libbpf<Sum>>),
        (AYA, drain::<Aya<Sum>>),
        (IMMEDIATE, drain::<Immediate<Sum>>),
        (TWINS, drain::<Twins<Sum>>),
    ];
    for (peer, measure) in in_turn(if wanted("drain") { effort.rounds } else { 0 }, &drains) {
        table.add("drain, 8-byte records", peer, "ns/record", measure(effort));
    }
    type Streams = fn(Effort, u64) -> [f64; 2];
    let streams: [(&str, Streams); 5] = [
        (LIBBPF, stream::<Libbpf<Sum>>),
        (AYA, stream::<Aya<Sum>>),
        (EVERY, stream::<Every500<Sum>>),
        (IMMEDIATE, stream::<Immediate<Sum>>),
        (TWINS, stream::<Twins<Sum>>),
    ];
    for (what, count) in [("stream, 500 records a trigger", BATCH), ("stream, one record a trigger", 1)] {
        for (peer, measure) in in_turn(if wanted(what) { effort.rounds } else { 0 }, &streams) {
            let [rate, lost] = measure(effort, count);
            table.add(what, peer, "M records/s", rate);
            table.add(&format!("{what}: lost"), peer, "% of records", lost);
        }
    }
    let deliveries: [Of<[f64; 2]>; 4] = [
        (LIBBPF, delivery::<Libbpf<Ages>>),
        (AYA, delivery::<Aya<Ages>>),
        (IMMEDIATE, delivery::<Immediate<Ages>>),
        (TWINS, delivery::<Twins<Ages>>),
    ];
    for (peer, measure) in in_turn(if wanted("delivery") { effort.deliveries } else { 0 }, &deliveries) {
        let [median, late] = measure(effort);
        table.add("delivery, 1,000 single events a second, median", peer, "us", median);
        table.add("delivery, 1,000 single events a second, 99th percentile", peer, "us", late);
    }
}
