//! Maps the pages of a user ring, where user space is the producer and the kernel is the consumer.
//!
//! ```text
//!  file offset    content                               user space may
//!  0              u64 consumer_pos                      read
//!  1 page         u64 producer_pos                      read and write
//!  2 pages        the data                              read and write
//!  2 pages + size the same data pages once more         read and write
//! ```
#![expect(unsafe_code, reason = "the one module where the addresses of a mapped user ring are followed")]

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use memmap2::MmapRaw;

use super::exclusive::Claim;
use super::mapped::{map, read_word};
use super::sealed::Sealed;
use crate::error::{Error, Region, Side};
use crate::map::Purpose;
use crate::size::checked;

/// The pages of one user ring, as its producer accesses them. Sealed.
pub trait Produce: Sealed + 'static {
    /// Returns the size of the data in bytes: a power of two, at least 8.
    fn size(&self) -> u64;

    /// Loads `consumer_pos`, relaxed: the page is read-only.
    fn consumer(&self) -> u64;

    /// Loads `producer_pos`, relaxed.
    fn producer(&self) -> u64;

    /// Stores `producer_pos`.
    fn set_producer(&self, position: u64, order: Ordering);

    /// Stores the length word of the header at `position`, relaxed. The position
    /// is rounded down to a multiple of 8.
    fn set_header(&self, position: u64, word: u32);

    /// Borrows the `length` bytes after the header at `position` for writing.
    ///
    /// # Safety
    /// - `8 + length` is at most the size of the ring.
    /// - `consumer_pos` was acquired and has freed these bytes, and `producer_pos` is not moved past them, and no other
    ///   code borrows them, during the borrow.
    #[expect(clippy::mut_from_ref, reason = "the bytes are shared memory, which the caller has for itself")]
    unsafe fn payload(&self, position: u64, length: u32) -> &mut [u8];

    /// Executes an atomic fence.
    fn fence(order: Ordering);
}

/// The pages of a real user ring. The default memory of [`UserRing`](crate::UserRing).
#[derive(Debug)]
pub struct UserMapped {
    /// Dropped before the page is unmapped.
    _claim: Claim,
    consumer: MmapRaw,
    rest: MmapRaw,
    page: usize,
    size: u64,
}

impl UserMapped {
    pub(crate) fn new(fd: BorrowedFd<'_>, bytes: u32) -> Result<Self, Error> {
        crate::map::check(fd, Purpose::Produce, bytes)?;
        let (size, page) = checked(bytes)?;
        let consumer = map(fd, Region::UserConsumer, 0, page)?;
        let rest = map(fd, Region::UserData, page as u64, page + 2 * size)?;
        // SAFETY: the producer's page is the first of a shared and writable mapping, which is dropped after the claim.
        // On that page of a user ring, the kernel uses at most the three positions at its start, and this type the
        // first.
        let claim = unsafe { Claim::new(rest.as_mut_ptr(), page) };
        let claim = claim.ok_or(Error::AlreadyOpen { side: Side::Producer })?;
        Ok(Self { _claim: claim, consumer, rest, page, size: size as u64 })
    }

    fn at(&self, position: u64) -> *mut u8 {
        let offset = position & (self.size - 8);
        self.rest.as_mut_ptr().wrapping_add(self.page).wrapping_add(offset as usize)
    }
}

impl Sealed for UserMapped {}

impl Produce for UserMapped {
    fn size(&self) -> u64 {
        self.size
    }

    fn consumer(&self) -> u64 {
        read_word(&self.consumer, 0)
    }

    fn producer(&self) -> u64 {
        read_word(&self.rest, 0)
    }

    fn set_producer(&self, position: u64, order: Ordering) {
        let word = self.rest.as_mut_ptr().cast::<u64>();
        // SAFETY: the writable mapping begins with the producer's page, so eight
        // bytes are mapped there, aligned; the kernel only reads them, atomically.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.store(position, order);
    }

    fn set_header(&self, position: u64, word: u32) {
        let header = self.at(position).cast::<u32>();
        // SAFETY: `at` gives a multiple of 8 below `size`, inside the writable
        // mapping; the kernel reads the word atomically.
        let header = unsafe { AtomicU32::from_ptr(header) };
        header.store(word, Ordering::Relaxed);
    }

    unsafe fn payload(&self, position: u64, length: u32) -> &mut [u8] {
        let start = self.at(position).wrapping_add(8);
        // SAFETY: `at` is below `size` and the caller keeps `8 + length` at or
        // below it, so the slice ends inside the second view; the caller has these
        // bytes for itself.
        unsafe { std::slice::from_raw_parts_mut(start, length as usize) }
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}
