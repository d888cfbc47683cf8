//! A look at the perf buffer of another process, disturbing nobody.
//!
//! A bystander maps the ring read-only, stores no `data_tail` and never polls the event, since that would take a wake-up
//! away from its owner. The ring moves on meanwhile: what was copied is true only if `data_tail`, looked at once more,
//! has not passed it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use crate::borrow;
use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::memory::Memory;
use crate::page::Page;
use crate::record::{HEADER, LOST, SAMPLE};

/// A bystander of one CPU's perf buffer.
#[derive(Debug)]
pub struct Peek<M = Mapping> {
    page: Page<M>,
    /// `None` for pages without a kernel.
    event: Option<OwnedFd>,
}

/// Where a perf buffer's two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// `data_tail`: everything before it was given back by the owner.
    pub tail: u64,
    /// `data_head`: where the kernel's next record will begin.
    pub head: u64,
}

/// How many records lie in a stretch of a perf buffer. Made by [`Peek::tally`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Records of every kind.
    pub records: u64,
    /// The bytes that they take, headers included: all of the stretch, or as much of it as was counted.
    pub bytes: u64,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Look {
    /// Where the kernel's next record will begin, in bytes since the buffer was made.
    pub head: u64,
    /// Where its owner's next record begins.
    pub tail: u64,
    /// Bytes of the ring.
    pub size: u64,
    /// The ring is written downward (`write_backward`): `head` counts down from 0, and nothing waits; its records are its
    /// owner's to read, after it has paused the kernel.
    pub backward: bool,
    /// What waits, oldest first.
    pub records: Vec<Waiting>,
    /// Bytes that were given back while they were looked at.
    pub released_meanwhile: u64,
    /// What no kernel writes, if it was found; nothing behind it can be told.
    pub corrupt: Option<Corrupt>,
}

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Where it begins, in bytes since the buffer was made.
    pub position: u64,
    /// `enum perf_event_type`: 9 for a sample, 2 for a count of losses.
    pub kind: u32,
    /// Whether it runs over the ring's end.
    pub wraps: bool,
    /// All that follows its header of 8 bytes. What is in a sample depends on how its owner opened the event; one of a BPF
    /// program alone begins with the payload's length and ends with up to 7 bytes of padding.
    pub body: Vec<u8>,
}

impl Look {
    /// Bytes that wait.
    #[must_use]
    pub fn fill(&self) -> u64 {
        if self.backward { 0 } else { self.head.wrapping_sub(self.tail) }
    }
}

impl Waiting {
    /// Bytes of the ring that it takes, header included.
    #[must_use]
    pub fn space(&self) -> u64 {
        (self.body.len() as u64).wrapping_add(HEADER as u64)
    }

    /// Of a count of losses, how many.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        let count = self.body.get(8..)?.first_chunk().copied().map(u64::from_ne_bytes)?;
        (self.kind == LOST).then_some(count)
    }

    /// Of a sample that holds nothing but raw data, or a time in front of it: the time, and the data with its padding. Which
    /// of the two it is shows in the length that the data has in front.
    #[must_use]
    pub fn raw(&self) -> Option<(Option<u64>, &[u8])> {
        if self.kind != SAMPLE {
            return None;
        }
        let raw_at = |at: usize| {
            let (length, raw) = self.body.get(at..)?.split_first_chunk()?;
            (u32::from_ne_bytes(*length) as usize == raw.len()).then_some(raw)
        };
        let time = || self.body.first_chunk().copied().map(u64::from_ne_bytes);
        raw_at(0).map(|raw| (None, raw)).or_else(|| raw_at(8).map(|raw| (time(), raw)))
    }
}

impl Peek<Mapping> {
    /// Borrows the perf event that process `pid` has as descriptor `fd`, and maps its ring read-only. `None` if it has none, or
    /// writes into that of another event and the kernel says so (from about 6.18 on; older ones map the same ring then).
    ///
    /// Its owner may die meanwhile: event and ring live on until this is dropped. An owner that redirects this very event
    /// into another ring (`PERF_EVENT_IOC_SET_OUTPUT`) while it is mapped here gets EINVAL, so be brief with those that were
    /// just opened.
    ///
    /// Needs Linux 5.6 and the right to trace the process (CAP_SYS_PTRACE, or the same user).
    ///
    /// # Errors
    /// [`Error::System`]: EPERM without that right, ENOSYS before 5.6, ESRCH or EBADF if process or descriptor is gone,
    /// EINVAL if the ring has a size that no mapping of that process has: it was mapped by another one.
    pub fn of_process(pid: u32, fd: u32) -> Result<Option<Self>, Error> {
        let what = || format!("descriptor {fd} of process {pid}");
        let failed = |attempt: &str| {
            let attempt = format!("{attempt} {}", what());
            move |error: std::io::Error| Error::system(attempt, &error)
        };
        let event = borrow::descriptor(pid, fd).map_err(failed("borrowing"))?;
        if !borrow::has_ring(event.as_fd()).map_err(failed("asking for the ring behind"))? {
            return Ok(None);
        }
        let sizes = borrow::mapped_pages(pid).map_err(failed("finding the size of the ring behind"))?;
        let mapping = match borrow::map(&event, &sizes) {
            // It has been redirected, and only the event whose ring it is may be mapped.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Ok(None),
            mapping => mapping.map_err(failed("mapping the ring behind"))?,
        };
        match Page::new(mapping) {
            Ok(page) => Ok(Some(Self { page, event: Some(event) })),
            Err(corrupt) => Err(Error::Foreign { what: what(), corrupt }),
        }
    }

