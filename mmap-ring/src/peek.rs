//! A look at somebody else's ring, disturbing nobody.
//!
//! A bystander maps everything read-only, stores nothing and is known to
//! nobody, so nothing waits for it: the ring moves on underneath. What it
//! reads is therefore a guess until it has made sure that the record was not
//! released meanwhile: read, fence, look at the consumer position again. If that
//! has passed the record, the guess is thrown away and reported as overtaken.

use std::fmt;
use std::iter::FusedIterator;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use crate::error::{Corrupt, Error};
use crate::memory::readonly::ReadOnlyMapped;
use crate::memory::{Data, Memory};
use crate::positions::{Positions, oldest, positions};
use crate::record::{BUSY, DISCARD, HEADER, LENGTH, space};

/// A bystander of a BPF ring buffer.
///
/// ```no_run
/// # fn map_fd() -> std::os::fd::OwnedFd { unimplemented!() }
/// use mmap_ring::Peek;
///
/// let peek = Peek::open(map_fd(), 256 * 1024)?;
/// println!("{} bytes waiting", peek.positions().waiting());
/// for seen in peek.pending() {
///     println!("{seen:?}");
/// }
/// # Ok::<(), mmap_ring::Error>(())
/// ```
#[doc(alias("ring__consumer_pos", "ring__producer_pos"))]
#[derive(Debug)]
pub struct Peek<M: Memory = ReadOnlyMapped> {
    memory: M,
}

/// What stands between the consumer and the producer.
#[doc(alias("BPF_RINGBUF_BUSY_BIT", "BPF_RINGBUF_DISCARD_BIT"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingRecord {
    /// A record that its producer is still writing.
    Busy(RecordHeader),
    /// A record that waits to be read.
    Committed(RecordHeader),
    /// A record that the consumer will skip.
    Discarded(RecordHeader),
    /// Records were released before they could be looked at.
    Overtaken {
        /// Where the first of them started.
        from: u64,
        /// Where the ones that are left start.
        to: u64,
    },
    /// What no kernel writes; nothing behind it can be told.
    Corrupt(Corrupt),
}

/// Where a record lies.
#[doc(alias = "bpf_ringbuf_hdr")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordHeader {
    /// Where its header starts, in bytes since the ring was made.
    pub position: u64,
    /// Length of its payload in bytes.
    pub length: u32,
}

/// How many records lie in a stretch of a ring. Made by [`Peek::count_records`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordCount {
    /// Records of every state.
    pub records: u64,
    /// The bytes that they take, headers included: all of the stretch, or as
    /// much of it as was counted.
    pub bytes: u64,
}

impl Peek<ReadOnlyMapped> {
    /// Maps the ring behind the fd of a `BPF_MAP_TYPE_RINGBUF` or `BPF_MAP_TYPE_USER_RINGBUF` map whose
    /// `max_entries` is `bytes`, all of it read-only. The fd is not needed
    /// afterwards, but it must have been opened for reading and writing all the same:
    /// the kernel maps no ring through one that was opened with `BPF_F_RDONLY`
    /// (`bpf_map_mmap` in `kernel/bpf/syscall.c` wants a shared mapping, and a
    /// read-only fd makes none).
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), but for [`Error::OverwriteMode`] and [`Error::AlreadyOpen`].
    pub fn open(map: impl AsFd, bytes: u32) -> Result<Self, Error> {
        Ok(Self::over(ReadOnlyMapped::new(map.as_fd(), bytes)?))
    }
}

impl<M: Memory> Peek<M> {
    pub(crate) fn over(memory: M) -> Self {
        Self { memory }
    }

