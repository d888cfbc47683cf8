//! Borrows many records at once and releases them at once.
//!
//! A batch loads the producer position once and lends the committed records before this position. So a batch ends even
//! if the producer never pauses. The records are slices of the ring itself and borrow the batch. The consumer position
//! is stored only when the batch is dropped: one store releases all records, and no record is overwritten while the
//! caller holds it.
#![expect(unsafe_code, reason = "turns a committed record into a slice, once here and once for the one-record form")]

use std::fmt;
use std::iter::Take;
use std::ops::Deref;
use std::sync::atomic::Ordering;

use crate::memory::mapped::Mapped;
use crate::memory::{Consume, Data};
use crate::publish::{ConsumerState, publish};
use crate::record::{DISCARD, LENGTH, space};

/// The records that were committed when [`Ring::batch`](crate::Ring::batch) was called.
///
/// Dropping the batch releases, in one store, all records that its iterators have returned, and no others. After an
/// early `break`, a `return` or a panic, the next batch begins with the first record that was not returned. A batch
/// that is forgotten ([`std::mem::forget`]) releases nothing. The next batch releases its records.
///
/// A batch is neither `Send` nor `Sync`, but other threads can borrow its records, which are slices. A record cannot
/// outlive its batch:
///
/// ```compile_fail,E0505
/// # fn f(ring: &mut mmap_ring::Ring) -> Result<(), mmap_ring::Error> {
/// let mut batch = ring.batch()?;
/// let record = batch.records().next();
/// drop(batch); // error[E0505]: cannot move out of `batch` because it is borrowed
/// println!("{record:?}");
/// # Ok(()) }
/// ```
#[must_use = "a batch hands out records only when it is iterated over"]
pub struct Batch<'r, M: Consume = Mapped> {
    memory: &'r M,
    state: &'r mut ConsumerState,
    producer: u64,
}

impl<'r, M: Consume> Batch<'r, M> {
    /// Creates a batch. `producer` is a position that was acquired and checked.
    pub(crate) fn new(memory: &'r M, state: &'r mut ConsumerState, producer: u64) -> Self {
        Self { memory, state, producer }
    }

    /// Returns the records, oldest first. The caller can hold any number of them at a time.
    ///
    /// The iterator skips discarded records. It ends before the first uncommitted record. It also ends before a corrupt
    /// record, for which the next [`Ring::batch`](crate::Ring::batch) returns the error. A second call continues after
    /// the last record that the first iterator returned.
    #[inline]
    pub fn records(&mut self) -> Records<'_, M> {
        Records {
            data: self.memory.data(),
            cursor: self.state.read,
            last: self.state.last,
            available: self.producer.wrapping_sub(self.state.read),
            state: self.state,
        }
    }

    /// Returns at most `records` of the records. The other records stay in the ring.
    #[inline]
    pub fn at_most(&mut self, records: usize) -> Take<Records<'_, M>> {
        self.records().take(records)
    }

    /// Returns the first records that together take at most `bytes` bytes of the ring, headers and padding included.
    /// The first record is returned whatever its size. So a reader with a too small limit is slow, but does not stop.
    #[inline]
    pub fn at_most_bytes(&mut self, bytes: u64) -> RecordsWithin<'_, M> {
        let records = self.records();
        RecordsWithin { room: bytes, first: true, records }
    }

    /// Returns the number of bytes between the next record and the producer position that this batch loaded: headers,
    /// padding, busy and discarded records included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.producer.wrapping_sub(self.state.read)
    }
}

impl<M: Consume> Drop for Batch<'_, M> {
    #[inline]
    fn drop(&mut self) {
        publish(self.memory, self.state, self.state.keep);
    }
}

impl<M: Consume> fmt::Debug for Batch<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("position", &self.state.read)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl<'b, M: Consume> IntoIterator for &'b mut Batch<'_, M> {
    type Item = &'b [u8];
    type IntoIter = Records<'b, M>;

    #[inline]
    fn into_iter(self) -> Records<'b, M> {
        self.records()
    }
}

/// An iterator over the records of a [`Batch`], oldest first. The slices live as long as the borrow of the batch. A
/// slice has the length that the producer reserved, from 0 to the size of the ring minus 16 bytes. It starts at a
/// multiple of 8 bytes.
pub struct Records<'b, M: Consume = Mapped> {
    data: M::Data<'b>,
    /// Position of the next record.
    cursor: u64,
    /// Position of the last record that was returned or skipped.
    last: u64,
    /// Bytes from the cursor to the producer position.
    available: u64,
    state: &'b mut ConsumerState,
}

