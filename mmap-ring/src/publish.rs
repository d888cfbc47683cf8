//! A consumer's state between two batches, and the store of its position that releases records. (An overwriting ring
//! has nothing to release; `overwrite.rs` stores the position itself.)

use std::sync::atomic::Ordering;

use crate::memory::Consume;

/// A consumer's state between two batches.
#[derive(Debug)]
pub(crate) struct ConsumerState {
    /// The end of the last record that was handed out or skipped.
    pub(crate) read: u64,
    /// The start of that record; `read` itself before the first one.
    pub(crate) last: u64,
    /// The position that was last stored to `consumer_pos`.
    pub(crate) published: u64,
    /// The number of bytes that a batch may keep back when it is dropped, by publishing `last` instead of `read`
    /// (trailing release).
    pub(crate) keep: u64,
    /// The largest number of bytes of the ring that the last record of any batch took so far.
    pub(crate) largest: u64,
    /// The number of records that were skipped because their producer discarded them.
    pub(crate) discarded: u64,
    /// The number of times that `consumer_pos` was stored.
    pub(crate) publications: u64,
}

/// A trailing reader keeps back at most 1 / `KEPT_BACK` of the ring. A record that the kernel would accept with an
/// immediate reader is refused because of it only if the record does not fit in the other parts.
pub(crate) const KEPT_BACK: u64 = 32;

/// Stores the consumer position, unless the page holds it already: the start of the last record if that takes at most
/// `keep` bytes of the ring, otherwise its end.
///
/// Nothing is stored if another consumer has stored a position since. It has read the same records, and its position
/// may be ahead. The next batch and the next sleep return the error ([`Consumer::check_alone`]). This check detects two
/// consumers that one wake-up wakes at once: both begin a batch at the same position, and both would store the same
/// position at its end.
pub(crate) fn publish<M: Consume>(memory: &M, state: &mut ConsumerState, keep: u64) {
    let kept = state.read.wrapping_sub(state.last);
    state.largest = state.largest.max(kept);
    // A program that sent a record of `largest` bytes may send another one, which needs room beside the record that is
    // kept back. `__bpf_ringbuf_reserve` leaves one byte of the ring free.
    if kept > keep || kept.saturating_add(state.largest) >= memory.size() {
        // The position never goes back to the last record's start afterwards.
        state.last = state.read;
    }
    let position = state.last;
    // ATOMICS: the load orders nothing; it pairs with the store of another consumer, which may still come between this
    // load and the store below. If it stores the same position in these nanoseconds, neither consumer notices the other
    // here.
    if position != state.published && memory.consumer() == state.published {
        state.published = position;
        state.publications = state.publications.wrapping_add(1);
        // ATOMICS: pairs with smp_load_acquire(&rb->consumer_pos) in __bpf_ringbuf_reserve: a producer that sees the
        // new position writes over the records before it only after all reads from them.
        memory.set_consumer(position, Ordering::Release);
    }
}
