//! The kernel's side of the protocol, played in user space.
//!
//! A [`Kernel`] produces into a ring on the heap exactly as
//! `kernel/bpf/ringbuf.c` does into a real one: the same checks, the same
//! positions, the same decision whether to wake the consumer, which here means
//! a write to an eventfd. Tests, fuzzing and benchmarks need nothing else, no
//! privileges and no BPF; under Miri it shows that neither side ever touches
//! what the other has.
//!
//! ```
//! use mmap_ring::fake::{Commit, Kernel};
//!
//! let (kernel, mut ring) = Kernel::new(4096)?;
//! kernel.output(b"first", Commit::default());
//! kernel.reserve(8).expect("there is room").discard(Commit::default());
//! kernel.output(b"second", Commit::default());
//!
//! let mut batch = ring.batch()?;
//! let records: Vec<&[u8]> = batch.records().collect();
//! assert_eq!(records, [b"first".as_slice(), b"second"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bell;
mod drainer;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::drainer::Drainer;
pub use crate::memory::heap::Heap;
use crate::memory::heap::HeapPages;
use crate::overwrite::OverwriteRing;
use crate::peek::Peek;
use crate::record::{BUSY, DISCARD, LENGTH, space};
use crate::ring::Ring;

/// How a commit treats the consumer: the flags of `bpf_ringbuf_submit`,
/// `bpf_ringbuf_discard` and `bpf_ringbuf_output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// Wakes the consumer if it stands at this very record (flags 0).
    #[default]
    Adaptive,
    /// Never wakes it (`BPF_RB_NO_WAKEUP`).
    NoWakeup,
    /// Always wakes it (`BPF_RB_FORCE_WAKEUP`).
    ForceWakeup,
}

/// A producer of a ring on the heap. Shared by reference, it is as many
/// producers as there are threads.
#[derive(Debug)]
pub struct Kernel {
    pages: Arc<HeapPages>,
    /// `rb->spinlock`: one reservation at a time.
    lock: Mutex<()>,
    /// What stands for the wait queue: written to wake the consumer.
    bell: OwnedFd,
    /// `rb->overwrite_mode`.
    overwrites: bool,
    /// Whether payloads are written atomically, for those who read them while
    /// they are.
    atomic: bool,
}

impl Kernel {
    /// An empty ring of `size` bytes, its producer and its consumer.
    ///
    /// # Errors
    /// If there is no fd left for the eventfd that wakes the consumer.
    ///
    /// # Panics
    /// If `size` is not a power of two from 8 to 1 GiB.
    pub fn new(size: u64) -> io::Result<(Self, Ring<Heap>)> {
        Self::at(size, 0)
    }