    /// The positions that the ring's pages show, as they may have been at one
    /// moment: a consumer that works is neither shown ahead of the producer nor
    /// more than the ring's size behind it.
    #[must_use]
    pub fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Size of the ring's data in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.memory.size()
    }

    /// Walks over the headers of what waits to be consumed, oldest first, up to
    /// where the producer is now.
    pub fn pending(&self) -> Pending<'_, M> {
        let Positions { consumer, producer, overwrite, .. } = self.positions();
        let cursor = oldest(consumer, overwrite);
        // The producer position is acquired: what lies before it are this round's
        // headers, and not what lay there a round ago.
        let size = self.memory.size();
        let corrupt = [("consumer_pos", cursor), ("producer_pos", producer)]
            .into_iter()
            .find(|(_, position)| position % 8 != 0)
            .map(|(which, position)| Corrupt::Misaligned { which, position });
        let span = Corrupt::Span { consumer: cursor, producer, size };
        let ahead = producer.wrapping_sub(cursor);
        Pending { memory: &self.memory, cursor, producer, corrupt: corrupt.or((ahead > size).then_some(span)) }
    }

    /// Counts the records from position `from`, where one must begin, to position
    /// `to`, where the producer was: also those that were released already, for
    /// their headers stay until the producer comes round. It stops after `most`.
    ///
    /// This is how somebody who looks now and then tells records a second, which
    /// no position shows. `None` if the producer had come further than half a
    /// ring past `from` when the count was done: what lies there may be another
    /// round's.
    #[must_use]
    pub fn count_records(&self, from: u64, to: u64, most: u64) -> Option<RecordCount> {
        let size = self.memory.size();
        let mut tally = RecordCount::default();
        let all = to.wrapping_sub(from);
        if all > size {
            return None;
        }
        while tally.bytes < all && tally.records < most {
            let left = all.wrapping_sub(tally.bytes);
            let word = self.memory.data().header(from.wrapping_add(tally.bytes));
            let space = space(word & LENGTH);
            if space > left {
                return None;
            }
            tally.records = tally.records.wrapping_add(1);
            tally.bytes = tally.bytes.wrapping_add(space);
        }
        // ATOMICS: keeps the load of producer_pos behind those of the headers; the
        // other side is __bpf_ringbuf_reserve (`kernel/bpf/ringbuf.c`). Under the
        // ring's lock it writes a header where the position stands, then moves the
        // position over the record (smp_store_release); the program fills the
        // record afterwards. So a header over another one comes when the position
        // is a ring's size past that: seen. A payload over it comes when the
        // position is even further, but no barrier stands between the two, and on
        // a CPU that lets stores pass each other the position may be seen as it was
        // before that one record. That is past the half of the ring all the same,
        // unless the record is larger than the other half: of such ones alone, on
        // such CPUs alone, a count may be wrong.
        M::fence(Ordering::Acquire);
        (self.memory.producer().wrapping_sub(from) <= size / 2).then_some(tally)
    }

    /// Copies the payload of a committed record that [`pending`](Self::pending)
    /// showed. False, with `payload` emptied, if the record was released
    /// meanwhile.
    #[must_use]
    pub fn copy(&self, header: RecordHeader, payload: &mut Vec<u8>) -> bool {
        payload.clear();
        if space(header.length) > self.memory.size() {
            return false;
        }
        copy_payload(&self.memory, header, payload);
        let kept = overtaken(&self.memory, header.position).is_none();
        if !kept {
            payload.clear();
        }
        kept
    }
}

/// Copies a payload word by word, whoever may be writing it.
pub(crate) fn copy_payload<M: Memory>(memory: &M, header: RecordHeader, payload: &mut Vec<u8>) {
    let data = memory.data();
    payload.clear();
    payload.reserve(header.length.next_multiple_of(4) as usize);
    let start = header.position.wrapping_add(HEADER);
    for at in (0..u64::from(header.length)).step_by(4) {
        let word = data.word(start.wrapping_add(at));
        payload.extend_from_slice(&word.to_ne_bytes());
    }
    payload.truncate(header.length as usize);
}

/// Where the oldest whole record starts now, if that is behind `position`.
/// Whatever was read from there before this call is void then.
fn overtaken<M: Memory>(memory: &M, position: u64) -> Option<u64> {
    // ATOMICS: whoever wrote over the record had acquired the consumer position
    // that freed it (__bpf_ringbuf_reserve); having read one of the bytes that it
    // wrote, the load behind this fence sees that position or a later one.
    M::fence(Ordering::Acquire);
    let oldest = oldest(memory.consumer(), memory.overwrite());
    (oldest.wrapping_sub(position).cast_signed() > 0).then_some(oldest)
}

/// Iterator over the headers of a ring. Made by [`Peek::pending`].
pub struct Pending<'p, M: Memory = ReadOnlyMapped> {
    memory: &'p M,
    cursor: u64,
    producer: u64,
    corrupt: Option<Corrupt>,
}

impl<M: Memory> Iterator for Pending<'_, M> {
    type Item = PendingRecord;

    fn next(&mut self) -> Option<PendingRecord> {
        if let Some(corrupt) = self.corrupt.take() {
            self.cursor = self.producer;
            return Some(PendingRecord::Corrupt(corrupt));
        }
        let position = self.cursor;
        let available = self.producer.wrapping_sub(position);
        if available == 0 {
            return None;
        }
        let word = self.memory.data().header(position);
        if let Some(to) = overtaken(self.memory, position) {
            // Beyond the producer of a moment ago there is nothing to tell.
            let left = self.producer.wrapping_sub(to).cast_signed();
            self.cursor = if left < 0 { self.producer } else { to };
            return Some(PendingRecord::Overtaken { from: position, to });
        }
        let length = word & LENGTH;
        if space(length) > available {
            self.cursor = self.producer;
            return Some(PendingRecord::Corrupt(Corrupt::Length { position, length, available }));
        }
        self.cursor = position.wrapping_add(space(length));
        let header = RecordHeader { position, length };
        Some(if word & BUSY != 0 {
            PendingRecord::Busy(header)
        } else if word & DISCARD != 0 {
            PendingRecord::Discarded(header)
        } else {
            PendingRecord::Committed(header)
        })
    }
}

impl<M: Memory> FusedIterator for Pending<'_, M> {}

impl<M: Memory> fmt::Debug for Pending<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("position", &self.cursor).finish_non_exhaustive()
    }
}
