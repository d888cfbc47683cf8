//! The positions of a ring, read from its pages so that they agree. (A consumer's is published in `publish.rs`.)

use std::sync::atomic::Ordering;

use crate::memory::Memory;

/// The positions of a ring, as its pages show them at one moment or close to
/// it. All are bytes since the ring was made.
#[doc(alias("ring__consumer_pos", "ring__producer_pos", "BPF_RB_CONS_POS", "BPF_RB_PROD_POS"))]
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
    #[doc(alias("ring__avail_data_size", "BPF_RB_AVAIL_DATA"))]
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.producer.wrapping_sub(oldest(self.consumer, self.overwrite))
    }
}

/// The positions that the pages show: as they may have been at one moment,
/// however long the observer was interrupted in between.
pub(crate) fn positions<M: Memory>(memory: &M) -> Positions {
    let before = memory.producer();
    // ATOMICS: acquires smp_store_release(&rb->producer_pos) in
    // __bpf_ringbuf_reserve, which had seen so much released that no more than
    // the ring's size lies between: so does a load behind this fence. And
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
