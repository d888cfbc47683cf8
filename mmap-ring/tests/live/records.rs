//! Tests that sent records are read: every size of ring and record, discards, a full ring, several producers.

use std::thread;
use std::time::Duration;

use mmap_ring::{Head, Ring};

use crate::harness::{Test, test};
use crate::kernel::{ADAPTIVE, LONGEST, MOST, Producer, create_ring};
use crate::{Outcome, PAGE, number, numbers, ring};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(sizes_from_one_page_to_64_mib),
        test!(longest_record_fits_and_one_byte_more_does_not),
        test!(every_length_comes_back_as_it_was_sent),
        test!(discards_are_skipped_and_counted),
        test!(full_ring_refuses_and_reading_makes_room),
        test!(reopened_ring_continues_where_it_was),
        test!(order_is_kept_for_each_of_several_producers),
    ]
}

fn sizes_from_one_page_to_64_mib() -> Outcome {
    for log in 0..=14 {
        let bytes = PAGE << log;
        let (mut ring, producer) = ring(bytes);
        assert_eq!(ring.capacity(), u64::from(bytes));
        let payload = [0; 1000];
        let mut sent = 0;
        // At least twice around the ring, in parts that fit.
        let part = (u64::from(bytes) / 1008 / 2).clamp(1, MOST);
        while sent * 1008 < 2 * u64::from(bytes) + 4096 {
            assert_eq!(producer.output(sent, part, &payload, ADAPTIVE), 0);
            assert_eq!(numbers(&mut ring), (sent..sent + part).collect::<Vec<_>>());
            sent += part;
        }
        let positions = ring.positions();
        assert_eq!(positions.consumer, positions.producer);
        assert_eq!(positions.consumer, sent * 1008);
    }
    Ok(())
}

fn longest_record_fits_and_one_byte_more_does_not() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    let longest = vec![7; PAGE as usize - 16];
    for number in 0..3 {
        assert_eq!(producer.output(number, 1, &longest, ADAPTIVE), 0);
        let record = ring.record()?.expect("one record");
        assert_eq!(record.len(), longest.len());
        assert_eq!(record[8..], longest[8..]);
    }
    let one_more = vec![7; PAGE as usize - 15];
    assert_eq!(producer.output(0, 1, &one_more, ADAPTIVE), 1);
    Ok(())
}

fn every_length_comes_back_as_it_was_sent() -> Outcome {
    let (mut ring, producer) = ring(2 * PAGE);
    for length in 0..=LONGEST {
        let payload: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
        assert_eq!(producer.output(0, 1, &payload, ADAPTIVE), 0);
        let record = ring.record()?.expect("one record");
        assert_eq!(record.len(), length);
        assert_eq!(record.get(8..), payload.get(8..));
    }
    Ok(())
}

fn discards_are_skipped_and_counted() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    producer.discard(ADAPTIVE);
    producer.submit(1, ADAPTIVE);
    producer.discard(ADAPTIVE);
    producer.discard(ADAPTIVE);
    producer.submit(2, ADAPTIVE);
    producer.discard(ADAPTIVE);
    assert_eq!(numbers(&mut ring), [1, 2]);
    assert_eq!(ring.counters().discarded, 4);
    assert_eq!(ring.head()?, Head::Empty);
    assert_eq!(ring.positions().consumer, 6 * 16);
    Ok(())
}

fn full_ring_refuses_and_reading_makes_room() -> Outcome {
    let (mut ring, producer) = ring(PAGE);
    // 16 bytes each. The last of 256 would fill the ring completely, which the kernel does not allow.
    assert_eq!(producer.output(0, 300, &[0; 8], ADAPTIVE), 300 - 255);
    assert_eq!(ring.positions().waiting(), 255 * 16);
    assert_eq!(ring.batch()?.at_most(5).count(), 5);
    assert_eq!(producer.output(255, 10, &[0; 8], ADAPTIVE), 5);
    assert_eq!(numbers(&mut ring), (5..260).collect::<Vec<_>>());
    Ok(())
}

fn reopened_ring_continues_where_it_was() -> Outcome {
    let map = create_ring(PAGE)?;
    let producer = Producer::new(&map);
    let mut first = Ring::open(map.try_clone()?, PAGE)?;
    producer.output(0, 10, &[0; 8], ADAPTIVE);
    assert_eq!(first.batch()?.at_most(4).count(), 4);
    drop(first);
    let mut second = Ring::open(map, PAGE)?;
    assert_eq!(numbers(&mut second), [4, 5, 6, 7, 8, 9]);
    Ok(())
}

fn order_is_kept_for_each_of_several_producers() -> Outcome {
    const EACH: u64 = 50_000;
    const PRODUCERS: u64 = 3;
    let (mut ring, producer) = ring(16 * PAGE);
    let (mut received, mut next) = (0, [0; PRODUCERS as usize]);
    let failed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|which| {
                let producer = &producer;
                scope.spawn(move || {
                    let length = 16 + which as usize * 700;
                    (0..EACH)
                        .step_by(10)
                        .map(|first| producer.output(which << 32 | first, 10, &vec![which as u8; length], ADAPTIVE))
                        .sum::<u64>()
                })
            })
            .collect();
        let mut running = true;
        while running {
            // Checked before the last read, so that the read misses no record.
            running = !threads.iter().all(|thread| thread.is_finished());
            ring.wait(Some(Duration::from_millis(5))).unwrap();
            for record in &mut ring.batch().unwrap() {
                let (which, number) = (number(record) >> 32, number(record) as u32);
                assert_eq!(record.len() as u64, 16 + which * 700);
                assert!(record[8..].iter().all(|byte| u64::from(*byte) == which));
                let expected = &mut next[which as usize];
                assert!(number >= *expected, "{which}: {number} after {expected}");
                *expected = number + 1;
                received += 1;
            }
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(received + failed, PRODUCERS * EACH);
    Ok(())
}
