//! Tests rings that overwrite their oldest records.

use std::thread;
use std::time::Duration;

use crate::fake::{Commit, Heap, Kernel};
use crate::{Head, OverwriteRing, PendingRecord, Wake};

fn drain(ring: &mut OverwriteRing<Heap>) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(record) = ring.record().unwrap() {
        records.push(record.to_vec());
    }
    records
}

#[test]
fn newest_records_are_kept_whole() {
    for start in [0, 0_u64.wrapping_sub(64)] {
        let (kernel, mut ring) = Kernel::overwriting(64, start).unwrap();
        for byte in 0..10 {
            assert!(kernel.output(&[byte; 8], Commit::NoWakeup));
        }
        // The producer has stopped, so a snapshot of the remaining records is sound.
        let left: Vec<PendingRecord> = kernel.peek().pending().collect();
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(kernel.peek().positions().waiting(), 48, "overwritten records do not count");
        assert_eq!(drain(&mut ring), [[7; 8], [8; 8], [9; 8]]);
        let losses = ring.lost();
        assert_eq!((losses.overtaken, losses.bytes), (1, 7 * 16));
        let positions = ring.positions();
        assert_eq!(positions.consumer, positions.producer);
        assert_eq!(ring.capacity(), 64);
    }
}

#[test]
fn only_an_uncommitted_record_stops_the_producer() {
    let (kernel, mut ring) = Kernel::overwriting(64, 0).unwrap();
    let busy = kernel.reserve(8).unwrap();
    kernel.output(&[1; 8], Commit::NoWakeup);
    kernel.output(&[2; 8], Commit::NoWakeup);
    assert!(!kernel.output(&[3; 8], Commit::NoWakeup));
    assert!(drain(&mut ring).is_empty(), "busy");
    busy.discard(Commit::NoWakeup);
    assert!(kernel.output(&[3; 8], Commit::NoWakeup));
    assert_eq!(drain(&mut ring), [[1; 8], [2; 8], [3; 8]]);
    assert_eq!(ring.lost().bytes, 16, "the discarded record was overwritten");
    kernel.reserve(8).unwrap().discard(Commit::NoWakeup);
    assert!(drain(&mut ring).is_empty());
    assert_eq!(ring.lost().discarded, 1);
}

#[test]
fn reader_is_woken_times_out_and_is_stopped() {
    let (kernel, mut ring) = Kernel::overwriting(64, 0).unwrap();
    let short = Duration::from_millis(20);
    assert_eq!(ring.wait(Some(short)).unwrap(), Wake::TimedOut);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(short);
            kernel.output(b"x", Commit::Adaptive);
        });
        assert_eq!(ring.wait(Some(Duration::from_secs(60))).unwrap(), Wake::Ready);
    });
    assert_eq!(drain(&mut ring), [b"x"]);
    let stopper = ring.stopper().unwrap();
    stopper.stop();
    assert_eq!(ring.wait(None).unwrap(), Wake::Stopped);
    ring.resume().unwrap();
}

#[test]
fn prepare_wait_returns_the_head() {
    let (kernel, mut ring) = Kernel::overwriting(64, 0).unwrap();
    assert_eq!(ring.prepare_wait().unwrap(), Head::Empty);
    let busy = kernel.reserve(8).unwrap();
    assert_eq!(ring.prepare_wait().unwrap(), Head::Busy);
    assert!(busy.submit(Commit::Adaptive), "the reader's position is this record");
    assert_eq!(ring.prepare_wait().unwrap(), Head::Ready);
    assert_eq!(drain(&mut ring), [[0; 8]]);
    assert_eq!(ring.prepare_wait().unwrap(), Head::Empty);
    assert_eq!(ring.positions().consumer, 16);
}

#[test]
fn record_under_a_live_producer_is_whole_or_skipped() {
    let count: u32 = if cfg!(miri) { 60 } else { 100_000 };
    let (kernel, mut ring) = Kernel::overwriting(256, 0).unwrap();
    let mut last = None;
    let mut bytes_read = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                let payload = [number.to_ne_bytes(); 12].concat();
                let length = 4 + number as usize % 44;
                assert!(kernel.output(&payload[..length], Commit::NoWakeup));
                if number % 64 == 0 {
                    thread::yield_now();
                }
            }
        });
        while last != Some(count - 1) {
            let Some(record) = ring.record().unwrap() else {
                thread::yield_now();
                continue;
            };
            let number = u32::from_ne_bytes(record[..4].try_into().unwrap());
            assert!(last < Some(number), "{number} after {last:?}");
            assert_eq!(record.len(), 4 + number as usize % 44);
            let expected = number.to_ne_bytes();
            assert!(record.iter().zip(expected.iter().cycle()).all(|(a, b)| a == b));
            bytes_read += 8 + record.len().next_multiple_of(8) as u64;
            last = Some(number);
        }
    });
    let sent = ring.positions().producer;
    assert_eq!(bytes_read + ring.lost().bytes, sent, "every byte is read or counted as lost");
}
