//! Tests the observer while both sides are idle, while they move between any two of its loads, and while they run in
//! other threads.
#![expect(unsafe_code, reason = "acts as both sides of the pages")]

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::*;
use crate::Reader;
use crate::fake::{Pages, perf_buffer};
use crate::memory::Sealed;
use crate::page::{DATA_HEAD, DATA_TAIL};

#[test]
fn pending_records_are_shown_and_stay() {
    let (mut kernel, pages) = perf_buffer(4096);
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    assert_eq!((peek.snapshot().fill(), peek.snapshot().records.len()), (0, 0));
    kernel.sample(b"one").unwrap();
    kernel.sample(b"another").unwrap();
    let snapshot = peek.snapshot();
    assert_eq!(snapshot.records.len(), 2);
    let payloads: Vec<_> = snapshot.records.iter().map(|record| record.raw().unwrap().1).collect();
    assert!(payloads[0].starts_with(b"one") && payloads[1].starts_with(b"another"));
    assert_eq!(snapshot.fill(), snapshot.records.iter().map(PendingRecord::space).sum::<u64>());
    assert_eq!(snapshot, peek.snapshot());
    assert_eq!(reader.batch().unwrap().records().count(), 2, "no record was consumed");
    assert_eq!(peek.snapshot().fill(), 0);
}

/// `data_tail` and `data_head` at one moment.
type Scene = (u64, u64);

/// Pages whose two sides move to the next of the given scenes before each access of an observer.
struct Staged {
    pages: Pages,
    scenes: Vec<Scene>,
    /// The number of accesses.
    accesses: AtomicUsize,
}

impl Staged {
    fn peek(pages: Pages, scenes: Vec<Scene>) -> Peek<Self> {
        let peek = Peek::over(Self { pages, scenes, accesses: AtomicUsize::new(usize::MAX / 2) }).unwrap();
        peek.page.memory().accesses.store(0, Ordering::Relaxed);
        peek
    }

    fn set(&self, byte: usize, position: u64) {
        // SAFETY: callers pass offsets of words of the control page.
        let word = unsafe { self.pages.base().add(byte) };
        // SAFETY: aligned, mapped as long as `self` lives, and only ever accessed atomically.
        unsafe { AtomicU64::from_ptr(word.cast()) }.store(position, Ordering::Relaxed);
    }
}

impl Sealed for Staged {}

// SAFETY: as for the pages in it. Nothing writes data while an observer reads, and only observers read.
unsafe impl Memory for Staged {
    /// Counts the accesses: each call precedes an access to a word.
    fn base(&self) -> *mut u8 {
        if let Some(&(tail, head)) = self.scenes.get(self.accesses.fetch_add(1, Ordering::Relaxed)) {
            self.set(DATA_TAIL, tail);
            self.set(DATA_HEAD, head);
        }
        self.pages.base()
    }

    fn len(&self) -> usize {
        self.pages.len()
    }

    fn page_size(&self) -> usize {
        self.pages.page_size()
    }
}

