//! How a consumer takes records and goes to sleep. Its position is published in `publish.rs`.
//!
//! This is the protocol's state without any fd: [`Ring`](crate::Ring)
//! adds the waiting.

use std::sync::atomic::Ordering;

use crate::batch::Batch;
use crate::error::Corrupt;
use crate::memory::{Consume, Data};
use crate::positions::{Positions, positions};
use crate::publish::{ConsumerState, publish};
use crate::record::{BUSY, LENGTH, space};

/// A consumer of the ring in `memory`.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    state: ConsumerState,
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

impl<M: Consume> Consumer<M> {
    /// A consumer that goes on where the page says that the last one stopped.
    pub(crate) fn new(memory: M) -> Self {
        let position = memory.consumer();
        Self {
            memory,
            state: ConsumerState {
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

    pub(crate) fn state(&self) -> &ConsumerState {
        &self.state
    }

    /// From now on batches publish the start of the last record instead of its end if it takes at most `bytes` bytes of
    /// the ring; 0 ends that.
    pub(crate) fn keep_back(&mut self, bytes: u64) {
        self.state.keep = bytes;
    }

    /// Back to the true position.
    pub(crate) fn end_trailing(&mut self) {
        self.state.keep = 0;
        publish(&self.memory, &mut self.state, 0);
    }

    /// Whether the published position is behind the true one.
    pub(crate) fn is_trailing(&self) -> bool {
        self.state.published != self.state.read
    }

    pub(crate) fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Borrows all records committed now.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_, M>, Corrupt> {
        self.check_alone()?;
        let producer = self.snapshot()?;
        self.look(producer)?;
        Ok(Batch::new(&self.memory, &mut self.state, producer))
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
    pub(crate) fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        publish(&self.memory, &mut self.state, 0);
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
        let (stored, found) = (self.state.published, self.memory.consumer());
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
        let consumer = self.state.read;
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
        let position = self.state.read;
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
