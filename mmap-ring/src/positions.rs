//! Reads the positions of a ring from its pages, so that they are consistent.

use std::sync::atomic::Ordering;

use crate::memory::Memory;

/// The positions on a ring's pages, at one moment or close to it. All are in bytes since the ring was created.
#[doc(alias("ring__consumer_pos", "ring__producer_pos", "BPF_RB_CONS_POS", "BPF_RB_PROD_POS"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Positions {
    /// The position that the consumer published: all bytes before it are free for new records. While a batch is open,
    /// or while [trailing release](crate#trailing-release) keeps a record back, the consumer has read further.
    pub consumer: u64,
    /// The position of the next reservation.
    pub producer: u64,
    /// The position of the oldest uncommitted record at the time of the last reservation. It can be out of date. It is
    /// 0 on kernels without `pending_pos` (before 6.10, unless they have its backport).
    pub pending: u64,
    /// In overwrite mode (Linux 6.19), the position of the oldest record that is still whole. Otherwise 0.
    pub overwrite: u64,
}

impl Positions {
    /// Returns the number of bytes, headers included, that are neither released nor overwritten. It is at most the
    /// ring's size.
    #[doc(alias("ring__avail_data_size", "BPF_RB_AVAIL_DATA"))]
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.producer.wrapping_sub(oldest(self.consumer, self.overwrite))
    }
}

/// Returns the positions on the pages, as they may have been at one moment. They are consistent even if the observer
/// was interrupted between the loads.
pub(crate) fn positions<M: Memory>(memory: &M) -> Positions {
    let before = memory.producer();
    // ATOMICS: acquires smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve. Before this store, the producer
    // saw a consumer position at most the ring's size behind. So the load of the consumer position after this fence
    // returns one that is not older. Also, all headers up to this producer position have at least the busy bit.
    M::fence(Ordering::Acquire);
    let consumer = memory.consumer();
    let overwrite = memory.overwrite();
    let pending = memory.pending();
    let oldest = oldest(consumer, overwrite);
    let producer = if later(before, oldest) == before {
        before
    } else {
        // The consumer has passed `before` since the first load, so the producer had passed it even earlier.
        // ATOMICS: acquires the consumer's release store of consumer_pos. Before this store, the consumer saw a
        // producer position that was not behind its own. So the load below returns one that is not older.
        M::fence(Ordering::Acquire);
        let after = memory.producer();
        if later(after, oldest) == after { oldest } else { after }
    };
    Positions { consumer, producer, pending, overwrite }
}

/// Returns the position of the oldest record that is neither released nor overwritten. If the overwrite position is 0,
/// the ring has overwritten nothing.
pub(crate) fn oldest(consumer: u64, overwrite: u64) -> u64 {
    if overwrite == 0 { consumer } else { later(consumer, overwrite) }
}

/// Returns the later of two positions.
fn later(one: u64, other: u64) -> u64 {
    if other.wrapping_sub(one).cast_signed() > 0 { other } else { one }
}
