//! Tests the run loop and its trailing release.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use crate::fake::{Commit, Kernel};
use crate::publish::KEPT_BACK;
use crate::{Wake, WakeupPolicy};

#[test]
fn trailing_reader_is_never_woken_and_frees_all_records_but_one() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    ring.consumer_mut().keep_back(16);
    for round in 0..10 {
        assert!(kernel.output(&[round], Commit::Adaptive));
        assert!(kernel.output(&[round], Commit::Adaptive));
        assert_eq!(super::drain(&mut ring), [[round], [round]]);
        let positions = ring.positions();
        assert_eq!(positions.waiting(), 16, "the last record is kept");
        let next = kernel.reserve(1).unwrap();
        assert!(!next.submit(Commit::Adaptive), "no wake-up while trailing");
        assert_eq!(super::drain(&mut ring).len(), 1);
        assert!(super::drain(&mut ring).is_empty(), "kept, not read again");
        assert_eq!(ring.positions().waiting(), 16);
    }
    // Before a sleep the reader publishes its true position.
    ring.prepare_wait().unwrap();
    assert_eq!(ring.positions().waiting(), 0);
    assert!(super::drain(&mut ring).is_empty());
    assert_eq!(ring.positions().waiting(), 0, "the position does not go back");
    assert!(kernel.reserve(1).unwrap().submit(Commit::Adaptive));
}

#[test]
fn run_keeps_back_at_most_a_thirty_second_of_the_ring() {
    for (policy, kept) in [(WakeupPolicy::default(), [16, 128, 0, 0]), (WakeupPolicy::immediate(), [0; 4])] {
        for (length, kept) in [8, 120, 121, 1000].into_iter().zip(kept) {
            let (kernel, mut ring) = Kernel::new(4096).unwrap();
            let send = || (0..2).for_each(|byte| assert!(kernel.output(&vec![byte; length], Commit::Adaptive)));
            send();
            let mut batches = 0;
            let ended = ring.run(policy, |batch| {
                batches += 1;
                if batches == 1 {
                    batch.records().for_each(drop);
                    send();
                    return ControlFlow::Continue(());
                }
                let positions = kernel.peek().positions();
                ControlFlow::Break(positions.waiting() - batch.bytes())
            });
            assert_eq!(ended.unwrap(), Some(kept), "of records of {length} bytes, {policy:?}");
        }
    }
}

/// Lingering saves wake-ups. If each record sends one anyway, lingering would only delay the records.
#[test]
fn run_does_not_linger_without_a_kept_back_record() {
    let policy = WakeupPolicy::default().poll_interval(Duration::from_secs(60));
    let (kernel, mut ring) = Kernel::new(4096).unwrap();
    let send = |length| (0..2).for_each(|_| assert!(kernel.output(&vec![1; length], Commit::Adaptive)));
    send(200);
    let mut batches = 0;
    thread::scope(|scope| {
        let ended = ring.run(policy, |batch| {
            batch.records().for_each(drop);
            batches += 1;
            if batches == 1 {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(20));
                    send(8);
                });
                return ControlFlow::Continue(());
            }
            ControlFlow::Break(())
        });
        assert_eq!(ended.unwrap(), Some(()));
    });
}

/// A record that is kept back causes no refusal of a record that fits without it, whatever the order of small and large
/// records.
#[test]
fn kept_back_record_leaves_room_for_the_largest_one() {
    let (kernel, mut ring) = Kernel::new(4096).unwrap();
    ring.consumer_mut().keep_back(4096 / KEPT_BACK);
    let largest = vec![3; 4096 - 16];
    // No large record has been read yet.
    kernel.output(&[1; 120], Commit::Adaptive);
    assert_eq!(super::drain(&mut ring).len(), 1);
    assert_eq!(ring.positions().waiting(), 128);
    assert!(kernel.output(&[2; 4096 - 16 - 128], Commit::Adaptive), "31/32 of the ring are free");
    assert_eq!(super::drain(&mut ring).len(), 1);
    assert_eq!(ring.positions().waiting(), 0, "too large to be kept back");
    // Now the reader has seen a record of 31/32 of the ring, beside which it may keep back 128 bytes.
    kernel.output(&[1; 120], Commit::Adaptive);
    assert_eq!(super::drain(&mut ring).len(), 1);
    assert_eq!(ring.positions().waiting(), 128);
    ring.prepare_wait().unwrap();
    assert!(kernel.output(&largest, Commit::Adaptive));
    assert_eq!(super::drain(&mut ring).len(), 1);
    // Now it has seen one beside which it may keep back no bytes.
    for length in [0, 1, 8, 120] {
        kernel.output(&vec![1; length], Commit::Adaptive);
        kernel.output(&vec![1; length], Commit::Adaptive);
        assert_eq!(super::drain(&mut ring).len(), 2);
        assert!(kernel.output(&largest, Commit::Adaptive), "after records of {length} bytes");
        assert_eq!(super::drain(&mut ring).len(), 1);
    }
}

