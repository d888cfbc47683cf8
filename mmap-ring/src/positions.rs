//! Reads the positions of a ring from its pages, so that they are consistent. (`publish.rs` publishes the consumer's.)

use std::sync::atomic::Ordering;

use crate::memory::Memory;

/// The positions of a ring, as its pages show them at one moment or close to it. All are in bytes since the ring was
/// created.
#[doc(alias("ring__consumer_pos", "ring__producer_pos", "BPF_RB_CONS_POS", "BPF_RB_PROD_POS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// The consumer position as published: all bytes before it are free for new records. It is behind the true position
    /// while a batch is open or the reader trails.
    pub consumer: u64,
    /// The position of the next reservation.
    pub producer: u64,
    /// The position of the oldest uncommitted record, as the last reservation found it: it can be out of date. 0 on
    /// kernels without it (before 6.10 and its backports).
    pub pending: u64,
    /// The position of the oldest record that is still whole, in overwrite mode (Linux 6.19); otherwise 0.
    pub overwrite: u64,
}

impl Positions {
    /// Returns the number of bytes, headers included, that are neither released nor overwritten: at most the ring's
    /// size.
    #[doc(alias("ring__avail_data_size", "BPF_RB_AVAIL_DATA"))]
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.producer.wrapping_sub(oldest(self.consumer, self.overwrite))
    }
}

/// Returns the positions that the pages show, as they may have been at one moment, however long the observer was
/// interrupted between the loads.
pub(crate) fn positions<M: Memory>(memory: &M) -> Positions {
    let before = memory.producer();
    // ATOMICS: acquires smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve. That had seen a consumer
    // position at most the ring's size behind, and so does a load after this fence. And headers up to this position
    // carry at least the busy bit.
    M::fence(Ordering::Acquire);
    let consumer = memory.consumer();
    let overwrite = memory.overwrite();
    let pending = memory.pending();
    let oldest = oldest(consumer, overwrite);
    let producer = if later(before, oldest) == before {
        before
    } else {
        // The consumer passed `before` meanwhile, so the producer had passed it even earlier.
        // ATOMICS: acquires the consumer's own release store of consumer_pos. The consumer had seen a producer position
        // that is not behind it, and so does the load below.
        M::fence(Ordering::Acquire);
        let after = memory.producer();
        if later(after, oldest) == after { oldest } else { after }
    };
    Positions { consumer, producer, pending, overwrite }
}

/// Returns the position of the oldest record that is neither released nor overwritten. An overwrite position of 0 means
/// that the ring has overwritten nothing.
pub(crate) fn oldest(consumer: u64, overwrite: u64) -> u64 {
    if overwrite == 0 { consumer } else { later(consumer, overwrite) }
}

/// Returns the later one of two positions.
fn later(one: u64, other: u64) -> u64 {
    if other.wrapping_sub(one).cast_signed() > 0 { other } else { one }
}
