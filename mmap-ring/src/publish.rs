//! What a consumer remembers between two batches, and the store of its position that releases records. (A ring that
//! overwrites has nothing to release; `overwrite.rs` stores the position itself.)

use std::sync::atomic::Ordering;

use crate::memory::Consume;

/// What a consumer remembers between two batches.
#[derive(Debug)]
pub(crate) struct ConsumerState {
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
pub(crate) fn publish<M: Consume>(memory: &M, state: &mut ConsumerState, keep: u64) {
    let kept = state.read.wrapping_sub(state.last);
    state.largest = state.largest.max(kept);
    // A program that sent a record so large may send another one, for which there must be room beside what is kept
    // back. `__bpf_ringbuf_reserve` leaves one byte of the ring free.
    if kept > keep || kept.saturating_add(state.largest) >= memory.size() {
        // The position never goes back to the last record's start afterwards.
        state.last = state.read;
    }
    let position = state.last;
    // ATOMICS: the load orders nothing; it pairs with the store of another consumer, which may still come between this
    // load and the store below. If that one stores the same position in these nanoseconds, neither notices the other
    // here.
    if position != state.published && memory.consumer() == state.published {
        state.published = position;
        state.publications = state.publications.wrapping_add(1);
        // ATOMICS: pairs with smp_load_acquire(&rb->consumer_pos) in
        // __bpf_ringbuf_reserve: a producer that sees the new position and writes over
        // the records before it comes after all that was read from them.
        memory.set_consumer(position, Ordering::Release);
    }
}
