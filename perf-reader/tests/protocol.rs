//! Compares the protocol with a naive reader over fake pages: wraps, losses, padding, corruption, threads. Runs under
//! Miri.

#![expect(unsafe_code, reason = "corrupts pages on purpose")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "protocol/naive.rs"]
mod naive;

use naive::{Seen, count, naive};
use perf_reader::fake::{Full, STALE, perf_buffer, perf_buffer_at};
use perf_reader::{Bytes, Corrupt, Reader, Record};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Sample {
        len: usize,
    },
    Other {
        kind: u32,
        len: usize,
    },
    Read,
    /// Leaves the walk after this number of records.
    ReadSome(usize),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..200_usize).prop_map(|len| Step::Sample { len }),
        1 => (prop_oneof![Just(1_u32), Just(3), Just(10), Just(77)], 0..40_usize)
            .prop_map(|(kind, len)| Step::Other { kind, len }),
        1 => Just(Step::Read),
        1 => (0..4_usize).prop_map(Step::ReadSome),
    ];
    prop::collection::vec(step, 0..most)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: if cfg!(miri) { 4 } else { 2000 }, failure_persistence: None, ..ProptestConfig::default() }
}

/// Returns the payload of sample number `n`. Every byte depends on its number and index.
fn payload(n: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n as usize * 31 + i * 7) as u8).collect()
}

proptest! {
    #![proptest_config(config())]

    /// In any mix of sends and batches, every batch returns the records of the naive reader, and releases those that it
    /// returned.
    #[test]
    fn reader_agrees_with_a_naive_one(
        steps in steps(if cfg!(miri) { 25 } else { 120 }),
        size in prop_oneof![Just(64_usize), Just(256), Just(1024)],
        start in prop_oneof![Just(0_u64), Just(u64::MAX - 407), any::<u64>()],
        timed in any::<bool>(),
    ) {
        let (mut kernel, pages) = perf_buffer_at(size, start);
        let mut reader = Reader::new(pages, timed).unwrap();
        let (mut sent, mut received, mut announced) = (0, 0, 0);
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Sample { len } => {
                    sent += 1;
                    let payload = payload(n as u64, len);
                    let _ = if timed {
                        kernel.sample_at(n as u64, &payload)
                    } else {
                        kernel.sample(&payload)
                    };
                }
                Step::Other { kind, len } => {
                    sent += u64::from(kernel.record(kind, &[&payload(n as u64, len)]).is_err());
                }
                Step::Read => {
                    let expected = naive(&kernel, timed);
                    let batch = reader.batch().unwrap();
                    let seen: Vec<Seen> =
                        batch.records().map(|record| record.unwrap().into()).collect();
                    prop_assert_eq!(kernel.tail(), kernel.head().wrapping_sub(batch.len()), "no byte is released before the batch ends");
                    drop(batch);
                    prop_assert_eq!(&seen, &expected);
                    prop_assert_eq!(kernel.tail(), kernel.head());
                    count(&seen, &mut received, &mut announced);
                }
                Step::ReadSome(most) => {
                    let expected = naive(&kernel, timed);
                    let batch = reader.batch().unwrap();
                    let mut seen: Vec<Seen> =
                        batch.records().take(most).map(|record| record.unwrap().into()).collect();
                    let rest: Vec<Seen> =
                        batch.records().take(1).map(|record| record.unwrap().into()).collect();
                    drop(batch);
                    seen.extend(rest);
                    prop_assert_eq!(&seen[..], &expected[..seen.len()]);
                    count(&seen, &mut received, &mut announced);
                }
            }
            prop_assert_eq!(reader.lost_announced(), announced);
            prop_assert_eq!(reader.fill(), kernel.head().wrapping_sub(kernel.tail()));
        }
        let rest = naive(&kernel, timed);
        count(&rest, &mut received, &mut announced);
        prop_assert_eq!(received + kernel.lost(), sent);
        prop_assert!(announced <= kernel.lost());
    }

    /// Arbitrary data between arbitrary positions gives an error or records, never a panic, and every walk ends.
    #[test]
    fn reading_ends_for_any_content_of_the_pages(
        data in prop::collection::vec(any::<u8>(), 0..if cfg!(miri) { 80 } else { 300 }),
        headers in prop::collection::vec((0..32_u64, prop_oneof![Just(2_u32), Just(9), any::<u32>()], any::<u16>()), 0..8),
        tail in prop_oneof![Just(0_u64), 0..600_u64, any::<u64>()],
        head in prop_oneof![Just(256_u64), 0..600_u64, any::<u64>()],
        timed in any::<bool>(),
    ) {
        let (mut kernel, pages) = perf_buffer(256);
        let mut reader = Reader::new(pages, timed).unwrap();
        // SAFETY: no batch is open.
        unsafe { kernel.poke(0, &data) };
        for (at, kind, size) in headers {
            // SAFETY: no batch is open.
            unsafe { kernel.poke(at * 8, &kind.to_ne_bytes()) };
            // SAFETY: no batch is open.
            unsafe { kernel.poke(at * 8 + 6, &(size % 100).to_ne_bytes()) };
        }
        // SAFETY: no batch is open.
        unsafe { kernel.set_word(1032, tail) };
        // SAFETY: no batch is open.
        unsafe { kernel.set_head(head) };
        match reader.batch() {
            Ok(batch) => {
                let bytes: usize = batch.records().map(|record| match record {
                    Ok(Record::Sample(sample)) => sample.padded().to_vec().len(),
                    _ => 0,
                }).sum();
                prop_assert!(bytes as u64 <= batch.len());
            }
            Err(corrupt) => {
                let positions = matches!(corrupt, Corrupt::Positions { .. });
                prop_assert!(positions, "{corrupt}");
            }
        }
        reader.skip_to_head();
        prop_assert!(reader.batch().map_or(head % 8 != 0, |batch| batch.is_empty()));
    }
}

