//! Tests the protocol against its fake kernel. All tests run under Miri except the model, which has its own memory
//! model.

mod corruption;
#[cfg(not(miri))]
mod model;
mod overwriting;
mod peeking;
mod properties;
mod running;
mod sets;
mod threads;
mod user;
mod waiting;

use std::ops::ControlFlow;

use crate::fake::{Commit, Heap, Kernel};
use crate::{Corrupt, Error, Head, Ring};

/// Returns copies of all committed records.
fn drain(ring: &mut Ring<Heap>) -> Vec<Vec<u8>> {
    let mut batch = ring.batch().unwrap();
    batch.records().map(<[u8]>::to_vec).collect()
}

/// The front page of the crate promises this.
#[test]
fn readers_are_send_and_stoppers_sync() {
    fn is_send<T: Send>() {}
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send::<Ring>();
    is_send::<crate::RingSet>();
    is_send::<crate::OverwriteRing>();
    is_send::<crate::UserRing>();
    is_send::<crate::Records<'_>>();
    is_send::<crate::Sample<'_>>();
    is_send_and_sync::<crate::Peek>();
    is_send_and_sync::<crate::Stopper>();
}

#[test]
fn records_of_a_batch_are_borrowed_and_released_together() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    for byte in 0..3 {
        assert!(kernel.output(&[byte; 8], Commit::default()));
    }
    let mut batch = ring.batch().unwrap();
    let held: Vec<&[u8]> = batch.records().collect();
    assert!(!kernel.output(&[9; 8], Commit::default()), "the ring is full while the batch lives");
    assert_eq!(held, [[0; 8], [1; 8], [2; 8]]);
    drop(batch);
    assert!(kernel.output(&[9; 8], Commit::default()));
    assert_eq!(drain(&mut ring), [[9; 8]]);
    assert_eq!(ring.counters().releases, 2, "one store for each batch");
}

#[test]
fn batch_ends_at_the_records_of_its_start() {
    let (kernel, mut ring) = Kernel::new(4096).unwrap();
    kernel.output(b"a", Commit::default());
    let mut batch = ring.batch().unwrap();
    let mut seen = 0;
    for _ in &mut batch {
        // A producer that is always faster than the reader.
        kernel.output(b"b", Commit::default());
        seen += 1;
    }
    assert_eq!(seen, 1);
}

#[test]
fn early_break_releases_the_records_handed_out() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    for byte in 0..3 {
        kernel.output(&[byte], Commit::default());
    }
    for record in &mut ring.batch().unwrap() {
        if record == [1] {
            break;
        }
    }
    assert_eq!(ring.positions().consumer, 32);
    assert_eq!(drain(&mut ring), [[2]]);
}

#[test]
fn drain_ends_where_its_callback_breaks() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    for byte in 0..3 {
        kernel.output(&[byte], Commit::default());
    }
    let mut seen = Vec::new();
    let ended = ring.drain(|record| {
        seen.push(record[0]);
        if record == [1] { ControlFlow::Break("here") } else { ControlFlow::Continue(()) }
    });
    assert_eq!(ended.unwrap(), Some("here"));
    assert_eq!(ring.positions().consumer, 32, "the read records are released");
    assert_eq!(ring.drain(|record| seen.push(record[0])).unwrap(), None);
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn panic_in_the_loop_releases_the_records_handed_out() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    for byte in 0..3 {
        kernel.output(&[byte], Commit::default());
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for record in &mut ring.batch().unwrap() {
            assert_ne!(record, [1], "on purpose");
        }
    }));
    assert!(panicked.is_err());
    assert_eq!(ring.positions().consumer, 32);
    assert_eq!(drain(&mut ring), [[2]]);
}

#[test]
fn forgotten_batch_only_delays_the_release() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    kernel.output(&[1], Commit::default());
    let mut batch = ring.batch().unwrap();
    assert_eq!(batch.records().count(), 1);
    std::mem::forget(batch);
    assert_eq!(ring.positions().consumer, 0, "nothing released yet");
    kernel.output(&[2], Commit::default());
    assert_eq!(drain(&mut ring), [[2]], "no record is read twice");
    assert_eq!(ring.positions().consumer, 32);
}

#[test]
fn batch_can_be_read_in_parts() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    for byte in 0..5 {
        kernel.output(&[byte], Commit::default());
    }
    let mut batch = ring.batch().unwrap();
    assert_eq!(batch.bytes(), 80);
    assert_eq!(batch.at_most(2).count(), 2);
    assert_eq!(batch.bytes(), 48);
    let next: Vec<&[u8]> = batch.at_most_bytes(39).collect();
    assert_eq!(next, [[2], [3]], "two of 16 bytes fit in 39");
    assert_eq!(batch.at_most_bytes(0).count(), 1, "the first always fits");
    assert_eq!(batch.at_most_bytes(0).count(), 0, "if there is one");
}