#[test]
fn trailing_position_can_be_a_discarded_record() {
    let (kernel, mut ring) = Kernel::new(128).unwrap();
    ring.consumer_mut().keep_back(32);
    kernel.output(b"read", Commit::Adaptive);
    kernel.reserve(24).unwrap().discard(Commit::Adaptive);
    assert_eq!(super::drain(&mut ring), [b"read"]);
    assert_eq!(ring.positions().consumer, 16, "at the discarded record");
    assert!(!kernel.reserve(1).unwrap().submit(Commit::Adaptive));
}

#[test]
fn run_publishes_its_last_position() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    for byte in 0..4 {
        kernel.output(&[byte], Commit::Adaptive);
    }
    let third = ring.run(WakeupPolicy::default(), |batch| match batch.records().find(|record| *record == [2]) {
        Some(record) => ControlFlow::Break(record.to_vec()),
        None => ControlFlow::Continue(()),
    });
    assert_eq!(third.unwrap(), Some(vec![2]));
    assert_eq!(ring.positions().consumer, 48);
    assert_eq!(super::drain(&mut ring), [[3]]);
}

#[test]
fn panic_in_a_run_publishes_its_position() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    for byte in 0..3 {
        kernel.output(&[byte], Commit::Adaptive);
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = ring.run(WakeupPolicy::default(), |batch| -> ControlFlow<()> {
            for record in batch {
                assert_ne!(record, [1], "on purpose");
            }
            ControlFlow::Continue(())
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(ring.positions().consumer, 32);
    assert_eq!(super::drain(&mut ring), [[2]]);
    assert_eq!(ring.positions().waiting(), 0, "trailing ended with the run");
}

/// Tests every policy with a producer that sometimes pauses for longer than any poll interval. After each pause a
/// faulty reader could sleep through the next record.
#[test]
fn run_reads_every_record_of_a_stream_with_pauses() {
    let total: u32 = if cfg!(miri) { 24 } else { 5_000 };
    let policies = [
        WakeupPolicy::immediate(),
        WakeupPolicy::default(),
        WakeupPolicy::default().idle_polls(0),
        WakeupPolicy::default().poll_interval(Duration::ZERO).idle_polls(1),
    ];
    for policy in policies {
        // 1/32 of the ring is the size of two such records.
        let (kernel, mut ring) = Kernel::new(1024).unwrap();
        let mut next = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..total {
                    while !kernel.output(&number.to_ne_bytes(), Commit::Adaptive) {
                        thread::yield_now();
                    }
                    if number % (total / 8) == 3 {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            });
            let ended = ring.run(policy, |batch| {
                for record in batch {
                    assert_eq!(record, u32::to_ne_bytes(next));
                    next += 1;
                }
                if next == total { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert_eq!(ended.unwrap(), Some(()));
        });
    }
}

#[test]
fn write_to_the_stopper_stops_a_run_that_never_sleeps() {
    for policy in [WakeupPolicy::default(), WakeupPolicy::immediate()] {
        let (kernel, mut ring) = Kernel::new(256).unwrap();
        let stopper = ring.stopper().unwrap();
        kernel.output(b"x", Commit::Adaptive);
        // As a signal handler does.
        cutaway_sys::fd::write_byte(stopper.as_fd(), "tests").unwrap();
        let mut batches = 0;
        let ended = ring.run(policy, |batch| {
            assert_eq!(batch.records().count(), 1);
            kernel.output(b"x", Commit::Adaptive);
            batches += 1;
            if batches == 1000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(ended.unwrap(), None);
        assert!(batches <= 64, "{batches} batches");
    }
}

#[test]
fn idle_run_polls_rarely_and_can_be_stopped() {
    let (kernel, mut ring) = Kernel::new(1024).unwrap();
    let stopper = ring.stopper().unwrap();
    kernel.output(b"1", Commit::Adaptive);
    kernel.output(b"2", Commit::Adaptive);
    let mut batches = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(100));
            stopper.stop();
        });
        let ended = ring.run(WakeupPolicy::default(), |batch| -> ControlFlow<()> {
            batches += 1;
            batch.records().for_each(drop);
            ControlFlow::Continue(())
        });
        assert_eq!(ended.unwrap(), None);
    });
    assert_eq!(batches, 1);
    // The wake-up of the second record may end the first sleep at once, and the poll after 90 ms ends another.
    let sleeps = ring.counters().sleeps;
    assert!(sleeps <= 3, "slept {sleeps} times");
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
}