    /// Like [`new`](Self::new), but the ring has been in use for `position`
    /// bytes, a multiple of 8.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn at(size: u64, position: u64) -> io::Result<(Self, Ring<Heap>)> {
        Self::with_pages(HeapPages::new(size, position, &[]))
    }

    /// A ring that holds whatever is given: for showing that a reader survives
    /// it. `bytes` fill the data from its start, the rest is 0.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn holding(size: u64, consumer: u64, producer: u64, bytes: &[u8]) -> io::Result<(Self, Ring<Heap>)> {
        let pages = HeapPages::new(size, consumer, bytes);
        pages.producer.store(producer, Ordering::Relaxed);
        Self::with_pages(pages)
    }

    fn with_pages(pages: HeapPages) -> io::Result<(Self, Ring<Heap>)> {
        let pages = Arc::new(pages);
        let bell = bell::eventfd()?;
        let ring = Ring::over(Heap(Arc::clone(&pages)), bell.try_clone()?);
        let kernel = Self { pages, lock: Mutex::new(()), bell, overwrites: false, atomic: false };
        Ok((kernel, ring))
    }

    /// An empty ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`),
    /// in use for `position` bytes, a multiple of 8.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn overwriting(size: u64, position: u64) -> io::Result<(Self, OverwriteRing<Heap>)> {
        let (kernel, ring) = Self::at(size, position)?;
        kernel.as_overwriting(ring, position)
    }

    /// The same pages read as those of a ring that overwrites, with
    /// `overwrite_pos` where it is said to be: for showing that its reader survives
    /// them.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if `ring` is not this kernel's.
    pub fn as_overwriting(mut self, ring: Ring<Heap>, overwrite: u64) -> io::Result<(Self, OverwriteRing<Heap>)> {
        self.take_back(ring)?;
        self.overwrites = true;
        self.atomic = true;
        self.pages.overwrite.store(overwrite, Ordering::Relaxed);
        let pages = Heap(Arc::clone(&self.pages));
        let ring = OverwriteRing::over(pages, self.bell.try_clone()?);
        Ok((self, ring))
    }

    /// From now on payloads are written atomically, word by word, so that a
    /// bystander may read them meanwhile.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// A bystander of the ring. Copy payloads only from a kernel that is
    /// [`watched`](Self::watched).
    #[must_use]
    pub fn peek(&self) -> Peek<Heap> {
        Peek::over(Heap(Arc::clone(&self.pages)))
    }

    /// Opens the ring anew after its consumer died, as another process would
    /// that finds it pinned. Taking the old consumer keeps it the only one.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if `dead` is not this kernel's.
    pub fn reopen(&self, dead: Ring<Heap>) -> io::Result<Ring<Heap>> {
        self.take_back(dead)?;
        Ok(Ring::over(Heap(Arc::clone(&self.pages)), self.bell.try_clone()?))
    }

    /// `bpf_ringbuf_reserve`: a record of `length` bytes, or `None` if there is
    /// no room for it.
    pub fn reserve(&self, length: u32) -> Option<Reservation<'_>> {
        let pages = &*self.pages;
        if length > LENGTH {
            return None;
        }
        let taken = space(length);
        let consumer = pages.consumer.load(Ordering::Acquire);
        let lock = self.locked();
        let position = pages.producer.load(Ordering::Relaxed);
        let mut pending = pages.pending.load(Ordering::Relaxed);
        while pending != position {
            let word = pages.header(pending).load(Ordering::Relaxed);
            if word & BUSY != 0 {
                break;
            }
            pending = pending.wrapping_add(space(word & LENGTH));
        }
        pages.pending.store(pending, Ordering::Relaxed);
        let next = position.wrapping_add(taken);
        let mask = pages.mask();
        if next.wrapping_sub(pending) > mask {
            return None;
        }
        if self.overwrites {
            self.make_room(next);
        } else if next.wrapping_sub(consumer) > mask {
            return None;
        }
        // Release, where the kernel has a plain store: for whoever looks on without
        // acquiring the producer position, and finds the order kept by the
        // hardware, which lets nobody see this store before what led to it.
        pages.header(position).store(length | BUSY, Ordering::Release);
        pages.producer.store(next, Ordering::Release);
        drop(lock);
        Some(Reservation { kernel: self, position, length, open: true })
    }

    /// `bpf_ringbuf_output`: copies a whole record. False if there was no room.
    pub fn output(&self, payload: &[u8], commit: Commit) -> bool {
        let Ok(length) = u32::try_from(payload.len()) else {
            return false;
        };
        match self.reserve(length) {
            None => false,
            Some(mut record) => {
                record.fill(payload);
                record.submit(commit);
                true
            }
        }
    }

    /// Ends the one consumer that there is, so that there can be another.
    fn take_back(&self, ring: Ring<Heap>) -> io::Result<()> {
        if Arc::ptr_eq(&ring.memory().0, &self.pages) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the ring is another kernel's, and this one's has its consumer",
        ))
    }

    /// The pages, for tests that do what no kernel does.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> &HeapPages {
        &self.pages
    }

    /// Moves `overwrite_pos` over whole records until one that ends at `next` fits.
    fn make_room(&self, next: u64) {
        let pages = &*self.pages;
        let mut overwrite = pages.overwrite.load(Ordering::Relaxed);
        while next.wrapping_sub(overwrite) > pages.mask() {
            let word = pages.header(overwrite).load(Ordering::Relaxed);
            overwrite = overwrite.wrapping_add(space(word & LENGTH));
        }
        pages.overwrite.store(overwrite, Ordering::Relaxed);
        // What is written from here on is not seen before that: the order of
        // stores on x86-64.
        fence(Ordering::Release);
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record that is reserved. Submitted if it is just dropped: the verifier
/// lets no program end with a reservation open.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'k> {
    kernel: &'k Kernel,
    position: u64,
    length: u32,
    open: bool,
}

impl Reservation<'_> {
    /// Where the record starts, in bytes since the ring was made.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the start of the record; what goes beyond its end is left out.
    #[expect(unsafe_code, reason = "writes into reserved memory as a BPF program does")]
    pub fn fill(&mut self, payload: &[u8]) {
        let length = payload.len().min(self.length as usize);
        let (payload, _) = payload.split_at(length);
        let pages = &self.kernel.pages;
        if self.kernel.atomic {
            pages.write_payload_atomically(self.position, payload);
            return;
        }
        // SAFETY: the reservation is this value's alone until it is committed,
        // which needs the value itself, and `payload` is no longer than it.
        unsafe { pages.write_payload(self.position, payload) };
    }

    /// `bpf_ringbuf_submit`. True if the consumer was woken.
    pub fn submit(mut self, commit: Commit) -> bool {
        self.commit(0, commit)
    }

    /// `bpf_ringbuf_discard`. True if the consumer was woken.
    pub fn discard(mut self, commit: Commit) -> bool {
        self.commit(DISCARD, commit)
    }

    /// `bpf_ringbuf_commit`.
    fn commit(&mut self, bits: u32, commit: Commit) -> bool {
        self.open = false;
        let pages = &*self.kernel.pages;
        pages.header(self.position).swap(self.length | bits, Ordering::AcqRel);
        // The kernel's xchg() is a full barrier.
        fence(Ordering::SeqCst);
        let consumer = pages.consumer.load(Ordering::Acquire) & pages.mask();
        let wakes = match commit {
            Commit::ForceWakeup => true,
            Commit::NoWakeup => false,
            Commit::Adaptive => consumer == self.position & pages.mask(),
        };
        if wakes {
            bell::ring_bell(&self.kernel.bell);
        }
        wakes
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.open {
            self.commit(0, Commit::default());
        }
    }
}
