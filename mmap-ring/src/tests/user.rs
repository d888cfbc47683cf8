//! Tests the user ring's producer against the kernel's drain.

use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use crate::fake::Drainer;
use crate::{Corrupt, Error};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn submitted_samples_arrive_and_dropped_ones_do_not() {
    let (drainer, mut ring) = Drainer::new(64, 0).unwrap();
    for (byte, sent) in [(1, true), (2, false), (3, true)] {
        let mut sample = ring.reserve(3).unwrap().unwrap();
        sample.copy_from_slice(&[byte; 3]);
        assert_eq!(*sample, [byte; 3]);
        if sent {
            sample.submit();
        } else {
            sample.discard();
        }
    }
    assert!(ring.reserve(50).unwrap().is_none(), "no room: 16 + 16 + 56 > 64");
    drop(ring.reserve(24).unwrap().unwrap());
    assert_eq!(drainer.drain().unwrap(), [[1; 3], [3; 3]]);
    assert!(drainer.drain().unwrap().is_empty());
}

#[test]
fn whole_ring_can_be_used() {
    let (drainer, mut ring) = Drainer::new(64, 8).unwrap();
    let error = ring.reserve(57).unwrap_err();
    assert!(matches!(error, Error::TooLong { length: 57, most: 56 }));
    assert_eq!(ring.room(), 64);
    ring.reserve(56).unwrap().unwrap().submit();
    assert_eq!(ring.room(), 0);
    assert!(ring.reserve(0).unwrap().is_none());
    assert_eq!(drainer.drain().unwrap().len(), 1);
    assert_eq!(ring.room(), ring.capacity());
}

/// The kernel would always refuse such positions, or they would never leave room: waiting would never end.
#[test]
fn impossible_positions_are_errors() {
    let corrupt = |ring: &mut crate::UserRing<crate::fake::Heap>| match ring.reserve_within(8, Some(LONG)) {
        Err(Error::Corrupt(corrupt)) => corrupt,
        other => panic!("{other:?}"),
    };
    let (_, mut ring) = Drainer::new(64, 12).unwrap();
    assert_eq!(corrupt(&mut ring), Corrupt::Misaligned { which: "producer_pos", position: 12 });
    let (drainer, mut ring) = Drainer::new(64, 0).unwrap();
    drainer.pages().consumer.store(72, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(corrupt(&mut ring), Corrupt::Span { consumer: 72, producer: 0, size: 64 });
    let (drainer, mut ring) = Drainer::new(64, 0).unwrap();
    ring.reserve(8).unwrap().unwrap().submit();
    drainer.pages().producer.store(32, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(corrupt(&mut ring), Corrupt::Producer { stored: 16, found: 32 });
}

/// As in the kernel, a drain during another one is refused.
#[test]
fn concurrent_drains_take_each_sample_once() {
    let count: u32 = if cfg!(miri) { 40 } else { 20_000 };
    let (drainer, mut ring) = Drainer::new(64, 0).unwrap();
    let taken = std::sync::atomic::AtomicU32::new(0);
    let all = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while taken.load(std::sync::atomic::Ordering::Relaxed) < count {
                    let samples = drainer.drain().unwrap_or_default();
                    taken.fetch_add(samples.len() as u32, std::sync::atomic::Ordering::Relaxed);
                    all.lock().unwrap().extend(samples);
                    thread::yield_now();
                }
            });
        }
        for number in 0..count {
            let mut sample = ring.reserve_within(4, Some(LONG)).unwrap().expect("room in time");
            sample.copy_from_slice(&number.to_ne_bytes());
            sample.submit();
        }
    });
    let mut all = all.into_inner().unwrap();
    all.sort_by_key(|sample| u32::from_ne_bytes(sample[..].try_into().unwrap()));
    let expected: Vec<Vec<u8>> = (0..count).map(|number| number.to_ne_bytes().to_vec()).collect();
    assert!(all == expected, "{} samples", all.len());
}

#[test]
fn reserve_within_waits_for_room() {
    let (drainer, mut ring) = Drainer::new(64, 0).unwrap();
    ring.reserve(56).unwrap().unwrap().submit();
    let none = ring.reserve_within(8, Some(Duration::from_millis(20)));
    assert!(none.unwrap().is_none(), "the time is up");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            drainer.drain().unwrap();
        });
        let sample = ring.reserve_within(8, Some(LONG)).unwrap();
        sample.expect("room after the drain").submit();
    });
    assert_eq!(drainer.drain().unwrap().len(), 1);
}

#[test]
fn producer_and_drain_run_at_once() {
    let count: u32 = if cfg!(miri) { 40 } else { 5_000 };
    let (drainer, mut ring) = Drainer::new(128, 0_u64.wrapping_sub(256)).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..count {
                // Whole words: Miri does not support a write over half of an atomic.
                let length = 4 + number % 8 * 4;
                let sample = ring.reserve_within(length, Some(LONG)).unwrap();
                let mut sample = sample.expect("room in time");
                sample.fill(number as u8);
                sample[..4].copy_from_slice(&number.to_ne_bytes());
                sample.submit();
            }
        });
        let mut next = 0;
        while next < count {
            for sample in drainer.drain().unwrap() {
                assert_eq!(sample.len() as u32, 4 + next % 8 * 4);
                assert_eq!(sample[..4], next.to_ne_bytes());
                assert!(sample[4..].iter().all(|byte| *byte == next as u8));
                next += 1;
            }
            thread::yield_now();
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A step sends a sample of some length, discards one, or drains.
    #[test]
    fn producer_agrees_with_a_queue(
        log in 3..9_u32,
        start in prop_oneof![Just(0), Just(u64::MAX - 63), 0..1_u64 << 33],
        steps in prop::collection::vec(
            (0..3_u8, 0..200_u32),
            1..if cfg!(miri) { 12 } else { 60 },
        ),
    ) {
        let size = 1_u64 << log;
        let start = start & !7;
        let (drainer, mut ring) = Drainer::new(size, start).unwrap();
        let mut queue: Vec<Vec<u8>> = Vec::new();
        let mut used = 0;
        for (what, length) in steps {
            if what == 2 {
                prop_assert_eq!(drainer.drain(), Ok(std::mem::take(&mut queue)));
                used = 0;
                continue;
            }
            let taken = 8 + u64::from(length.next_multiple_of(8));
            match ring.reserve(length) {
                Err(_) => prop_assert!(u64::from(length) + 8 > size),
                Ok(None) => prop_assert!(used + taken > size),
                Ok(Some(mut sample)) => {
                    prop_assert!(used + taken <= size);
                    sample.fill(length as u8);
                    if what == 0 {
                        sample.submit();
                        queue.push(vec![length as u8; length as usize]);
                        used += taken;
                    }
                }
            }
        }
        prop_assert_eq!(drainer.drain(), Ok(queue));
    }
}
