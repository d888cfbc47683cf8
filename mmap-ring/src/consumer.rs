//! Where a consumer stands, and how it goes to sleep.
//!
//! This is the protocol's state without any descriptor: [`Ring`](crate::Ring)
//! adds the waiting.

use std::sync::atomic::Ordering;

use crate::batch::Batch;
use crate::error::Corrupt;
use crate::memory::{Consume, Data, Memory};
use crate::record::{BUSY, LENGTH, space};

/// A consumer of the ring in `memory`.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    standing: Standing,
}

/// What a consumer remembers between two batches.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Behind the last record that was handed out or skipped.
    pub(crate) read: u64,
    /// The start of that record; `read` itself before the first one.
    pub(crate) last: u64,
    /// What was stored to `consumer_pos`.
    pub(crate) published: u64,
    /// How many bytes a batch may keep back when it is dropped, publishing `last` instead of `read` (trailing release).
    pub(crate) keep: u64,
    /// The most bytes of the ring that the last record of a batch took so far.
    pub(crate) largest: u64,
    /// How many records were skipped because their producer discarded them.
    pub(crate) discarded: u64,
    /// How many times `consumer_pos` was stored.
    pub(crate) publications: u64,
}

/// What stands at the head of a ring: the oldest record not consumed. In the
/// order of how much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Head {
    /// No record.
    Empty,
    /// A record that its producer has reserved and not yet committed. Nothing
    /// behind it can be read until it is.
    Busy,
    /// A record that can be read, or a discarded one that can be skipped.
    Ready,
}

/// The positions of a ring, as its pages show them at one moment or close to
/// it. All are bytes since the ring was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// Everything before it is free for new records. As published: behind the
    /// true position while a batch is open or trailing.
    pub consumer: u64,
    /// Where the next record will be reserved.
    pub producer: u64,
    /// The oldest record not committed, as the last reservation found it: it
    /// can be old. 0 on kernels that do not have it (before 6.10 and its
    /// backports).
    pub pending: u64,
    /// In overwrite mode the oldest record still whole (Linux 6.19); otherwise
    /// 0.
    pub overwrite: u64,
}

impl Positions {
    /// Bytes of the ring, headers included, that were not released yet, nor
    /// overwritten: at most its size.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.producer.wrapping_sub(oldest(self.consumer, self.overwrite))
    }
}

