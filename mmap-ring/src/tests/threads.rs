//! Tests both sides at once. Under Miri every byte is checked for races: payloads are written without atomics, as BPF
//! programs write them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::fake::{Commit, Kernel};
use crate::{Head, Wake};

/// The number of records that a producer sends.
const EACH: u64 = if cfg!(miri) { 40 } else { 30_000 };

/// Returns a record: its producer, its number, and up to 39 more bytes that depend on both.
fn payload(producer: u64, number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(producer.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend((0..number % 40).map(|at| (producer + number + at) as u8));
    bytes
}

fn number(record: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(record[at..at + 8].try_into().unwrap())
}

fn check(record: &[u8], next: &mut [u64]) {
    let producer = number(record, 0);
    let expected = &mut next[producer as usize];
    assert_eq!(record, payload(producer, *expected));
    *expected += 1;
}

#[test]
fn sleeping_consumer_reads_several_producers() {
    let (kernel, mut ring) = Kernel::at(512, 0_u64.wrapping_sub(1 << 12)).unwrap();
    let failed = AtomicU64::new(0);
    let mut next = [0; 2];
    thread::scope(|scope| {
        for producer in 0..2 {
            let (kernel, failed) = (&kernel, &failed);
            scope.spawn(move || {
                for number in 0..EACH {
                    while !kernel.output(&payload(producer, number), Commit::Adaptive) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                    }
                    if number % 7 == 0
                        && let Some(record) = kernel.reserve(9)
                    {
                        record.discard(Commit::Adaptive);
                    }
                }
            });
        }
        while next.iter().sum::<u64>() < 2 * EACH {
            assert_eq!(ring.wait(None).unwrap(), Wake::Ready);
            for record in &mut ring.batch().unwrap() {
                check(record, &mut next);
            }
        }
    });
    assert_eq!(next, [EACH; 2]);
}

#[test]
fn busy_consumer_holds_several_records() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    let mut next = [0];
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..EACH {
                while !kernel.output(&payload(0, number), Commit::NoWakeup) {
                    thread::yield_now();
                }
            }
        });
        while next[0] < EACH {
            let mut batch = ring.batch().unwrap();
            let held: Vec<&[u8]> = batch.at_most(3).collect();
            for record in held {
                check(record, &mut next);
            }
            drop(batch);
            if ring.head().unwrap() == Head::Empty {
                thread::yield_now();
            }
        }
    });
}