    /// What the kernel has counted as lost through this event; `None` if its owner did not ask it to count
    /// (`PERF_FORMAT_LOST`, Linux 6.0), or not in a way that can be told from outside.
    ///
    /// # Errors
    /// [`Error::System`] if read(2) fails.
    pub fn lost(&self) -> Result<Option<u64>, Error> {
        let Some(event) = &self.event else { return Ok(None) };
        borrow::lost(event.as_fd())
            .map_err(|error| Error::system("reading the counts of a borrowed perf event", &error))
    }

    /// A number that is the same for events that write into the same ring, as twins do. `None` without CAP_SYS_ADMIN.
    #[must_use]
    pub fn ring_identity(&self) -> Option<u64> {
        // A page that was never touched has no frame yet.
        self.page.head();
        borrow::page_frame(self.page.memory().base())
    }
}

impl<M: Memory> Peek<M> {
    /// Looks at pages that have no kernel behind them.
    ///
    /// # Errors
    /// [`Corrupt::Layout`] if the control page places the data outside of the memory.
    #[cfg(feature = "fake")]
    pub fn over(memory: M) -> Result<Self, Corrupt> {
        Ok(Self { page: Page::new(memory)?, event: None })
    }

    /// `data_tail` and `data_head`, as they may have been at one moment, however long whoever looks was kept from it in between.
    #[must_use]
    pub fn positions(&self) -> Positions {
        // It is acquired: the kernel had read a `data_tail` that is at most the ring's size behind before it stored this head
        // (`__perf_output_begin`), and whatever is loaded from now on is no older than that.
        let before = self.page.head();
        let tail = self.page.tail();
        if tail.wrapping_sub(before).cast_signed() <= 0 {
            return Positions { tail, head: before };
        }
        // What lies between was read meanwhile, and so it was written before.
        // ATOMICS: pairs with the owner's own release of `data_tail`: it had seen a head that is not behind it.
        fence(Ordering::Acquire);
        let after = self.page.head();
        let sound = after.wrapping_sub(tail).cast_signed() >= 0;
        Positions { tail, head: if sound { tail } else { after } }
    }

    /// Counts the records from position `from`, where one must begin, to position `to`, where `data_head` was: also those that
    /// were given back already, for they stay until the kernel comes round. It stops after `most`.
    ///
    /// This is how somebody who looks now and then tells records a second, which no position shows. `None` if `data_head` had
    /// come further than half the buffer past `from` when the count was done, as what lies there may be another round's; and of
    /// a buffer that is written downward.
    #[must_use]
    pub fn tally(&self, from: u64, to: u64, most: u64) -> Option<Tally> {
        let size = self.page.data_size() as u64;
        let mut tally = Tally::default();
        let all = to.wrapping_sub(from);
        if all > size || to.cast_signed() < 0 {
            return None;
        }
        while tally.bytes < all && tally.records < most {
            let mut header = [0; HEADER];
            self.page.copy(from.wrapping_add(tally.bytes), &mut header);
            let [.., s0, s1] = header;
            let space = u64::from(u16::from_ne_bytes([s0, s1]));
            if space < HEADER as u64 || !space.is_multiple_of(8) || space > all.wrapping_sub(tally.bytes) {
                return None;
            }
            tally.records = tally.records.wrapping_add(1);
            tally.bytes = tally.bytes.wrapping_add(space);
        }
        // ATOMICS: the kernel writes a record before it moves `data_head` behind it, so that what is being written over may be a
        // little more than the head tells: a record of at most 64 KiB. Half of the buffer is further than that but in the
        // smallest ones.
        fence(Ordering::Acquire);
        (self.page.head().wrapping_sub(from) <= size / 2).then_some(tally)
    }

    /// Looks: copies what waits now.
    #[must_use]
    pub fn look(&self) -> Look {
        let Positions { tail, head } = self.positions();
        let size = self.page.data_size() as u64;
        // It counts down from 0, and no other one ever comes near.
        let backward = head.cast_signed() < 0;
        let mut look = Look { head, tail, size, backward, records: Vec::new(), released_meanwhile: 0, corrupt: None };
        if backward {
            return look;
        }
        let ahead = head.wrapping_sub(tail);
        if ahead > size || !ahead.is_multiple_of(8) || !tail.is_multiple_of(8) {
            look.corrupt = Some(Corrupt::Positions { tail, head, data_size: size });
            return look;
        }
        let mut bytes = vec![0; ahead as usize];
        self.page.copy(tail, &mut bytes);
        // ATOMICS: the kernel had read a `data_tail` behind these bytes before it wrote over them (`__perf_output_begin` has
        // a full barrier between the two). Having read any byte that it wrote so, the load behind this fence sees that
        // `data_tail` or a later one.
        fence(Ordering::Acquire);
        let left = self.page.tail();
        walk(&mut look, &bytes, left);
        look
    }
}