#[test]
fn one_record_is_released_when_dropped() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    kernel.output(b"one", Commit::default());
    kernel.output(b"two", Commit::default());
    let record = ring.record().unwrap().unwrap();
    assert_eq!(&*record, b"one");
    drop(record);
    assert_eq!(ring.positions().consumer, 16);
    assert_eq!(&*ring.record().unwrap().unwrap(), b"two");
    assert!(ring.record().unwrap().is_none());
}

#[test]
fn busy_record_stops_the_reader_and_discarded_ones_do_not() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    let gone = kernel.reserve(20).unwrap();
    let busy = kernel.reserve(8).unwrap();
    kernel.output(b"behind", Commit::default());
    assert_eq!(ring.head().unwrap(), Head::Busy);
    assert!(drain(&mut ring).is_empty());
    assert!(gone.discard(Commit::default()), "the consumer position is here");
    assert_eq!(ring.head().unwrap(), Head::Ready);
    assert!(drain(&mut ring).is_empty());
    assert_eq!(ring.counters().discarded, 1);
    assert_eq!(ring.positions().consumer, 32, "skipped the discarded record");
    assert_eq!(ring.positions().waiting(), 32);
    assert!(busy.submit(Commit::default()));
    assert_eq!(drain(&mut ring), [vec![0; 8], b"behind".to_vec()]);
    assert_eq!(ring.head().unwrap(), Head::Empty);
}

#[test]
fn longest_record_fits_and_one_byte_more_does_not() {
    for size in [16_u64, 64, 4096] {
        let (kernel, mut ring) = Kernel::at(size, 8).unwrap();
        assert_eq!(ring.capacity(), size);
        let longest = vec![7; size as usize - 16];
        assert!(kernel.output(&longest, Commit::default()));
        assert_eq!(drain(&mut ring), [longest.as_slice()]);
        assert!(kernel.reserve(size as u32 - 15).is_none());
    }
}

#[test]
fn second_consumer_is_noticed() {
    let (kernel, mut ring) = Kernel::new(64).unwrap();
    kernel.output(&[1], Commit::default());
    kernel.pages().consumer.store(16, std::sync::atomic::Ordering::Relaxed);
    let error = ring.batch().unwrap_err();
    assert!(matches!(error, Error::Corrupt(Corrupt::Consumer { stored: 0, found: 16 })), "{error}");
}

/// One wake-up wakes two processes: both begin a batch at the same position, and would store the same position at its
/// end.
#[test]
fn second_consumer_of_the_same_batch_is_noticed() {
    // The other consumer has read as far as this one, or further; or something else wrote to the page.
    for found in [16, 32, 8] {
        let (kernel, mut ring) = Kernel::new(64).unwrap();
        kernel.output(&[1], Commit::default());
        let mut batch = ring.batch().unwrap();
        assert_eq!(batch.records().count(), 1);
        kernel.pages().consumer.store(found, std::sync::atomic::Ordering::Relaxed);
        drop(batch);
        assert_eq!(ring.positions().consumer, found, "the other consumer's position is not overwritten");
        let expected = Corrupt::Consumer { stored: 0, found };
        let is_expected = |error: Error| matches!(error, Error::Corrupt(corrupt) if corrupt == expected);
        assert!(is_expected(ring.batch().unwrap_err()));
        assert!(is_expected(ring.prepare_wait().unwrap_err()), "and before a sleep");
        assert!(is_expected(ring.wait(Some(std::time::Duration::ZERO)).unwrap_err()));
        assert_eq!(ring.counters().releases, 0);
    }
}

#[test]
fn kernel_reopens_only_its_own_ring() {
    let (one, ring_of_one) = Kernel::new(64).unwrap();
    let (other, ring_of_other) = Kernel::new(64).unwrap();
    assert!(one.reopen(ring_of_other).is_err(), "`one` would have two consumers");
    assert!(other.as_overwriting(ring_of_one, 0).is_err());
}

#[test]
fn reader_killed_in_a_batch_loses_no_record() {
    let (kernel, mut ring) = Kernel::new(256).unwrap();
    for byte in 0..4 {
        kernel.output(&[byte], Commit::default());
    }
    assert_eq!(ring.batch().unwrap().at_most(1).count(), 1);
    // The state after SIGKILL: records handed out, no position published.
    let mut batch = ring.batch().unwrap();
    assert_eq!(batch.at_most(2).count(), 2);
    std::mem::forget(batch);
    let mut ring = kernel.reopen(ring).unwrap();
    assert_eq!(drain(&mut ring), [[1], [2], [3]]);
}