/// Tests every length at every offset where a record can begin: whole, split after its header, after its raw size, and
/// in its payload.
#[test]
fn wraps_at_every_offset_and_length() {
    // Miri is slow: it tests each kind of wrap once.
    let (offsets, lengths) = if cfg!(miri) { (208, 23) } else { (0, 1) };
    for offset in (offsets..256).step_by(8) {
        for len in (0..120_usize).step_by(lengths) {
            let (mut kernel, pages) = perf_buffer_at(256, offset);
            let mut reader = Reader::new(pages, false).unwrap();
            let sent = payload(offset, len);
            kernel.sample(&sent).unwrap();
            let batch = reader.batch().unwrap();
            let Some(Ok(Record::Sample(sample))) = batch.records().next() else {
                panic!("no sample of {len} bytes at {offset}");
            };
            let bytes = sample.payload(len).unwrap();
            assert_eq!(bytes.to_vec(), sent);
            assert_eq!(bytes.contiguous(&mut vec![1, 2, 3]), sent);
            let wraps = offset + 12 < 256 && offset + 12 + len as u64 > 256;
            assert_eq!(matches!(bytes, Bytes::Split(..)), wraps, "{len} bytes at {offset}");
            for from in (0..=len).step_by(if cfg!(miri) { 19 } else { 1 }) {
                assert_eq!(bytes.slice(from..len).unwrap().to_vec(), sent[from..]);
                assert_eq!(bytes.slice(0..from).unwrap().to_vec(), sent[..from]);
                assert_eq!(bytes.array::<3>(from).map(Vec::from), sent.get(from..from + 3).map(Vec::from));
            }
            assert!(bytes.slice(0..len + 1).is_none());
        }
    }
}

