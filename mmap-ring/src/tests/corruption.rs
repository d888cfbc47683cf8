//! Tests rings that no kernel writes: they are an error, never a panic or a read outside the pages.

use proptest::prelude::*;

use crate::fake::{Heap, Kernel};
use crate::record::{BUSY, DISCARD};
use crate::{Corrupt, Error, Head, Ring};

/// Returns a ring of 64 bytes whose data begins with the given words.
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
fn misaligned_position_is_corrupt() {
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
fn producer_more_than_the_size_ahead_is_corrupt() {
    for (consumer, producer) in [(0, 72), (8, 0), (u64::MAX - 7, 128)] {
        let found = corrupt(&mut holding(consumer, producer, &[]));
        let size = 64;
        assert_eq!(found, Corrupt::Span { consumer, producer, size });
    }
}

#[test]
fn reader_stops_before_a_length_past_the_producer() {
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
    assert_eq!(corrupt(&mut ring), expected, "the error stays");
    assert_eq!(ring.positions().consumer, 16, "the records before it are released");
    assert!(matches!(
        ring.wait(None),
        Err(Error::Corrupt(found)) if found == expected
    ));
}

#[test]
fn discarded_record_of_impossible_length_is_corrupt() {
    let mut ring = holding(0, 16, &[u64::from(DISCARD | 100)]);
    assert!(matches!(corrupt(&mut ring), Corrupt::Length { length: 100, .. }));
    // After a good record it ends the batch.
    let mut ring = holding(0, 24, &[0, u64::from(DISCARD | 100)]);
    assert_eq!(ring.batch().unwrap().records().count(), 1);
    assert!(matches!(corrupt(&mut ring), Corrupt::Length { length: 100, .. }));
}

#[test]
fn largest_length_does_not_overflow() {
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
    fn reading_ends_for_any_content_of_the_pages(
        log in 3..if cfg!(miri) { 7 } else { 9_u32 },
        consumer in any::<u64>(),
        ahead in prop_oneof![9 => (0..600_u64).prop_map(|words| words * 8), 1 => any::<u64>()],
        align in prop::bool::weighted(0.95),
        // Small numbers, so that some are valid lengths, and some with the header's discard bit.
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
