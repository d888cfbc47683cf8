//! A consumer's state between two batches, and the store of its position that releases records. (The reader of an
//! overwriting ring releases no records, so `overwrite.rs` stores the position itself.)

use std::sync::atomic::Ordering;

use crate::memory::Consume;

/// A consumer's state between two batches.
#[derive(Debug)]
pub(crate) struct ConsumerState {
    /// The end of the last record that was returned or skipped.
    pub(crate) read: u64,
    /// The start of the last record that was returned or skipped. Before the first record it is equal to `read`.
    pub(crate) last: u64,
    /// The position that was last stored to `consumer_pos`.
    pub(crate) published: u64,
    /// The maximum number of bytes that trailing release keeps back: a batch publishes `last` instead of `read` if the
    /// last record takes at most this many bytes.
    pub(crate) keep: u64,
    /// The size of the largest record that was the last of a batch so far, in bytes of the ring.
    pub(crate) largest: u64,
    /// The number of records that were skipped because their producer discarded them.
    pub(crate) discarded: u64,
    /// The number of times that `consumer_pos` was stored.
    pub(crate) publications: u64,
}

/// Trailing release keeps back at most 1 / `KEPT_BACK` of the ring. So it can make the kernel refuse a record only if
/// the rest of the ring has no room for this record.
pub(crate) const KEPT_BACK: u64 = 32;

/// Stores the consumer position, unless the page holds it already. The position is the start of the last record if the
/// record takes at most `keep` bytes of the ring. Otherwise it is the end of the last record.
///
/// Stores nothing if another consumer has stored a position since this consumer's last store. The other consumer has
/// read the same records, and its position may be ahead. The next batch and the next sleep return the error
/// ([`Consumer::check_alone`]). Without this check, two consumers that one wake-up wakes at once would not notice each
/// other: both begin a batch at the same position, and both would store the same position at its end.
pub(crate) fn publish<M: Consume>(memory: &M, state: &mut ConsumerState, keep: u64) {
    let kept = state.read.wrapping_sub(state.last);
    state.largest = state.largest.max(kept);
    // A program that sent a record of `largest` bytes may send another one of this size. This record must fit in the
    // ring beside the one that is kept back. `__bpf_ringbuf_reserve` leaves one byte of the ring free.
    if kept > keep || kept.saturating_add(state.largest) >= memory.size() {
        // The last record is released now. A later call must not publish its start again.
        state.last = state.read;
    }
    let position = state.last;
    // ATOMICS: the load orders nothing. It pairs with the store of another consumer, which may still come between this
    // load and the store below. If the other consumer stores the same position in these nanoseconds, neither consumer
    // notices the other one here.
    if position != state.published && memory.consumer() == state.published {
        state.published = position;
        state.publications = state.publications.wrapping_add(1);
        // ATOMICS: pairs with smp_load_acquire(&rb->consumer_pos) in __bpf_ringbuf_reserve. A producer that sees the
        // new position overwrites the released records only after all reads from them.
        memory.set_consumer(position, Ordering::Release);
    }
}