/// Takes the records from `bytes`, which begin at the look's tail; those before `left` were given back meanwhile.
fn walk(look: &mut Look, bytes: &[u8], left: u64) {
    let passed = left.wrapping_sub(look.tail).min(bytes.len() as u64);
    look.released_meanwhile = passed;
    // Owners give back whole records, so that a record begins there.
    let (mut position, mut rest) = (look.tail.wrapping_add(passed), bytes.get(passed as usize..).unwrap_or_default());
    while let Some((&[k0, k1, k2, k3, _, _, s0, s1], behind)) = rest.split_first_chunk::<HEADER>() {
        let (kind, size) = (u32::from_ne_bytes([k0, k1, k2, k3]), u16::from_ne_bytes([s0, s1]));
        let body = usize::from(size).checked_sub(HEADER).filter(|body| body.is_multiple_of(8));
        let Some((body, behind)) = body.and_then(|body| behind.split_at_checked(body)) else {
            look.corrupt = Some(Corrupt::Record { at: position, kind, size, left: rest.len() as u64 });
            return;
        };
        let offset = position & look.size.wrapping_sub(1);
        let wraps = offset.wrapping_add(u64::from(size)) > look.size;
        look.records.push(Waiting { position, kind, wraps, body: body.to_vec() });
        position = position.wrapping_add(u64::from(size));
        rest = behind;
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
#[expect(unsafe_code, reason = "plays both sides of the pages")]
mod tests {
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
        assert_eq!((peek.look().fill(), peek.look().records.len()), (0, 0));
        kernel.sample(b"one").unwrap();
        kernel.sample(b"another").unwrap();
        let look = peek.look();
        assert_eq!(look.records.len(), 2);
        let payloads: Vec<_> = look.records.iter().map(|record| record.raw().unwrap().1).collect();
        assert!(payloads[0].starts_with(b"one") && payloads[1].starts_with(b"another"));
        assert_eq!(look.fill(), look.records.iter().map(Waiting::space).sum::<u64>());
        assert_eq!(look, peek.look());
        assert_eq!(reader.drain().unwrap().records().count(), 2, "nothing was taken away");
        assert_eq!(peek.look().fill(), 0);
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

    // SAFETY: as for the pages in it. Nobody writes data while a bystander looks, and only bystanders look.
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
            let look = Staged::peek(pages.share(), scenes).look();
            assert_eq!((look.tail, look.head, look.released_meanwhile), (0, head, 24 * given_back));
            let positions: Vec<u64> = look.records.iter().map(|record| record.position).collect();
            assert_eq!(positions, Vec::from_iter((given_back..4).map(|number| 24 * number)));
            assert_eq!(look.corrupt, None);
        }
    }

    /// Kernel and owner at work in another thread: every record that is told of was there, whole. Under Miri this is what the
    /// fences are known to be needed by.
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
                        reader.drain().unwrap().records().for_each(drop);
                    }
                }
            });
            while !owner.is_finished() {
                let look = peek.look();
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

    /// Kernel and owner at work in another thread, who write one record over two and two over one: what is counted was there.
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
                    reader.drain().unwrap().records().for_each(drop);
                    kernel.sample(payload(number)).unwrap();
                }
            });
            let mut from = 0;
            while !owner.is_finished() {
                let to = peek.positions().head;
                // Until it may have been written over.
                while let Some(tally) = peek.tally(from, to, u64::MAX)
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
            assert_eq!(reader.drain().unwrap().records().count(), usize::from(round % 7));
            let to = peek.positions().head;
            let tally = peek.tally(from, to, u64::MAX).unwrap();
            assert_eq!((tally.records, tally.bytes), (u64::from(round % 7), to - from));
            from = to;
        }
        // No more than was asked for, and nothing of what may have been written over.
        let begin = from;
        for _ in 0..20 {
            kernel.sample(&[0; 40]).unwrap();
        }
        let to = peek.positions().head;
        let few = peek.tally(begin, to, 3).unwrap();
        assert_eq!((few.records, few.bytes), (3, (to - begin) / 20 * 3));
        for _ in 0..20 {
            kernel.sample(&[0; 40]).unwrap();
        }
        assert_eq!(peek.tally(begin, to, u64::MAX), None, "that is more than half of it");
        assert_eq!((peek.tally(to, begin, 1), peek.tally(0, begin, 1)), (None, None), "nonsense");
    }

    #[test]
    fn what_was_given_back_meanwhile_is_not_told() {
        let (mut kernel, pages) = perf_buffer(4096);
        let peek = Peek::over(pages).unwrap();
        for byte in 0..3 {
            kernel.sample(&[byte; 4]).unwrap();
        }
        let mut look = peek.look();
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
        let mut look = Look {
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
}