/// The bytes after a payload are stale, and only a declared length excludes them.
#[test]
fn padding_is_stale() {
    for len in 0..40_usize {
        let (mut kernel, pages) = perf_buffer(4096);
        let mut reader = Reader::new(pages, false).unwrap();
        kernel.sample(&vec![1; len]).unwrap();
        let batch = reader.batch().unwrap();
        let Some(Ok(Record::Sample(sample))) = batch.records().next() else {
            panic!("no sample");
        };
        let padded = sample.padded().to_vec();
        assert_eq!(padded.len() % 8, 4);
        assert!(padded[len..].iter().all(|&byte| byte == STALE));
        assert_eq!(sample.payload(len).unwrap().to_vec(), vec![1; len]);
        assert!(sample.payload(padded.len() + 1).is_err());
        assert!(sample.payload(padded.len().wrapping_sub(8)).is_err());
        let error = sample.payload(padded.len() + 9).unwrap_err();
        assert_eq!((error.declared, error.padded), (padded.len() + 9, padded.len()));
    }
}

/// The head is far ahead of a tail that something else moved: an error, and `skip_to_head` recovers.
#[test]
fn contradicting_positions_are_an_error_until_skipped() {
    let (mut kernel, pages) = perf_buffer_at(256, 4096);
    let mut reader = Reader::new(pages, false).unwrap();
    kernel.sample(b"before").unwrap();
    // SAFETY: no batch is open.
    unsafe { kernel.set_word(1032, 8) };
    for _ in 0..2 {
        let expected = Corrupt::Positions { tail: 8, head: kernel.head(), data_size: 256 };
        assert_eq!(reader.batch().unwrap_err(), expected);
    }
    assert_eq!(reader.skip_to_head(), kernel.head() - 8);
    kernel.sample(b"after").unwrap();
    assert_eq!(naive(&kernel, false).len(), 1);
    assert_eq!(reader.batch().unwrap().records().count(), 1);
}

/// A record of impossible size ends each batch before it, until it is skipped.
#[test]
fn corrupt_size_ends_every_batch_until_skipped() {
    for size in [0_u16, 1, 7, 9, 12, 48, 56, u16::MAX] {
        let (mut kernel, pages) = perf_buffer(256);
        let mut reader = Reader::new(pages, false).unwrap();
        kernel.sample(b"first").unwrap();
        let at = kernel.head();
        kernel.sample(b"second").unwrap();
        // SAFETY: no batch is open.
        unsafe { kernel.poke(at + 6, &size.to_ne_bytes()) };
        let left = kernel.head() - at;
        let corrupt = Corrupt::Record { at, kind: 9, size, left };
        for firsts in [1, 0, 0] {
            let batch = reader.batch().unwrap();
            let records: Vec<_> = batch.records().collect();
            let (last, before) = records.split_last().unwrap();
            assert_eq!(before.iter().filter(|record| record.is_ok()).count(), firsts.min(before.len()));
            assert_eq!(last.as_ref().unwrap_err(), &corrupt, "size {size}");
        }
        assert_eq!(kernel.tail(), at);
        assert_eq!(reader.skip_to_head(), left);
        assert!(reader.batch().unwrap().is_empty());
    }
}

/// A record with corrupt content is one error; later records are read.
#[test]
fn corrupt_raw_size_costs_one_record() {
    for declared in [13_u32, 1000, u32::MAX] {
        let (mut kernel, pages) = perf_buffer(256);
        let mut reader = Reader::new(pages, false).unwrap();
        let at = kernel.head();
        kernel.sample(b"12345678").unwrap();
        kernel.sample(b"abcdefgh").unwrap();
        // SAFETY: no batch is open.
        unsafe { kernel.poke(at + 8, &declared.to_ne_bytes()) };
        kernel.record(9, &[]).unwrap();
        kernel.record(2, &[&[0; 8]]).unwrap();
        let batch = reader.batch().unwrap();
        let seen: Vec<_> = batch.records().collect();
        assert_eq!(seen[0].as_ref().unwrap_err(), &Corrupt::Content { at, kind: 9, size: 24, declared });
        assert!(matches!(seen[1], Ok(Record::Sample(sample)) if sample.array() == Ok(*b"abcdefgh")));
        assert!(matches!(seen[2], Err(Corrupt::Content { kind: 9, size: 8, .. })));
        assert!(matches!(seen[3], Err(Corrupt::Content { kind: 2, size: 16, .. })));
        assert_eq!(seen.len(), 4);
        drop(batch);
        assert_eq!(kernel.tail(), kernel.head());
    }
}

