//! The consumer's side of the protocol: takes records and prepares to sleep. `publish.rs` publishes its position.
//!
//! This is the protocol's state without any fd. [`Ring`](crate::Ring) adds the waiting.

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

/// The state of a ring's head, the oldest record that is not consumed. A later variant means more work for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Head {
    /// No record.
    Empty,
    /// A record that its producer has reserved and not yet committed. No later record can be read until it is
    /// committed.
    Busy,
    /// A record that can be read, or a discarded one that can be skipped.
    Ready,
}

impl<M: Consume> Consumer<M> {
    /// Creates a consumer that continues at the page's consumer position, where the last consumer stopped.
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

    /// Starts trailing release: from now on a batch publishes the start of its last record instead of its end, if that
    /// record takes at most `bytes` bytes of the ring. 0 ends trailing release.
    pub(crate) fn keep_back(&mut self, bytes: u64) {
        self.state.keep = bytes;
    }

    /// Ends trailing release and publishes the true position.
    pub(crate) fn end_trailing(&mut self) {
        self.state.keep = 0;
        publish(&self.memory, &mut self.state, 0);
    }

    /// Returns whether the published position is behind the true one.
    pub(crate) fn is_trailing(&self) -> bool {
        self.state.published != self.state.read
    }

    pub(crate) fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Borrows all records that are committed now.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_, M>, Corrupt> {
        self.check_alone()?;
        let producer = self.snapshot()?;
        self.look(producer)?;
        Ok(Batch::new(&self.memory, &mut self.state, producer))
    }

    /// Returns the state of the head.
    pub(crate) fn head(&self) -> Result<Head, Corrupt> {
        let producer = self.snapshot()?;
        self.look(producer)
    }

    /// Prepares to sleep. Returns the state of the head; the caller sleeps only if there is nothing to read.
    ///
    /// The producer commits its record and then loads `consumer_pos`; it wakes the consumer only if that is the
    /// record's own position. So the consumer first stores its position and then checks for records. The side that
    /// comes second sees the store of the other: either the consumer finds the record here, or the producer finds the
    /// position and sends the wake-up.
    pub(crate) fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        publish(&self.memory, &mut self.state, 0);
        // ATOMICS: pairs with the full barrier of xchg() in bpf_ringbuf_commit.
        // Both sides store, then load what the other stored; with a full fence
        // between the two on both sides at least one of them sees the other.
        M::fence(Ordering::SeqCst);
        self.check_alone()?;
        self.head()
    }

    /// Errors if the page holds a position that this consumer did not store: then another consumer reads the ring, too.
    #[inline]
    fn check_alone(&self) -> Result<(), Corrupt> {
        // ATOMICS: relaxed, and pairs with the store of a second consumer: only its value matters.
        let (stored, found) = (self.state.published, self.memory.consumer());
        if found == stored { Ok(()) } else { Err(Corrupt::Consumer { stored, found }) }
    }

    /// Returns the producer position after checking it: every record between the consumer and it lies in the ring.
    fn snapshot(&self) -> Result<u64, Corrupt> {
        let producer = self.memory.producer();
        // ATOMICS: acquires smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve: headers up to this position
        // carry at least the busy bit, and are not bytes of the previous round.
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

    /// Returns the state of the head of a ring whose producer position is `producer`.
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