/// For any actions of the two sides between the accesses, the returned positions can have been those of one moment.
#[test]
fn positions_are_of_one_moment() {
    const SIZE: u64 = 64;
    // Each side alone, both, and twice around the whole ring.
    const MOVES: [fn(Scene) -> Scene; 6] = [
        |(tail, head)| (tail, head),
        |(tail, head)| (tail, head.max(tail + 24)),
        |(tail, _)| (tail, tail + 56),
        |(_, head)| (head, head),
        |(_, head)| (head, head + 56),
        |(_, head)| (head + 56, head + 112),
    ];
    let (_, pages) = perf_buffer(SIZE as usize);
    let mut rereads = 0;
    for begin in [(0, 0), (0, 56), (1 << 20, (1 << 20) + 24)] {
        for script in (0..MOVES.len().pow(4)).step_by(if cfg!(miri) { 41 } else { 1 }) {
            let mut scenes = vec![begin];
            for step in 0..4 {
                let next = MOVES[script / MOVES.len().pow(step) % MOVES.len()];
                scenes.push(next(scenes[step as usize]));
            }
            // The first scene is the state before the first access.
            let peek = Staged::peek(pages.share(), scenes.split_off(1));
            let Positions { tail, head } = peek.positions();
            let Staged { scenes, accesses, .. } = peek.page.memory();
            let accesses = accesses.load(Ordering::Relaxed);
            rereads += usize::from(accesses == 3);
            let case = || format!("{tail} {head} of {begin:?}, {scenes:?}");
            assert!(tail <= head && head - tail <= SIZE, "{}", case());
            let passed = |from: Scene, to: Scene| from.0 <= to.0 && from.1 <= to.1;
            assert!(passed(begin, (tail, head)), "{}", case());
            assert!(passed((tail, head), scenes[accesses - 1]), "{}", case());
        }
    }
    assert!(rereads > 5, "some tails have passed the first head");
}

/// The owner releases records while a snapshot copies them: the snapshot does not contain those.
#[test]
fn snapshot_has_only_records_that_stayed_until_its_end() {
    let (mut kernel, pages) = perf_buffer(4096);
    for number in 0..4_u64 {
        kernel.sample(&number.to_ne_bytes()).unwrap();
    }
    let head = kernel.head();
    for released in 0..=4_u64 {
        // Head, tail, the data, and the tail again.
        let scenes = vec![(0, head), (0, head), (0, head), (24 * released, head)];
        let snapshot = Staged::peek(pages.share(), scenes).snapshot();
        assert_eq!((snapshot.tail, snapshot.head, snapshot.released_meanwhile), (0, head, 24 * released));
        let positions: Vec<u64> = snapshot.records.iter().map(|record| record.position).collect();
        assert_eq!(positions, Vec::from_iter((released..4).map(|number| 24 * number)));
        assert_eq!(snapshot.corrupt, None);
    }
}

/// Kernel and owner run in another thread: every record of a snapshot existed, whole. Under Miri this test shows that
/// the fences are needed.
#[test]
fn live_ring_snapshot_is_right() {
    const RECORDS: u64 = if cfg!(miri) { 60 } else { 100_000 };
    let (kernel, pages) = perf_buffer(128);
    let mut kernel = kernel.watched();
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    let words = |number: u64| 1 + number as usize % 4;
    std::thread::scope(|scope| {
        let owner = scope.spawn(move || {
            for number in 0..RECORDS {
                let payload = number.to_ne_bytes().repeat(words(number));
                while kernel.sample(&payload).is_err() {
                    reader.batch().unwrap().records().for_each(drop);
                }
            }
        });
        while !owner.is_finished() {
            let snapshot = peek.snapshot();
            assert_eq!(snapshot.corrupt, None, "{snapshot:?}");
            let mut before = None;
            for record in snapshot.records.iter().filter(|record| record.lost().is_none()) {
                let (_, padded) = record.raw().expect("a sample");
                let number = u64::from_ne_bytes(padded[..8].try_into().unwrap());
                let payload = number.to_ne_bytes().repeat(words(number));
                assert_eq!(padded.len(), payload.len() + 4, "{snapshot:?}");
                assert_eq!(padded[..payload.len()], payload, "{snapshot:?}");
                assert!(before.is_none_or(|before| before + 1 == number), "{snapshot:?}");
                before = Some(number);
            }
        }
    });
}