/// Pages whose control page has a false offset or size of the data.
#[test]
fn false_layout_is_refused() {
    for (offset, size) in [
        (0, 4096),
        (1024, 64),
        (4096, 8192),
        (4096, 0),
        (4096, 4),
        (4097, 64),
        (4096, 24),
        (8192, 8),
        (u64::MAX - 7, 8),
        (4096, 1 << 63),
    ] {
        let (mut kernel, pages) = perf_buffer(4096);
        // SAFETY: no batch is open, and none will be.
        unsafe { kernel.set_word(1040, offset) };
        // SAFETY: as above.
        unsafe { kernel.set_word(1048, size) };
        let expected = Corrupt::Layout { data_offset: offset, data_size: size, len: 8192 };
        assert_eq!(Reader::new(pages, false).unwrap_err(), expected);
    }
}

/// Before Linux 4.1 both words are 0, and the data follows the first page.
#[test]
fn layout_words_of_old_kernels_can_be_0() {
    let (mut kernel, pages) = perf_buffer(512);
    // SAFETY: no batch is open, and the layout stays what it was.
    unsafe { kernel.set_word(1040, 0) };
    // SAFETY: as above.
    unsafe { kernel.set_word(1048, 0) };
    let mut reader = Reader::new(pages, false).unwrap();
    assert_eq!(reader.capacity(), 512);
    kernel.sample(b"old").unwrap();
    assert_eq!(reader.batch().unwrap().records().count(), 1);
}

/// The tail moves over the records that were read if a walk ends early, also by a panic.
#[test]
fn panic_releases_the_records_read() {
    let (mut kernel, pages) = perf_buffer(1024);
    let mut reader = Reader::new(pages, false).unwrap();
    for n in 0..5_u64 {
        kernel.sample(&n.to_ne_bytes()).unwrap();
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for record in &reader.batch().unwrap() {
            let Ok(Record::Sample(sample)) = record else { panic!("no sample") };
            assert_ne!(sample.array().map(u64::from_ne_bytes), Ok(2), "on purpose");
        }
    }));
    assert!(panicked.is_err());
    assert_eq!(kernel.tail(), 3 * 24);
    let batch = reader.batch().unwrap();
    let Some(Ok(Record::Sample(sample))) = batch.records().next() else { panic!("no sample") };
    assert_eq!(sample.array().map(u64::from_ne_bytes), Ok(3));
}

/// A forgotten batch releases nothing, so its samples stay valid.
#[test]
fn forgotten_batch_releases_nothing() {
    let (mut kernel, pages) = perf_buffer(64);
    let mut reader = Reader::new(pages, false).unwrap();
    kernel.sample(b"12345678").unwrap();
    let batch = Box::new(reader.batch().unwrap());
    assert_eq!(batch.records().count(), 1);
    // Leaked instead of forgotten, so that Miri does not report the box.
    let batch = Box::leak(batch);
    assert_eq!(kernel.tail(), 0);
    assert_eq!(kernel.sample(&[0; 40]), Err(Full));
    // SAFETY: the reference is from `Box::leak`, and nothing uses it after this.
    drop(unsafe { Box::from_raw(std::ptr::from_mut(batch)) });
    assert_eq!(kernel.tail(), 24);
}

/// Two walks over the same records see a loss twice, but it is counted once.
#[test]
fn two_walks_at_once_count_a_loss_once() {
    let (mut kernel, pages) = perf_buffer(64);
    let mut reader = Reader::new(pages, false).unwrap();
    kernel.sample(&[1; 8]).unwrap();
    kernel.sample(&[2; 8]).unwrap();
    assert_eq!(kernel.sample(&[3; 8]), Err(Full));
    assert_eq!(reader.batch().unwrap().records().count(), 2);
    kernel.sample(&[4; 8]).unwrap();
    let batch = reader.batch().unwrap();
    let (mut one, mut other) = (batch.records(), batch.records());
    assert!(matches!(one.next(), Some(Ok(Record::Lost(1)))));
    assert_eq!(other.by_ref().count(), 2);
    drop((one, other));
    drop(batch);
    assert_eq!(reader.lost_announced(), 1);
    assert_eq!(kernel.tail(), kernel.head());
}