impl<'b, M: Consume> Records<'b, M> {
    /// Returns the length in bytes of the next record that can be read, and the bytes of the ring that it takes. Skips
    /// discarded records before it.
    #[inline]
    fn find_next(&mut self) -> Option<(u32, u64)> {
        loop {
            if self.available == 0 {
                return None;
            }
            let word = self.data.header(self.cursor);
            // ATOMICS: acquires the xchg() of the length word in bpf_ringbuf_commit. If `word` has no busy bit, the
            // payload is what the producer wrote.
            M::fence(Ordering::Acquire);
            // The common record, neither busy nor discarded, costs one comparison.
            if word > LENGTH {
                if self.discard(word) {
                    continue;
                }
                return None;
            }
            let taken = space(word);
            if taken > self.available {
                // Corrupt. The next batch finds this record at its head and returns the error.
                return None;
            }
            return Some((word, taken));
        }
    }

    /// Returns the record that [`find_next`](Self::find_next) just found at the cursor.
    ///
    /// The record does not change during `'b`, which is a borrow of the batch. Only [`publish`] stores the consumer
    /// position, and needs the `ConsumerState`, which the batch borrows mutably. The batch calls `publish` when it is
    /// dropped, after `'b`. The record lies within the ring: `available` was at most the ring's size when the batch
    /// began, and has only decreased since.
    #[inline]
    fn take_record(&mut self, (length, taken): (u32, u64)) -> &'b [u8] {
        // SAFETY: `find_next` found `8 + length <= taken <= available`, at most the ring's size; it saw no busy bit and
        // synchronized with the commit that cleared it; and the position is not moved past the record before the batch
        // is dropped, after `'b`.
        let payload = unsafe { self.data.payload(self.cursor, length) };
        self.advance(taken);
        payload
    }

    #[inline]
    fn advance(&mut self, taken: u64) {
        self.last = self.cursor;
        self.cursor = self.cursor.wrapping_add(taken);
        self.available = self.available.wrapping_sub(taken);
    }

    /// Skips a discarded record. Returns false if the record is not a discarded one.
    #[cold]
    fn discard(&mut self, word: u32) -> bool {
        let taken = space(word & LENGTH);
        let discarded = word & !LENGTH == DISCARD && taken <= self.available;
        if discarded {
            self.advance(taken);
            self.state.discarded = self.state.discarded.wrapping_add(1);
        }
        discarded
    }
}

impl<'b, M: Consume> Iterator for Records<'b, M> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let found = self.find_next()?;
        Some(self.take_record(found))
    }
}

impl<M: Consume> Drop for Records<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.state.read = self.cursor;
        self.state.last = self.last;
    }
}

impl<M: Consume> fmt::Debug for Records<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("position", &self.cursor).finish_non_exhaustive()
    }
}

/// An iterator over the first records of a [`Batch`] that fit in a given number of bytes. Returned by
/// [`Batch::at_most_bytes`].
pub struct RecordsWithin<'b, M: Consume = Mapped> {
    records: Records<'b, M>,
    room: u64,
    first: bool,
}

impl<'b, M: Consume> Iterator for RecordsWithin<'b, M> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let found = self.records.find_next()?;
        let (_, taken) = found;
        if taken > self.room && !self.first {
            self.room = 0;
            return None;
        }
        self.first = false;
        self.room = self.room.saturating_sub(taken);
        Some(self.records.take_record(found))
    }
}

impl<M: Consume> fmt::Debug for RecordsWithin<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordsWithin").field("room", &self.room).finish_non_exhaustive()
    }
}

/// One record, released when it is dropped. Returned by [`Ring::record`](crate::Ring::record).
///
/// A batch costs one store for many records. This type costs one store for each record. Use it if the caller needs one
/// record at a time.
#[doc(alias = "BPF_RINGBUF_HDR_SZ")]
#[must_use = "the record is released when this is dropped"]
pub struct Record<'r, M: Consume = Mapped> {
    // Not a slice, because a slice would dangle while dropping the batch releases the record.
    position: u64,
    length: u32,
    batch: Batch<'r, M>,
}

impl<'r, M: Consume> Record<'r, M> {
    /// Returns the first record of the batch, if it has one.
    pub(crate) fn first(mut batch: Batch<'r, M>) -> Option<Self> {
        let mut records = batch.records();
        let (length, taken) = records.find_next()?;
        let position = records.cursor;
        records.advance(taken);
        drop(records);
        Some(Self { position, length, batch })
    }
}

impl<M: Consume> Deref for Record<'_, M> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `first` found the record committed and within the available bytes, as in `Records::take_record`. The
        // record is released when `self.batch` is dropped, which cannot be during the borrow of `self`.
        unsafe { self.batch.memory.data().payload(self.position, self.length) }
    }
}

impl<M: Consume> fmt::Debug for Record<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("position", &self.position).field("length", &self.length).finish_non_exhaustive()
    }
}
