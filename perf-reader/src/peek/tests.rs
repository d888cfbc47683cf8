//! A bystander beside both sides: at rest, between any two of its loads, and at work in other threads.
#![expect(unsafe_code, reason = "plays both sides of the pages")]

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::*;
use crate::Reader;
use crate::fake::{Pages, perf_buffer};
use crate::memory::Sealed;
use crate::page::{DATA_HEAD, DATA_TAIL};

#[test]
fn what_waits_is_seen_and_stays() {
    let (mut kernel, pages) = perf_buffer(4096);
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    assert_eq!((peek.snapshot().fill(), peek.snapshot().records.len()), (0, 0));
    kernel.sample(b"one").unwrap();
    kernel.sample(b"another").unwrap();
    let look = peek.snapshot();
    assert_eq!(look.records.len(), 2);
    let payloads: Vec<_> = look.records.iter().map(|record| record.raw().unwrap().1).collect();
    assert!(payloads[0].starts_with(b"one") && payloads[1].starts_with(b"another"));
    assert_eq!(look.fill(), look.records.iter().map(PendingRecord::space).sum::<u64>());
    assert_eq!(look, peek.snapshot());
    assert_eq!(reader.batch().unwrap().records().count(), 2, "nothing was taken away");
    assert_eq!(peek.snapshot().fill(), 0);
}

/// `data_tail` and `data_head` at one moment.
type Scene = (u64, u64);

/// Pages whose two sides move on in front of each access of a bystander: to the next of the given scenes.
struct Staged {
    pages: Pages,
    scenes: Vec<Scene>,
    /// How many accesses there were.
    accesses: AtomicUsize,
}

impl Staged {
    fn peek(pages: Pages, scenes: Vec<Scene>) -> Peek<Self> {
        let peek = Peek::over(Self { pages, scenes, accesses: AtomicUsize::new(usize::MAX / 2) }).unwrap();
        peek.page.memory().accesses.store(0, Ordering::Relaxed);
        peek
    }

    fn set(&self, byte: usize, position: u64) {
        // SAFETY: callers name words of the control page.
        let word = unsafe { self.pages.base().add(byte) };
        // SAFETY: aligned, mapped as long as `self` lives, and only ever accessed atomically.
        unsafe { AtomicU64::from_ptr(word.cast()) }.store(position, Ordering::Relaxed);
    }
}

impl Sealed for Staged {}

// SAFETY: as for the pages in it. Nobody writes data while an observer looks, and only observers look.
unsafe impl Memory for Staged {
    /// Whoever asks is about to access a word.
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

/// Whatever the two sides do between the accesses of one look: what it says of them can have been true at one moment.
#[test]
fn positions_are_of_one_moment() {
    const SIZE: u64 = 64;
    // Each side's part alone, both, and the whole ring twice round.
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
            // The first scene is what is there before the first access.
            let peek = Staged::peek(pages.share(), scenes.split_off(1));
            let Positions { tail, head } = peek.positions();
            let Staged { scenes, accesses, .. } = peek.page.memory();
            let accesses = accesses.load(Ordering::Relaxed);
            rereads += usize::from(accesses == 3);
            let told = || format!("{tail} {head} of {begin:?}, {scenes:?}");
            assert!(tail <= head && head - tail <= SIZE, "{}", told());
            let passed = |from: Scene, to: Scene| from.0 <= to.0 && from.1 <= to.1;
            assert!(passed(begin, (tail, head)), "{}", told());
            assert!(passed((tail, head), scenes[accesses - 1]), "{}", told());
        }
    }
    assert!(rereads > 5, "a tail that has passed the head is looked into");
}

/// The owner gives back while a look copies: what it gave back is not told.
#[test]
fn a_look_tells_what_was_there_to_its_end() {
    let (mut kernel, pages) = perf_buffer(4096);
    for number in 0..4_u64 {
        kernel.sample(&number.to_ne_bytes()).unwrap();
    }
    let head = kernel.head();
    for given_back in 0..=4_u64 {
        // Head, tail, the data, and the tail again.
        let scenes = vec![(0, head), (0, head), (0, head), (24 * given_back, head)];
        let look = Staged::peek(pages.share(), scenes).snapshot();
        assert_eq!((look.tail, look.head, look.released_meanwhile), (0, head, 24 * given_back));
        let positions: Vec<u64> = look.records.iter().map(|record| record.position).collect();
        assert_eq!(positions, Vec::from_iter((given_back..4).map(|number| 24 * number)));
        assert_eq!(look.corrupt, None);
    }
}

/// Kernel and owner at work in another thread: every record that is told of was there, whole. Under Miri this is what
/// the fences are known to be needed by.
#[test]
fn what_a_moving_ring_shows_is_true() {
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
            let look = peek.snapshot();
            assert_eq!(look.corrupt, None, "{look:?}");
            let mut before = None;
            for record in look.records.iter().filter(|record| record.lost().is_none()) {
                let (_, padded) = record.raw().expect("a sample");
                let number = u64::from_ne_bytes(padded[..8].try_into().unwrap());
                let payload = number.to_ne_bytes().repeat(words(number));
                assert_eq!(padded.len(), payload.len() + 4, "{look:?}");
                assert_eq!(padded[..payload.len()], payload, "{look:?}");
                assert!(before.is_none_or(|before| before + 1 == number), "{look:?}");
                before = Some(number);
            }
        }
    });
}

/// Kernel and owner at work in another thread, who write one record over two and two over one: what is counted was
/// there.
#[test]
fn what_a_moving_ring_counts_is_true() {
    const RECORDS: usize = if cfg!(miri) { 200 } else { 100_000 };
    let (kernel, pages) = perf_buffer(128);
    let mut kernel = kernel.watched();
    let peek = Peek::over(pages.share()).unwrap();
    let mut reader = Reader::new(pages, false).unwrap();
    // Of 16 or 32 bytes, in an order that no two laps share.
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
            // Until it may have been written over.
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
fn records_are_counted_that_were_given_back() {
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
    // No more than was asked for, and nothing of what may have been written over.
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
    assert_eq!(peek.count_records(begin, to, u64::MAX), None, "that is more than half of it");
    assert_eq!((peek.count_records(to, begin, 1), peek.count_records(0, begin, 1)), (None, None), "nonsense");
}

#[test]
fn what_was_given_back_meanwhile_is_not_told() {
    let (mut kernel, pages) = perf_buffer(4096);
    let peek = Peek::over(pages).unwrap();
    for byte in 0..3 {
        kernel.sample(&[byte; 4]).unwrap();
    }
    let mut look = peek.snapshot();
    let second = look.records[1].position;
    let mut bytes = vec![0; look.fill() as usize];
    peek.page.copy(look.tail, &mut bytes);
    look.records.clear();
    walk(&mut look, &bytes, second);
    assert_eq!(look.records.len(), 2);
    assert_eq!((look.records[0].position, look.released_meanwhile), (second, second - look.tail));
    // The owner may have gone further than this look reached.
    look.records.clear();
    let beyond = look.head + 4096;
    walk(&mut look, &bytes, beyond);
    assert_eq!((look.records.len(), look.released_meanwhile), (0, look.fill()));
}

#[test]
fn nonsense_is_told_once() {
    let mut look = PeekSnapshot {
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
    walk(&mut look, &bytes, 0);
    assert_eq!(look.corrupt, Some(Corrupt::Record { at: 0, kind: 0, size: 12, left: 64 }));
}
