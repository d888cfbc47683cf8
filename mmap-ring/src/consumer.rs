//! The consumer's side of the protocol: reads records and prepares to sleep. `publish.rs` publishes the position.
//!
//! This module has no fd and makes no system call. [`Ring`](crate::Ring) adds the wait.

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

/// The state of a ring's head, which is the oldest unread record.
///
/// The order of the variants is `Empty < Busy < Ready`. The state of several rings is the greatest of their states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Head {
    /// There is no unread record.
    Empty,
    /// The producer has reserved the record and not yet committed it. Later records cannot be read before this one.
    Busy,
    /// The record is committed and can be read, or it is discarded and can be skipped.
    Ready,
}

impl<M: Consume> Consumer<M> {
    /// Creates a consumer that continues at the position that the last consumer published.
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

    /// Starts trailing release. From now on, a batch publishes the start of its last record instead of the end, if the
    /// record takes at most `bytes` bytes of the ring. 0 ends trailing release.
    pub(crate) fn keep_back(&mut self, bytes: u64) {
        self.state.keep = bytes;
    }

    /// Ends trailing release, and publishes the end of the last record that was read.
    pub(crate) fn end_trailing(&mut self) {
        self.state.keep = 0;
        publish(&self.memory, &mut self.state, 0);
    }

    /// Returns whether a record is kept back: the published position is before the end of the last record that was
    /// read.
    pub(crate) fn is_trailing(&self) -> bool {
        self.state.published != self.state.read
    }

    pub(crate) fn positions(&self) -> Positions {
        positions(&self.memory)
    }

    /// Borrows the committed records up to the first uncommitted one, or up to the producer position that this call
    /// loads.
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

    /// Prepares to sleep. Returns the state of the head. The caller sleeps only if the head is not `Ready`.
    ///
    /// The producer commits its record and then loads `consumer_pos`. It wakes the consumer only if `consumer_pos` is
    /// the record's position. So the consumer first stores its position and then checks for records. Either the
    /// consumer finds the record here, or the producer finds the new position and sends the wake-up.
    pub(crate) fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        publish(&self.memory, &mut self.state, 0);
        // ATOMICS: pairs with the full barrier of xchg() in bpf_ringbuf_commit. Each side stores its word and then
        // loads the word of the other side. With a full fence between store and load on both sides, at least one side
        // sees the store of the other side.
        M::fence(Ordering::SeqCst);
        self.check_alone()?;
        self.head()
    }

    /// Errors if `consumer_pos` is not the value that this consumer stored last: another consumer reads the ring.
    #[inline]
    fn check_alone(&self) -> Result<(), Corrupt> {
        // ATOMICS: relaxed, because only the value matters. Pairs with the store of a second consumer.
        let (stored, found) = (self.state.published, self.memory.consumer());
        if found == stored { Ok(()) } else { Err(Corrupt::Consumer { stored, found }) }
    }

    /// Loads and checks the producer position. All records from the consumer position to this position lie in the ring.
    fn snapshot(&self) -> Result<u64, Corrupt> {
        let producer = self.memory.producer();
        // ATOMICS: acquires smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve. The kernel has written every
        // header before this position, with the busy bit. The bit may have been cleared since. No header has old bytes
        // of an earlier record.
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
