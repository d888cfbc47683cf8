//! Sends hundreds of millions of records, on request: no record is lost unnoticed, read twice or torn.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mmap_ring::{Ring, Stopper, WakeupPolicy};

use crate::harness::{Test, test};
use crate::kernel::{MOST, create_ring};
use crate::noise::{PRODUCERS, Program, Received, empty_of};
use crate::{Outcome, PAGE};

/// The number of records to send, unless `MMAP_RING_SOAK_RECORDS` is set.
const RECORDS: u64 = 200_000_000;
/// 512 KiB, as in the kernel's own benchmark.
const SIZE: u32 = 128 * PAGE;

/// The totals of all producers.
#[derive(Default)]
struct Sent {
    attempts: AtomicU64,
    failures: AtomicU64,
    running: AtomicU64,
    /// The reader has ended.
    over: AtomicBool,
}

/// Tells the producers when the reader ends, also by a panic.
struct Reader<'s>(&'s Sent);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Sent {
    /// Sends `total` records of one producer. A full ring ends a run of the program. The producer then pauses: failing
    /// is fast, and it would otherwise do little else.
    fn produce(&self, program: &Program, producer: u64, total: u64, stopper: &Stopper) {
        let mut next = 0;
        while next < total && !self.over.load(Ordering::Relaxed) {
            let count = MOST.min(total - next);
            let sent = program.send(producer, next, count);
            let failed = u64::from(sent < count);
            next += sent + failed;
            self.attempts.fetch_add(sent + failed, Ordering::Relaxed);
            self.failures.fetch_add(failed, Ordering::Relaxed);
            if failed == 1 {
                thread::sleep(Duration::from_micros(50));
            }
        }
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            stopper.stop();
        }
    }
}

pub(crate) fn tests() -> Vec<Test> {
    let asked = || {
        let reason = "takes minutes: set MMAP_RING_SOAK=1, in a release build";
        std::env::var_os("MMAP_RING_SOAK").is_none().then(|| reason.to_owned())
    };
    vec![test!(soak_of_random_lengths_from_several_producers).needs(asked)]
}

fn soak_of_random_lengths_from_several_producers() -> Outcome {
    let records = match std::env::var("MMAP_RING_SOAK_RECORDS") {
        Ok(number) => number.parse().map_err(|error| format!("MMAP_RING_SOAK_RECORDS={number}: {error}"))?,
        Err(_) => RECORDS,
    };
    soak(records);
    Ok(())
}

/// Runs the soak and prints a line every ten seconds.
fn soak(total: u64) {
    const PERIOD: Duration = Duration::from_secs(10);
    let map = create_ring(SIZE).expect("making a ring");
    let share = |producer: u64| total / PRODUCERS + u64::from(producer < total % PRODUCERS);
    let mut seen = Received::new(share(0));
    let program = Program::new(&map);
    let mut ring = Ring::open(map, SIZE).expect("opening it");
    let stopper = ring.stopper().expect("a pipe");
    let sent = Sent { running: AtomicU64::new(PRODUCERS), ..Sent::default() };
    let began = Instant::now();
    let mut printed = began;
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (sent, program, stopper) = (&sent, &program, &stopper);
            scope.spawn(move || sent.produce(program, producer, share(producer), stopper));
        }
        let _reader = Reader(&sent);
        let run = ring.run(WakeupPolicy::default(), |batch| {
            batch.records().for_each(|record| seen.record(record));
            if printed.elapsed() > PERIOD {
                printed = Instant::now();
                let (attempts, failures) = (&sent.attempts, &sent.failures);
                let (attempts, failures) = (attempts.load(Ordering::Relaxed), failures.load(Ordering::Relaxed));
                let rate = seen.received as f64 / began.elapsed().as_secs_f64() / 1e6;
                let percent = attempts * 100 / total;
                println!(
                    "{percent:3} %: sent {attempts}, received {}, failed {failures}; {rate:.2} M/s",
                    seen.received
                );
            }
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(run.expect("a sound ring"), None);
    });
    // Records that were committed after the last batch.
    ring.batch().expect("a sound ring").records().for_each(|record| seen.record(record));
    let (attempts, failures, counters) = (sent.attempts.into_inner(), sent.failures.into_inner(), ring.counters());
    println!(
        "sent {attempts}, received {} ({:.1} GB), failed {failures}; {} releases, {} sleeps, {} wake-ups; {:.1} s",
        seen.received,
        seen.bytes as f64 / 1e9,
        counters.releases,
        counters.sleeps,
        counters.wakeups,
        began.elapsed().as_secs_f64()
    );
    assert_eq!(attempts, total);
    assert_eq!(seen.received + failures, attempts, "received and failed records must add up to those sent");
    let empty: u64 = (0..PRODUCERS).map(|producer| empty_of(producer, share(producer))).sum();
    assert!(seen.empty <= empty && empty <= seen.empty + failures, "{} of {empty} empty ones", seen.empty);
    let positions = ring.positions();
    assert_eq!(positions.consumer, positions.producer);
    assert_eq!(counters.discarded, 0);
}
