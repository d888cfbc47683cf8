//! The kernel as the consumer of a user ring.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Heap;
use crate::fake::bell;
use crate::memory::heap::HeapPages;
use crate::record::{BUSY, DISCARD, LENGTH, space};
use crate::user::UserRing;

/// The kernel's side of a user ring: `bpf_user_ringbuf_drain`.
#[derive(Debug)]
pub struct Drainer {
    pages: Arc<HeapPages>,
    bell: OwnedFd,
    /// `rb->busy`: a drain is running.
    busy: AtomicBool,
}

impl Drainer {
    /// Creates an empty user ring of `size` bytes, with both positions at `position` bytes. Returns its consumer and
    /// its producer.
    ///
    /// # Errors
    /// If no fd is left for the eventfd that wakes the producer (EMFILE, ENFILE).
    ///
    /// # Panics
    /// If `size` is not a power of two from 8 to 1 GiB.
    pub fn new(size: u64, position: u64) -> io::Result<(Self, UserRing<Heap>)> {
        let pages = Arc::new(HeapPages::new(size, position, &[]));
        let bell = bell::eventfd()?;
        let ring = UserRing::over(Heap(Arc::clone(&pages)), bell.try_clone()?);
        Ok((Self { pages, bell, busy: AtomicBool::new(false) }, ring))
    }

    /// Takes all samples and wakes the producer if there were any.
    ///
    /// # Errors
    /// The errno with which the kernel would refuse the ring: EINVAL for a misaligned position or a sample that extends
    /// past the producer position, E2BIG for a sample larger than the ring, EBUSY for a busy sample or during another
    /// drain.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>, i32> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(libc::EBUSY);
        }
        let drained = self.drain_alone();
        self.busy.store(false, Ordering::Release);
        drained
    }

    /// Returns the pages, for tests that write values which no kernel writes.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> &HeapPages {
        &self.pages
    }

    #[expect(unsafe_code, reason = "reads what the producer wrote as the kernel does")]
    fn drain_alone(&self) -> Result<Vec<Vec<u8>>, i32> {
        let pages = &*self.pages;
        let mut samples = Vec::new();
        loop {
            let producer = pages.producer.load(Ordering::Acquire);
            let consumer = pages.consumer.load(Ordering::Acquire);
            if !producer.is_multiple_of(8) {
                return Err(libc::EINVAL);
            }
            if producer == consumer {
                break;
            }
            let word = pages.header(consumer).load(Ordering::Acquire);
            if word & BUSY != 0 {
                return Err(libc::EBUSY);
            }
            let length = word & LENGTH;
            let taken = space(length);
            if taken > producer.wrapping_sub(consumer) {
                return Err(libc::EINVAL);
            }
            if taken > pages.mask() + 1 {
                return Err(libc::E2BIG);
            }
            if word & DISCARD == 0 {
                // SAFETY: not larger than the ring, as was just checked; the producer does not write it until the
                // consumer position has passed, and nothing else moves that.
                samples.push(unsafe { pages.read_payload(consumer, length) });
            }
            pages.consumer.store(consumer.wrapping_add(taken), Ordering::Release);
        }
        if !samples.is_empty() {
            bell::ring_bell_for_room(&self.bell);
        }
        Ok(samples)
    }
}
