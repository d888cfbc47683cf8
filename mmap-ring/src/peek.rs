//! Observes any ring without disturbing its reader.
//!
//! An observer maps all pages read-only and stores nothing. The kernel and the reader do not know of the observer and
//! do not wait for it, so a record can be released while the observer reads it. Therefore the observer reads, fences,
//! and loads the consumer position again. If the consumer position has passed the record, the observer discards the
//! bytes and reports the record as overtaken.

use std::fmt;
use std::iter::FusedIterator;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use crate::error::{Corrupt, Error};
use crate::memory::readonly::ReadOnlyMapped;
use crate::memory::{Data, Memory};
use crate::positions::{Positions, oldest, positions};
use crate::record::{BUSY, DISCARD, HEADER, LENGTH, space};

/// A read-only observer of a BPF ring buffer. `Send` and `Sync`.
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

/// An item of [`Peek::pending`]: a record between the consumer and the producer position, or a reason why records are
/// missing.
#[doc(alias("BPF_RINGBUF_BUSY_BIT", "BPF_RINGBUF_DISCARD_BIT"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingRecord {
    /// A record that its producer is still writing.
    Busy(RecordHeader),
    /// A record that is committed and not read.
    Committed(RecordHeader),
    /// A record that the producer discarded, and that the consumer will skip.
    Discarded(RecordHeader),
    /// Records that were released before the observer could read their headers.
    Overtaken {
        /// Position of the first released record.
        from: u64,
        /// Position of the first record that is not released.
        to: u64,
    },
    /// A value that no kernel writes. Nothing after it can be read.
    Corrupt(Corrupt),
}

/// The position and length of a record.
#[doc(alias = "bpf_ringbuf_hdr")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordHeader {
    /// Position of the record's header, in bytes since the ring was created.
    pub position: u64,
    /// Length of the record's payload in bytes.
    pub length: u32,
}

/// The number of records between two positions of a ring. Returned by [`Peek::count_records`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordCount {
    /// The number of records, of every state.
    pub records: u64,
    /// The bytes that the counted records take, headers included.
    pub bytes: u64,
}

impl Peek<ReadOnlyMapped> {
    /// Maps all pages of the ring of a `BPF_MAP_TYPE_RINGBUF` or `BPF_MAP_TYPE_USER_RINGBUF` map read-only. `map` is
    /// the map's fd, and `bytes` its `max_entries`. The fd is not needed after this call.
    ///
    /// The fd must be open for reading and writing. `bpf_map_mmap` in `kernel/bpf/syscall.c` requires a shared mapping,
    /// and an fd that was opened with `BPF_F_RDONLY` cannot make one.
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), except [`Error::OverwriteMode`] and [`Error::AlreadyOpen`].
    pub fn open(map: impl AsFd, bytes: u32) -> Result<Self, Error> {
        Ok(Self::over(ReadOnlyMapped::new(map.as_fd(), bytes)?))
    }
}

impl<M: Memory> Peek<M> {
    pub(crate) fn over(memory: M) -> Self {
        Self { memory }
    }

    /// Returns the positions on the ring's pages, as they may have been at one moment. If the ring is not corrupt, the
    /// consumer is not ahead of the producer, and at most the ring's size behind the producer.
    #[must_use]
    pub fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Returns the size of the ring's data in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.memory.size()
    }

    /// Returns the headers of the unread records, oldest first, up to the current producer position.
    pub fn pending(&self) -> Pending<'_, M> {
        let Positions { consumer, producer, overwrite, .. } = self.positions();
        let cursor = oldest(consumer, overwrite);
        // The producer position is acquired: the headers before it are new, and not old bytes of earlier records.
        let size = self.memory.size();
        let corrupt = [("consumer_pos", cursor), ("producer_pos", producer)]
            .into_iter()
            .find(|(_, position)| position % 8 != 0)
            .map(|(which, position)| Corrupt::Misaligned { which, position });
        let span = Corrupt::Span { consumer: cursor, producer, size };
        let ahead = producer.wrapping_sub(cursor);
        Pending { memory: &self.memory, cursor, producer, corrupt: corrupt.or((ahead > size).then_some(span)) }
    }

    /// Counts the records from position `from` to position `to`. A record must begin at `from`, and `to` must be an
    /// earlier producer position. Released records count as well, because their headers stay until the producer
    /// overwrites them. The count stops after `most` records.
    ///
    /// An observer that samples the ring can compute records per second from such counts. Returns `None` if the
    /// producer was more than half of the ring past `from` at the end of the count, because the producer may have
    /// overwritten the headers.
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
        // ATOMICS: keeps the load of producer_pos after the loads of the headers. The other side is
        // __bpf_ringbuf_reserve (`kernel/bpf/ringbuf.c`). Under the ring's lock, it writes a header at producer_pos and
        // then moves producer_pos past the record (smp_store_release). The program fills the record afterwards. So the
        // kernel overwrites a counted header only when producer_pos is a ring's size past it, and this load sees such a
        // producer_pos. A payload overwrites a counted header only when producer_pos is even further. But no barrier
        // orders the store of producer_pos before the payload. A CPU that reorders stores may show producer_pos as it
        // was before this one record, which is still past half of the ring unless the record is larger than the other
        // half. Only for such records, and only on such CPUs, can a count be wrong.
        M::fence(Ordering::Acquire);
        (self.memory.producer().wrapping_sub(from) <= size / 2).then_some(tally)
    }

    /// Copies the payload of a committed record that [`pending`](Self::pending) returned. If the record was released
    /// before the end of the copy, this empties `payload` and returns false.
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

/// Copies a payload word by word, even while a producer writes it.
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

/// Returns the position of the oldest whole record if it is past `position`. In this case, the bytes that were read at
/// `position` before this call are invalid.
fn overtaken<M: Memory>(memory: &M, position: u64) -> Option<u64> {
    // ATOMICS: a producer that overwrote the record had acquired the consumer position that freed the record
    // (__bpf_ringbuf_reserve). If this thread has read one of the new bytes, the load after this fence sees this
    // consumer position or a later one.
    M::fence(Ordering::Acquire);
    let oldest = oldest(memory.consumer(), memory.overwrite());
    (oldest.wrapping_sub(position).cast_signed() > 0).then_some(oldest)
}

/// An iterator over the headers of the unread records of a ring. Returned by [`Peek::pending`].
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
            // The iterator ends at the producer position with which it began.
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