impl<M: Consume> Consumer<M> {
    /// A consumer that goes on where the page says that the last one stopped.
    pub(crate) fn new(memory: M) -> Self {
        let position = memory.consumer();
        Self {
            memory,
            standing: Standing {
                read: position,
                last: position,
                published: position,
                keep: 0,
                largest: 0,
                discarded: 0,
                publications: 0,
            },
        }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// From now on batches publish the start of the last record instead of its end if it takes at most `bytes` bytes of
    /// the ring; 0 ends that.
    pub(crate) fn keep_back(&mut self, bytes: u64) {
        self.standing.keep = bytes;
    }

    /// Back to the true position.
    pub(crate) fn end_trailing(&mut self) {
        self.standing.keep = 0;
        publish(&self.memory, &mut self.standing, 0);
    }

    /// Whether the published position is behind the true one.
    pub(crate) fn is_trailing(&self) -> bool {
        self.standing.published != self.standing.read
    }

    pub(crate) fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Borrows all records committed now.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_, M>, Corrupt> {
        self.check_alone()?;
        let producer = self.snapshot()?;
        self.look(producer)?;
        Ok(Batch::new(&self.memory, &mut self.standing, producer))
    }

    /// What stands at the head.
    pub(crate) fn head(&self) -> Result<Head, Corrupt> {
        let producer = self.snapshot()?;
        self.look(producer)
    }

    /// Makes ready to sleep and tells what there is to do instead.
    ///
    /// The producer commits its record and then looks at `consumer_pos`; it
    /// wakes the consumer only if that is the record's own position. So the
    /// consumer first says where it is and then looks for records. Whoever comes
    /// second sees the other: either the record is found here, or the producer
    /// finds the position and sends the wake-up.
    pub(crate) fn settle(&mut self) -> Result<Head, Corrupt> {
        publish(&self.memory, &mut self.standing, 0);
        // ATOMICS: pairs with the full barrier of xchg() in bpf_ringbuf_commit.
        // Both sides store, then load what the other stored; with a full fence
        // between the two on both sides at least one of them sees the other.
        M::fence(Ordering::SeqCst);
        self.check_alone()?;
        self.head()
    }

    /// Errors if the page holds another position than this consumer stored: another one reads the ring, too.
    #[inline]
    fn check_alone(&self) -> Result<(), Corrupt> {
        // ATOMICS: relaxed, and pairs with the store of a second consumer: its value alone counts.
        let (stored, found) = (self.standing.published, self.memory.consumer());
        if found == stored { Ok(()) } else { Err(Corrupt::Consumer { stored, found }) }
    }

    /// The producer position, checked: every record between the consumer and it
    /// lies in the ring.
    fn snapshot(&self) -> Result<u64, Corrupt> {
        let producer = self.memory.producer();
        // ATOMICS: acquires smp_store_release(&rb->producer_pos) in
        // __bpf_ringbuf_reserve: headers up to this position carry at least the
        // busy bit, and not what lay there a round ago.
        M::fence(Ordering::Acquire);
        let consumer = self.standing.read;
        for (which, position) in [("consumer_pos", consumer), ("producer_pos", producer)] {
            if position % 8 != 0 {
                return Err(Corrupt::Misaligned { which, position });
            }
        }
        let size = self.memory.size();
        if producer.wrapping_sub(consumer) > size {
            return Err(Corrupt::Span { consumer, producer, size });
        }
        Ok(producer)
    }

    /// What stands at the head of a ring produced up to `producer`.
    fn look(&self, producer: u64) -> Result<Head, Corrupt> {
        let position = self.standing.read;
        let available = producer.wrapping_sub(position);
        if available == 0 {
            return Ok(Head::Empty);
        }
        let word = self.memory.data().header(position);
        if word & BUSY != 0 {
            return Ok(Head::Busy);
        }
        let length = word & LENGTH;
        if space(length) > available {
            return Err(Corrupt::Length { position, length, available });
        }
        Ok(Head::Ready)
    }
}

/// The positions that the pages show: as they may have been at one moment,
/// however long whoever looks was kept from looking in between.
pub(crate) fn positions<M: Memory>(memory: &M) -> Positions {
    let before = memory.producer();
    // ATOMICS: acquires smp_store_release(&rb->producer_pos) in
    // __bpf_ringbuf_reserve, which had seen so much released that no more than
    // the ring's size lies between: so does whoever loads behind this fence. And
    // headers up to this position carry at least the busy bit.
    M::fence(Ordering::Acquire);
    let consumer = memory.consumer();
    let overwrite = memory.overwrite();
    let pending = memory.pending();
    let oldest = oldest(consumer, overwrite);
    let producer = if later(before, oldest) == before {
        before
    } else {
        // It was released meanwhile, and so it was produced before.
        // ATOMICS: acquires the consumer's own release store of consumer_pos: it
        // had seen a producer that is not behind it, and so does the load below.
        M::fence(Ordering::Acquire);
        let after = memory.producer();
        if later(after, oldest) == after { oldest } else { after }
    };
    Positions { consumer, producer, pending, overwrite }
}

/// Where the oldest record lies that is neither released nor overwritten. An
/// overwrite position of 0 is that of a ring that has overwritten nothing.
pub(crate) fn oldest(consumer: u64, overwrite: u64) -> u64 {
    if overwrite == 0 { consumer } else { later(consumer, overwrite) }
}

/// The later one of two positions.
fn later(one: u64, other: u64) -> u64 {
    if other.wrapping_sub(one).cast_signed() > 0 { other } else { one }
}

/// Which part of the ring a trailing reader keeps back at most. A record that an immediate reader would have let in is
/// refused for it only if it takes more than the rest.
pub(crate) const KEPT_BACK: u64 = 32;

/// Stores the consumer position, unless the page holds it already: the start of the last record if that takes at most
/// `keep` bytes of the ring, otherwise its end.
///
/// Also not if another consumer has stored one since: it has read the same records, and its position, which may be
/// ahead, is left alone. The next batch and the next sleep return the error ([`Consumer::check_alone`]). This is what
/// tells two consumers that one wake-up wakes at once: both begin a batch at the same position, and both would store
/// the same one at its end.
pub(crate) fn publish<M: Consume>(memory: &M, standing: &mut Standing, keep: u64) {
    let kept = standing.read.wrapping_sub(standing.last);
    standing.largest = standing.largest.max(kept);
    // A program that sent a record so large may send another one, for which there must be room beside what is kept back.
    // `__bpf_ringbuf_reserve` leaves one byte of the ring free.
    if kept > keep || kept.saturating_add(standing.largest) >= memory.size() {
        // The position never goes back to the last record's start afterwards.
        standing.last = standing.read;
    }
    let position = standing.last;
    // ATOMICS: the load orders nothing; it pairs with the store of another consumer, which may still come between this
    // load and the store below. If that one stores the same position in these nanoseconds, neither notices the other here.
    if position != standing.published && memory.consumer() == standing.published {
        standing.published = position;
        standing.publications = standing.publications.wrapping_add(1);
        // ATOMICS: pairs with smp_load_acquire(&rb->consumer_pos) in
        // __bpf_ringbuf_reserve: whoever sees the new position and writes over
        // the records before it comes after all that was read from them.
        memory.set_consumer(position, Ordering::Release);
    }
}
