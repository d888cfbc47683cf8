//! Rings that no kernel would write: an error, never a panic, never a read
//! outside the pages.

use proptest::prelude::*;

use crate::fake::{Heap, Kernel};
use crate::record::{BUSY, DISCARD};
use crate::{Corrupt, Error, Head, Ring};

/// A ring of 64 bytes that holds the given words from its start.
fn holding(consumer: u64, producer: u64, words: &[u64]) -> Ring<Heap> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (_, ring) = Kernel::holding(64, consumer, producer, &bytes).unwrap();
    ring
}

fn corrupt(ring: &mut Ring<Heap>) -> Corrupt {
    match ring.batch() {
        Err(Error::Corrupt(corrupt)) => corrupt,
        other => panic!("expected corruption, got {other:?}"),
    }
}

#[test]
fn positions_that_are_not_multiples_of_eight() {
    let mut ring = holding(4, 16, &[]);
    let found = corrupt(&mut ring);
    let which = "consumer_pos";
    assert_eq!(found, Corrupt::Misaligned { which, position: 4 });
    let mut ring = holding(0, 17, &[]);
    let found = corrupt(&mut ring);
    let which = "producer_pos";
    assert_eq!(found, Corrupt::Misaligned { which, position: 17 });
    assert_eq!(ring.prepare_wait().unwrap_err().to_string(), found.to_string());
}

#[test]
fn a_producer_further_ahead_than_the_ring_is_large() {
    for (consumer, producer) in [(0, 72), (8, 0), (u64::MAX - 7, 128)] {
        let found = corrupt(&mut holding(consumer, producer, &[]));
        let size = 64;
        assert_eq!(found, Corrupt::Span { consumer, producer, size });
    }
}

#[test]
fn a_length_that_runs_past_the_producer_stops_the_reader_in_front_of_it() {
    // A record of 8 bytes, then one that claims 9 where 8 are left.
    let mut ring = holding(0, 32, &[8, 42, 9, 0]);
    let mut batch = ring.batch().unwrap();
    let mut records = batch.records();
    assert_eq!(records.next(), Some(42_u64.to_ne_bytes().as_slice()));
    assert_eq!(records.next(), None);
    drop(records);
    drop(batch);
    let expected = Corrupt::Length { position: 16, length: 9, available: 16 };
    assert_eq!(corrupt(&mut ring), expected);
    assert_eq!(corrupt(&mut ring), expected, "and it stays");
    assert_eq!(ring.positions().consumer, 16, "what came before is released");
    assert!(matches!(
        ring.wait(None),
        Err(Error::Corrupt(found)) if found == expected
    ));
}

#[test]
fn a_discarded_record_of_impossible_length_is_corrupt_too() {
    let mut ring = holding(0, 16, &[u64::from(DISCARD | 100)]);
    assert!(matches!(corrupt(&mut ring), Corrupt::Length { length: 100, .. }));
    // Behind a good record it ends the batch.
    let mut ring = holding(0, 24, &[0, u64::from(DISCARD | 100)]);
    assert_eq!(ring.batch().unwrap().records().count(), 1);
    assert!(matches!(corrupt(&mut ring), Corrupt::Length { length: 100, .. }));
}

#[test]
fn the_largest_length_does_not_overflow() {
    for bits in [0, DISCARD] {
        let mut ring = holding(0, 64, &[u64::from(bits | 0x3fff_ffff)]);
        assert!(matches!(corrupt(&mut ring), Corrupt::Length { .. }));
    }
    let ring = holding(0, 64, &[u64::from(BUSY | 0x3fff_ffff)]);
    assert_eq!(ring.head().unwrap(), Head::Busy);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 5_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_the_pages_hold_reading_ends(
        log in 3..if cfg!(miri) { 7 } else { 9_u32 },
        consumer in any::<u64>(),
        ahead in prop_oneof![9 => (0..600_u64).prop_map(|words| words * 8), 1 => any::<u64>()],
        align in prop::bool::weighted(0.95),
        // Small numbers, so that some are lengths; the bits of headers among them.
        words in prop::collection::vec(
            prop_oneof![
                4 => 0..40_u64,
                1 => any::<u64>(),
                1 => (0..40_u64).prop_map(|length| length | u64::from(DISCARD)),
            ],
            0..if cfg!(miri) { 12 } else { 64 },
        ),
    ) {
        let size = 1_u64 << log;
        let consumer = if align { consumer & !7 } else { consumer };
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let producer = consumer.wrapping_add(ahead);
        let (kernel, mut ring) = Kernel::holding(size, consumer, producer, &bytes).unwrap();
        let mut total = 0_u64;
        while let Ok(mut batch) = ring.batch() {
            let before = batch.bytes();
            for record in batch.records() {
                prop_assert!(record.len() as u64 <= size - 8);
                total += record.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            if batch.bytes() == before {
                break;
            }
        }
        std::hint::black_box(total);
        drop(kernel);
    }
}
