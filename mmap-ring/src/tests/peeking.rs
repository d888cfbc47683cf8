//! Tests the observer: it does not disturb the reader, and reports when it is overtaken.

use std::thread;

use crate::fake::{Commit, Kernel};
use crate::{Corrupt, PendingRecord, RecordHeader};

fn header(position: u64, length: u32) -> RecordHeader {
    RecordHeader { position, length }
}

#[test]
fn every_state_of_a_record_is_shown_and_none_is_consumed() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    let peek = kernel.peek();
    assert_eq!(peek.pending().count(), 0);
    kernel.output(b"read", Commit::Adaptive);
    let discarded = kernel.reserve(3).unwrap();
    let busy = kernel.reserve(20).unwrap();
    discarded.discard(Commit::Adaptive);
    kernel.output(b"behind", Commit::Adaptive);
    let seen: Vec<PendingRecord> = peek.pending().collect();
    let expected = [
        PendingRecord::Committed(header(0, 4)),
        PendingRecord::Discarded(header(16, 3)),
        PendingRecord::Busy(header(32, 20)),
        PendingRecord::Committed(header(64, 6)),
    ];
    assert_eq!(seen, expected);
    let mut payload = Vec::new();
    assert!(peek.copy(header(64, 6), &mut payload));
    assert_eq!(payload, b"behind");
    assert_eq!(peek.positions(), ring.positions());
    assert_eq!(peek.capacity(), 256);
    assert_eq!(super::drain(&mut ring), [b"read"]);
    assert!(!peek.copy(header(0, 4), &mut payload), "released");
    assert!(payload.is_empty());
    drop(busy);
}

#[test]
fn overtaken_walk_reports_it_and_continues() {
    let (kernel, mut ring) = Kernel::new(128).unwrap();
    for byte in 0..6 {
        kernel.output(&[byte], Commit::Adaptive);
    }
    let peek = kernel.peek();
    let mut pending = peek.pending();
    assert_eq!(pending.next(), Some(PendingRecord::Committed(header(0, 1))));
    assert_eq!(ring.batch().unwrap().at_most(3).count(), 3);
    let overtaken = PendingRecord::Overtaken { from: 16, to: 48 };
    assert_eq!(pending.next(), Some(overtaken));
    assert_eq!(pending.next(), Some(PendingRecord::Committed(header(48, 1))));
    // Past the end of the walk.
    super::drain(&mut ring);
    kernel.output(b"new", Commit::Adaptive);
    super::drain(&mut ring);
    let overtaken = PendingRecord::Overtaken { from: 64, to: 112 };
    assert_eq!(pending.next(), Some(overtaken));
    assert_eq!(pending.next(), None);
}

/// Positions near the change of sign of a signed number, and near the wrap to 0.
#[test]
fn observer_sees_the_same_at_any_position() {
    for start in [0, (1 << 32) - 32, (1 << 63) - 32, 0_u64.wrapping_sub(32)] {
        let (kernel, mut ring) = Kernel::at(128, start).unwrap();
        let peek = kernel.peek();
        for byte in 0..3 {
            kernel.output(&[byte], Commit::Adaptive);
        }
        let at = |record: u64| start.wrapping_add(16 * record);
        let seen: Vec<PendingRecord> = peek.pending().collect();
        assert_eq!(seen, [0, 1, 2].map(|record| PendingRecord::Committed(header(at(record), 1))), "from {start}");
        assert_eq!(peek.positions().waiting(), 48);
        let mut payload = Vec::new();
        assert!(peek.copy(header(at(1), 1), &mut payload));
        assert_eq!(payload, [1]);
        assert_eq!(ring.batch().unwrap().at_most(2).count(), 2);
        assert!(!peek.copy(header(at(1), 1), &mut payload), "released");
        assert_eq!(peek.pending().count(), 1);
        assert_eq!(peek.positions(), ring.positions());
    }
}

#[test]
fn released_records_are_counted() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    let peek = kernel.peek();
    let mut from = 0;
    for round in 0..50 {
        for length in 0..round % 5 {
            kernel.output(&vec![7; length], Commit::Adaptive);
        }
        super::drain(&mut ring);
        let to = peek.positions().producer;
        let tally = peek.count_records(from, to, u64::MAX).unwrap();
        assert_eq!((tally.records, tally.bytes), (round as u64 % 5, to - from));
        from = to;
    }
    // The count stops at the limit, and does not return records that may have been overwritten.
    for _ in 0..8 {
        kernel.output(&[7], Commit::Adaptive);
    }
    let to = peek.positions().producer;
    let few = peek.count_records(from, to, 3).unwrap();
    assert_eq!((few.records, few.bytes), (3, 48));
    kernel.output(&[7], Commit::Adaptive);
    assert_eq!(peek.count_records(from, to, u64::MAX), None, "the producer is more than half a ring ahead");
    assert_eq!((peek.count_records(to, from, 1), peek.count_records(0, from, 1)), (None, None), "impossible ranges");
}

#[test]
fn corruption_is_reported_once() {
    let header = 100_u64.to_ne_bytes();
    let corrupt = Corrupt::Length { position: 0, length: 100, available: 16 };
    for (consumer, producer, expected) in [
        (0, 16, corrupt),
        (4, 16, Corrupt::Misaligned { which: "consumer_pos", position: 4 }),
        (0, 72, Corrupt::Span { consumer: 0, producer: 72, size: 64 }),
    ] {
        let (kernel, _ring) = Kernel::holding(64, consumer, producer, &header).unwrap();
        let seen: Vec<PendingRecord> = kernel.peek().pending().collect();
        assert_eq!(seen, [PendingRecord::Corrupt(expected)]);
    }
}

#[test]
fn snapshot_of_a_live_ring_is_right() {
    let count: u32 = if cfg!(miri) { 30 } else { 5_000 };
    let (kernel, mut ring) = Kernel::new(128).unwrap();
    let kernel = kernel.watched();
    let peek = kernel.peek();
    // Record n has n % 24 bytes, all of value n.
    let check = |position_of: &[u64], header: RecordHeader, payload: &[u8]| {
        let number = position_of.binary_search(&header.position).expect("a record's start");
        assert_eq!(header.length, number as u32 % 24);
        assert!(payload.iter().all(|byte| *byte == number as u8));
    };
    let mut position_of = Vec::new();
    let mut position = 0;
    for number in 0..count {
        position_of.push(position);
        position += 8 + u64::from((number % 24).next_multiple_of(8));
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                let payload = vec![number as u8; number as usize % 24];
                while !kernel.output(&payload, Commit::NoWakeup) {
                    super::drain(&mut ring);
                }
            }
        });
        let mut payload = Vec::new();
        loop {
            let positions = peek.positions();
            assert!(positions.waiting() <= 128, "{positions:?}");
            for seen in peek.pending() {
                match seen {
                    PendingRecord::Committed(header) if peek.copy(header, &mut payload) => {
                        check(&position_of, header, &payload);
                    }
                    PendingRecord::Committed(header) | PendingRecord::Busy(header) => {
                        assert!(position_of.binary_search(&header.position).is_ok());
                    }
                    PendingRecord::Overtaken { from, to } => assert!(from < to),
                    other => panic!("{other:?}"),
                }
            }
            if positions.producer == position {
                break;
            }
            thread::yield_now();
        }
    });
}