/// Any number of samples can be held at once, and sent to other threads, while the batch is open.
#[test]
fn samples_of_a_batch_are_held_together() {
    let (mut kernel, pages) = perf_buffer(1024);
    let mut reader = Reader::new(pages, false).unwrap();
    for n in 0..20_u64 {
        kernel.sample(&n.to_ne_bytes()).unwrap();
    }
    let batch = reader.batch().unwrap();
    let samples: Vec<_> = batch
        .records()
        .map(|record| match record {
            Ok(Record::Sample(sample)) => sample,
            other => panic!("{other:?}"),
        })
        .collect();
    let sum: u64 = std::thread::scope(|scope| {
        let threads = samples.chunks(10).map(|samples| {
            scope.spawn(move || {
                let numbers = samples.iter().map(|sample| u64::from_ne_bytes(sample.array().unwrap()));
                numbers.sum::<u64>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sum, 190);
}

/// A producer in another thread never waits while the reader drains: no record is torn, all are read in order or
/// counted as lost. Under Miri this test shows which orderings are needed.
#[test]
fn live_producer_loses_nothing_unnoticed() {
    let sends: u64 = if cfg!(miri) { 200 } else { 2_000_000 };
    let (mut kernel, pages) = perf_buffer(256);
    let mut reader = Reader::new(pages, false).unwrap();
    let (done, over) = std::sync::mpsc::channel();
    let producer = std::thread::spawn(move || {
        for n in 0..sends {
            let len = 8 + (n % 5) as usize * 8;
            let mut payload = [0; 40];
            for word in payload.chunks_mut(8) {
                word.copy_from_slice(&n.to_ne_bytes());
            }
            if kernel.sample(&payload[..len]).is_err() {
                std::thread::yield_now();
            }
        }
        done.send(()).unwrap();
        kernel
    });
    let (mut received, mut announced) = (0, 0);
    let mut before = None;
    let mut ended = false;
    while !ended {
        ended = over.try_recv().is_ok();
        let batch = reader.batch().unwrap();
        for record in &batch {
            match record.unwrap() {
                Record::Sample(sample) => {
                    received += 1;
                    let padded = sample.padded();
                    let n = u64::from_ne_bytes(padded.array(0).unwrap());
                    assert!(before < Some(n), "{before:?} then {n}");
                    before = Some(n);
                    let len = 8 + (n % 5) as usize * 8;
                    let payload = sample.payload(len).unwrap();
                    for at in (0..len).step_by(8) {
                        assert_eq!(payload.array(at).map(u64::from_ne_bytes), Some(n));
                    }
                }
                Record::Lost(lost) => announced += lost,
                _ => unreachable!("there are two kinds"),
            }
        }
        if batch.is_empty() {
            std::thread::yield_now();
        }
    }
    let kernel = producer.join().unwrap();
    assert_eq!(received + kernel.lost(), sends);
    assert!(announced <= kernel.lost());
    assert!(received > 0);
}

/// The front page of the crate promises this.
#[test]
fn readers_are_send_and_stoppers_sync() {
    fn is_send<T: Send>() {}
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<perf_reader::Buffer>();
    is_send_and_sync::<perf_reader::PerCpuBuffers>();
    is_send_and_sync::<perf_reader::Peek>();
    is_send_and_sync::<perf_reader::Sample<'_>>();
    is_send::<perf_reader::Snapshot<'_>>();
    is_send::<perf_reader::AdaptiveReader<fn(u32, std::os::fd::BorrowedFd<'_>) -> std::io::Result<()>>>();
    is_send_and_sync::<perf_reader::OverwriteBuffer>();
    is_send_and_sync::<perf_reader::Stopper>();
}
