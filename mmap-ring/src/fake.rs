//! The kernel's side of the protocol, implemented in user space.
//!
//! A [`Kernel`] produces into a ring on the heap exactly as `kernel/bpf/ringbuf.c` does into a real one: the same
//! checks, the same positions, the same decision whether to wake the consumer. A wake-up here is a write to an eventfd.
//! Tests, fuzzing and benchmarks need nothing else, no privileges and no BPF. Run under Miri, they show that neither
//! side ever accesses bytes that the other side has.
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

/// The wake-up of a commit: the flags of `bpf_ringbuf_submit`, `bpf_ringbuf_discard` and `bpf_ringbuf_output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commit {
    /// Wakes the consumer if its position is this record's (flags 0).
    #[default]
    Adaptive,
    /// Never wakes it (`BPF_RB_NO_WAKEUP`).
    NoWakeup,
    /// Always wakes it (`BPF_RB_FORCE_WAKEUP`).
    ForceWakeup,
}

/// The producer of a ring on the heap. Threads that share it by reference are producers of the same ring.
#[derive(Debug)]
pub struct Kernel {
    pages: Arc<HeapPages>,
    /// `rb->spinlock`: one reservation at a time.
    lock: Mutex<()>,
    /// The eventfd in place of the kernel's wait queue: written to wake the consumer.
    bell: OwnedFd,
    /// `rb->overwrite_mode`.
    overwrites: bool,
    /// Whether payloads are written atomically, for readers that read them during the write.
    atomic: bool,
}

impl Kernel {
    /// Creates an empty ring of `size` bytes. Returns its producer and its consumer.
    ///
    /// # Errors
    /// If no fd is left for the eventfd that wakes the consumer (EMFILE, ENFILE).
    ///
    /// # Panics
    /// If `size` is not a power of two from 8 to 1 GiB.
    pub fn new(size: u64) -> io::Result<(Self, Ring<Heap>)> {
        Self::at(size, 0)
    }

    /// Creates a ring as [`new`](Self::new) does, with all positions at `position` bytes, a multiple of 8.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn at(size: u64, position: u64) -> io::Result<(Self, Ring<Heap>)> {
        Self::with_pages(HeapPages::new(size, position, &[]))
    }

    /// Creates a ring with the given positions and data, to show that a reader survives them. `bytes` fill the data
    /// from its start, followed by zeros.
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

    /// Creates an empty ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`), with all positions at
    /// `position` bytes, a multiple of 8.
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

    /// Turns the same pages into those of an overwriting ring whose `overwrite_pos` is `overwrite`, to show that its
    /// reader survives them.
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

    /// Makes this kernel write payloads atomically from now on, word by word, so that an observer may read them
    /// meanwhile.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.atomic = true;
        self
    }

    /// Returns an observer of the ring. Copy payloads only from a kernel that is [`watched`](Self::watched).
    #[must_use]
    pub fn peek(&self) -> Peek<Heap> {
        Peek::over(Heap(Arc::clone(&self.pages)))
    }

    /// Opens the ring again after its consumer died, as another process does that finds it pinned. This takes the old
    /// consumer, so that there is only one.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if `dead` is not this kernel's.
    pub fn reopen(&self, dead: Ring<Heap>) -> io::Result<Ring<Heap>> {
        self.take_back(dead)?;
        Ok(Ring::over(Heap(Arc::clone(&self.pages)), self.bell.try_clone()?))
    }

    /// Reserves a record of `length` bytes (`bpf_ringbuf_reserve`); `None` if there is no room for it.
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
        // Release, where the kernel has a plain store. It is for observers that do not acquire the producer position.
        // In the kernel's case the hardware keeps the order: no observer sees this store before the stores that led to
        // it.
        pages.header(position).store(length | BUSY, Ordering::Release);
        pages.producer.store(next, Ordering::Release);
        drop(lock);
        Some(Reservation { kernel: self, position, length, open: true })
    }

    /// Copies a whole record into the ring (`bpf_ringbuf_output`). Returns false if there was no room.
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

    /// Drops the only consumer, so that there can be another one.
    fn take_back(&self, ring: Ring<Heap>) -> io::Result<()> {
        if Arc::ptr_eq(&ring.memory().0, &self.pages) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the ring belongs to another kernel; this kernel's ring still has its consumer",
        ))
    }

    /// Returns the pages, for tests that write values which no kernel writes.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> &HeapPages {
        &self.pages
    }

    /// Moves `overwrite_pos` over whole records until a record that ends at `next` fits.
    fn make_room(&self, next: u64) {
        let pages = &*self.pages;
        let mut overwrite = pages.overwrite.load(Ordering::Relaxed);
        while next.wrapping_sub(overwrite) > pages.mask() {
            let word = pages.header(overwrite).load(Ordering::Relaxed);
            overwrite = overwrite.wrapping_add(space(word & LENGTH));
        }
        pages.overwrite.store(overwrite, Ordering::Relaxed);
        // Later stores are not visible before this one: the order of stores on x86-64.
        fence(Ordering::Release);
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved record. Dropping it submits it: the verifier refuses a program that can end with an open reservation.
#[derive(Debug)]
#[must_use]
pub struct Reservation<'k> {
    kernel: &'k Kernel,
    position: u64,
    length: u32,
    open: bool,
}

impl Reservation<'_> {
    /// Returns the position of the record, in bytes since the ring was created.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Writes the start of the record. Bytes of `payload` beyond the record's end are not written.
    #[expect(unsafe_code, reason = "writes into reserved memory as a BPF program does")]
    pub fn fill(&mut self, payload: &[u8]) {
        let length = payload.len().min(self.length as usize);
        let (payload, _) = payload.split_at(length);
        let pages = &self.kernel.pages;
        if self.kernel.atomic {
            pages.write_payload_atomically(self.position, payload);
            return;
        }
        // SAFETY: only this value has the reservation until it is committed, which needs the value itself, and
        // `payload` is not longer than the reservation.
        unsafe { pages.write_payload(self.position, payload) };
    }

    /// Submits the record (`bpf_ringbuf_submit`). Returns true if this woke the consumer.
    pub fn submit(mut self, commit: Commit) -> bool {
        self.commit(0, commit)
    }

    /// Discards the record (`bpf_ringbuf_discard`). Returns true if this woke the consumer.
    pub fn discard(mut self, commit: Commit) -> bool {
        self.commit(DISCARD, commit)
    }

    /// Commits the record (`bpf_ringbuf_commit`).
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
