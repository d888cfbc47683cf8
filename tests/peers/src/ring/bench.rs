//! The measurements. Machines differ and are noisy, so every figure is measured for all consumers in turn, in several
//! rounds. The result is the ratio within one run.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::aya::Aya;
use super::bare::{Bare, Blind};
use super::libbpf::Libbpf;
use super::ours::{Immediate, Trailing};
use super::{Ages, Eights, Peer, Sink, Sum};
use crate::kernel::{ADAPTIVE, BATCH, FORCE_WAKEUP, NO_WAKEUP, Producer, Run, create_ring};
use crate::table::{Table, in_turn};

/// Ring size in bytes, as in the kernel's own `bench ringbufs`.
const SIZE: u32 = 512 * 1024;
/// Records of eight bytes that fill it.
const FULL: u64 = SIZE as u64 / 16 - 1;

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
            Self { rounds: 7, run: Duration::from_secs(1), deliveries: 21, events: 1000, drains: 400 }
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

struct Stream {
    received: u64,
    sent: u64,
    dropped: u64,
    seconds: f64,
}

impl Stream {
    fn rate(&self) -> f64 {
        self.received as f64 / self.seconds / 1e6
    }

    fn share_dropped(&self) -> f64 {
        100.0 * self.dropped as f64 / (self.sent + self.dropped).max(1) as f64
    }
}