/// Kernel and owner run in another thread, and write one record over two and two over one: every count is right.
#[test]
fn live_ring_count_is_right() {
    const RECORDS: usize = if cfg!(miri) { 200 } else { 100_000 };
    let (kernel, pages) = perf_buffer(128);
    let mut kernel = kernel.watched();
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    // Records of 16 or 32 bytes, in an order that differs in each round.
    let payload = |number: usize| &[0xff; 20][..if number.wrapping_mul(0x9e37_79b9) & 0x800 == 0 { 4 } else { 20 }];
    let ends = Vec::from_iter((0..RECORDS).scan(0, |end, number| {
        *end += payload(number).len() as u64 + 12;
        Some(*end)
    }));
    let before = |position: u64| ends.partition_point(|end| *end <= position) as u64;
    std::thread::scope(|scope| {
        let owner = scope.spawn(move || {
            for number in 0..RECORDS {
                reader.batch().unwrap().records().for_each(drop);
                kernel.sample(payload(number)).unwrap();
            }
        });
        let mut from = 0;
        while !owner.is_finished() {
            let to = peek.positions().head;
            // Until the records may have been overwritten.
            while let Some(tally) = peek.count_records(from, to, u64::MAX)
                && !owner.is_finished()
            {
                assert_eq!((tally.records, tally.bytes), (before(to) - before(from), to - from), "{from} to {to}");
            }
            from = to;
        }
    });
}

#[test]
fn released_records_are_counted() {
    let (mut kernel, pages) = perf_buffer(4096);
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    let mut from = 0;
    for round in 1..100 {
        for byte in 0..round % 7 {
            kernel.sample(&[byte; 40]).unwrap();
        }
        assert_eq!(reader.batch().unwrap().records().count(), usize::from(round % 7));
        let to = peek.positions().head;
        let tally = peek.count_records(from, to, u64::MAX).unwrap();
        assert_eq!((tally.records, tally.bytes), (u64::from(round % 7), to - from));
        from = to;
    }
    // The count stops at the limit, and does not return records that may have been overwritten.
    let begin = from;
    for _ in 0..20 {
        kernel.sample(&[0; 40]).unwrap();
    }
    let to = peek.positions().head;
    let few = peek.count_records(begin, to, 3).unwrap();
    assert_eq!((few.records, few.bytes), (3, (to - begin) / 20 * 3));
    for _ in 0..20 {
        kernel.sample(&[0; 40]).unwrap();
    }
    assert_eq!(peek.count_records(begin, to, u64::MAX), None, "the head is more than half the buffer ahead");
    assert_eq!((peek.count_records(to, begin, 1), peek.count_records(0, begin, 1)), (None, None), "impossible ranges");
}

#[test]
fn records_released_meanwhile_are_not_shown() {
    let (mut kernel, pages) = perf_buffer(4096);
    let peek = Peek::over(pages).unwrap();
    for byte in 0..3 {
        kernel.sample(&[byte; 4]).unwrap();
    }
    let mut snapshot = peek.snapshot();
    let second = snapshot.records[1].position;
    let mut bytes = vec![0; snapshot.fill() as usize];
    peek.page.copy(snapshot.tail, &mut bytes);
    snapshot.records.clear();
    walk(&mut snapshot, &bytes, second);
    assert_eq!(snapshot.records.len(), 2);
    assert_eq!((snapshot.records[0].position, snapshot.released_meanwhile), (second, second - snapshot.tail));
    // The owner may have read further than this snapshot.
    snapshot.records.clear();
    let beyond = snapshot.head + 4096;
    walk(&mut snapshot, &bytes, beyond);
    assert_eq!((snapshot.records.len(), snapshot.released_meanwhile), (0, snapshot.fill()));
}

#[test]
fn corruption_is_reported_once() {
    let mut snapshot = PeekSnapshot {
        head: 64,
        tail: 0,
        size: 4096,
        backward: false,
        records: Vec::new(),
        released_meanwhile: 0,
        corrupt: None,
    };
    let mut bytes = [0; 64];
    bytes[6] = 12;
    walk(&mut snapshot, &bytes, 0);
    assert_eq!(snapshot.corrupt, Some(Corrupt::Record { at: 0, kind: 0, size: 12, left: 64 }));
}