/// Measures a stream: a producer on CPU 0 that never pauses, a consumer on CPU 1.
fn stream<P: Peer<Sum> + Send>(effort: Effort, traffic: &Traffic) -> Stream {
    let &Traffic { count, flags, last_flags, .. } = traffic;
    let map: OwnedFd = create_ring(SIZE).expect("a ring");
    let producer = Producer::new(&map).expect("the program");
    let stop = AtomicBool::new(false);
    let mut peer = P::open(&map, SIZE);
    let (mut sent, mut dropped) = (0, 0);
    let mut seconds = 0.0;
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            pin(1);
            peer.serve(&stop);
        });
        pin(0);
        {
            let began = Instant::now();
            while began.elapsed() < effort.run {
                for _ in 0..BATCH / count {
                    let lost = producer.run(Run { count, flags, last_flags, dropped: 0 });
                    sent += count - lost;
                    dropped += lost;
                }
            }
            seconds = began.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            while !consumer.is_finished() {
                producer.run(Run { count: 1, last_flags: FORCE_WAKEUP, ..Run::default() });
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    // A consumer that does not read is credited with the records sent.
    let received = match peer.sink().count() {
        0 => sent,
        count => count,
    };
    Stream { received, sent, dropped, seconds }
}

/// Returns the age of single events on arrival, at 1,000 a second: microseconds at the median and at the 99th
/// percentile.
fn delivery<P: Peer<Ages> + Send>(effort: Effort) -> [f64; 2] {
    let map = create_ring(SIZE).expect("a ring");
    let producer = Producer::new(&map).expect("the program");
    let stop = AtomicBool::new(false);
    let mut peer = P::open(&map, SIZE);
    thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            pin(1);
            peer.serve(&stop);
        });
        pin(0);
        {
            let began = Instant::now();
            for event in 0..effort.events {
                let due = Duration::from_millis(1) * event;
                thread::sleep(due.saturating_sub(began.elapsed()));
                producer.run(Run { count: 1, last_flags: ADAPTIVE, ..Run::default() });
            }
            thread::sleep(Duration::from_millis(5));
            stop.store(true, Ordering::Relaxed);
            while !consumer.is_finished() {
                producer.run(Run { count: 1, last_flags: FORCE_WAKEUP, ..Run::default() });
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let ages = &mut peer.sink().0;
    ages.truncate(effort.events as usize);
    ages.sort_unstable();
    [50, 99].map(|percent| ages[ages.len() * percent / 100] as f64 / 1e3)
}

/// Returns nanoseconds per record while draining a full ring: the best of many drains.
fn drain<P: Peer<Sum>>(effort: Effort) -> f64 {
    pin(1);
    let map = create_ring(SIZE).expect("a ring");
    let producer = Producer::new(&map).expect("the program");
    let mut peer = P::open(&map, SIZE);
    let mut best = f64::MAX;
    for _ in 0..effort.drains {
        fill(&producer);
        let before = peer.sink().count();
        let began = Instant::now();
        peer.drain();
        let time = began.elapsed().as_secs_f64();
        let count = peer.sink().count() - before;
        assert_eq!(count, FULL, "{}", P::NAME);
        best = best.min(time * 1e9 / FULL as f64);
    }
    best
}

fn fill(producer: &Producer) {
    for first in (0..FULL).step_by(BATCH as usize) {
        let count = BATCH.min(FULL - first);
        producer.run(Run { count, flags: NO_WAKEUP, last_flags: NO_WAKEUP, dropped: 0 });
    }
}

/// Fills and drains a ring this many times with one consumer, for callgrind.
pub fn instructions(peer: &str, drains: u32) {
    fn go<P: Peer<Eights>>(drains: u32) -> u64 {
        let map = create_ring(SIZE).expect("a ring");
        let producer = Producer::new(&map).expect("the program");
        let mut peer = P::open(&map, SIZE);
        for _ in 0..drains {
            fill(&producer);
            peer.drain();
        }
        // Every run of the program numbers its records from 0.
        let runs = (0..FULL).step_by(BATCH as usize);
        let sums = runs.map(|first| (0..BATCH.min(FULL - first)).sum::<u64>());
        assert_eq!(peer.sink().0, u64::from(drains) * sums.sum::<u64>());
        u64::from(drains) * FULL
    }
    let count = match peer {
        "bare" => go::<Bare<Eights>>(drains),
        "libbpf" => go::<Libbpf<Eights>>(drains),
        "aya" => go::<Aya<Eights>>(drains),
        "mmap-ring" => go::<Immediate<Eights>>(drains),
        other => panic!("no consumer named {other}"),
    };
    println!("{count} records");
}

/// A measurement of one consumer, with its name.
type Of<T> = (&'static str, fn(Effort) -> T);

/// The sending of a stream.
struct Traffic {
    what: &'static str,
    count: u64,
    flags: u64,
    last_flags: u64,
}

const TRAFFIC: [Traffic; 3] = [
    Traffic {
        what: "stream, 500 records a trigger, default flags",
        count: BATCH,
        flags: ADAPTIVE,
        last_flags: ADAPTIVE,
    },
    Traffic {
        what: "stream, a wake-up forced every 500 records",
        count: BATCH,
        flags: NO_WAKEUP,
        last_flags: FORCE_WAKEUP,
    },
    Traffic { what: "stream, one record a trigger, default flags", count: 1, flags: ADAPTIVE, last_flags: ADAPTIVE },
];

/// Measures everything, all consumers in turn.
pub fn main(effort: Effort, table: &mut Table) {
    const BARE: &str = <Bare<Sum> as Peer<Sum>>::NAME;
    const OURS: &str = <Trailing<Sum> as Peer<Sum>>::NAME;
    const IMMEDIATE: &str = <Immediate<Sum> as Peer<Sum>>::NAME;
    const LIBBPF: &str = <Libbpf<Sum> as Peer<Sum>>::NAME;
    const AYA: &str = <Aya<Sum> as Peer<Sum>>::NAME;
    const BLIND: &str = <Blind<Sum> as Peer<Sum>>::NAME;

    let drains: [Of<f64>; 4] = [
        (BARE, drain::<Bare<Sum>>),
        (OURS, drain::<Trailing<Sum>>),
        (LIBBPF, drain::<Libbpf<Sum>>),
        (AYA, drain::<Aya<Sum>>),
    ];
    for (peer, measure) in in_turn(effort.rounds, &drains) {
        table.add("drain, 8-byte records", peer, "ns/record", measure(effort));
    }
    type Streams = fn(Effort, &Traffic) -> Stream;
    let streams: [(&str, Streams); 6] = [
        (BLIND, stream::<Blind<Sum>>),
        (BARE, stream::<Bare<Sum>>),
        (OURS, stream::<Trailing<Sum>>),
        (IMMEDIATE, stream::<Immediate<Sum>>),
        (LIBBPF, stream::<Libbpf<Sum>>),
        (AYA, stream::<Aya<Sum>>),
    ];
    for traffic in &TRAFFIC {
        for (peer, measure) in in_turn(effort.rounds, &streams) {
            let stream = measure(effort, traffic);
            table.add(traffic.what, peer, "M records/s", stream.rate());
            let dropped = format!("{}: dropped", traffic.what);
            table.add(&dropped, peer, "% of records", stream.share_dropped());
        }
    }
    let deliveries: [Of<[f64; 2]>; 5] = [
        (BARE, delivery::<Bare<Ages>>),
        (OURS, delivery::<Trailing<Ages>>),
        (IMMEDIATE, delivery::<Immediate<Ages>>),
        (LIBBPF, delivery::<Libbpf<Ages>>),
        (AYA, delivery::<Aya<Ages>>),
    ];
    for (peer, measure) in in_turn(effort.deliveries, &deliveries) {
        let [median, late] = measure(effort);
        table.add("delivery, 1,000 single events a second, median", peer, "us", median);
        table.add("delivery, 1,000 single events a second, 99th percentile", peer, "us", late);
    }
}
