//! Access to the words of a ring: traits over the ring's pages, or over a model of the pages.
//!
//! User space can map these pages of a BPF ring buffer (`struct bpf_ringbuf` and `ringbuf_map_mmap_kern` in
//! `kernel/bpf/ringbuf.c`):
//!
//! ```text
//!  file offset    content                               user space may
//!  0              u64 consumer_pos                      read and write
//!  1 page         u64 producer_pos                      read
//!                 u64 pending_pos     (newer kernels)   read
//!                 u64 overwrite_pos   (from 6.19)       read
//!  2 pages        the data, a power of two of bytes     read
//!  2 pages + size the same data pages once more         read
//! ```
//!
//! With the second view of the data, a record that crosses the end of the ring can be read as one slice.
//!
//! The protocol (in [`consumer`](crate::consumer) and its neighbors) is generic over the traits below. It chooses the
//! memory ordering of each access. The traits have several implementors: the mapped pages of a real ring, a ring on the
//! heap whose other side is a fake kernel, and a model that explores the interleavings of both sides. The traits are
//! sealed, because the soundness of the protocol depends on their implementors.

use std::sync::atomic::Ordering;

pub(crate) mod exclusive;
#[cfg(any(test, feature = "fake"))]
pub(crate) mod heap;
pub(crate) mod mapped;
#[cfg(all(test, not(miri)))]
pub(crate) mod model;
pub(crate) mod readonly;
pub(crate) mod user;

pub(crate) mod sealed {
    /// Seals the memory traits.
    pub trait Sealed {}
}

/// The pages of one ring, as a reader accesses them. Sealed.
///
/// A position counts bytes since the ring was created, and only grows. It refers to the byte at `position & (size - 1)`
/// of the data.
///
/// Pages that are mapped read-only are read with relaxed loads only, because `std` allows no other atomic loads of
/// read-only memory. An acquire [`fence`](Memory::fence) after the load provides the ordering.
pub trait Memory: sealed::Sealed + 'static {
    /// A handle on the data pages. It is cheap to copy, so that a loop can keep it in registers.
    type Data<'a>: Data<'a>
    where
        Self: 'a;

    /// Returns a handle on the data pages.
    fn data(&self) -> Self::Data<'_>;

    /// Returns the size of the data in bytes: a power of two, at least 8.
    fn size(&self) -> u64;

    /// Loads `consumer_pos`, relaxed.
    fn consumer(&self) -> u64;

    /// Loads `producer_pos`, relaxed.
    fn producer(&self) -> u64;

    /// Loads `pending_pos`, relaxed. It is always 0 on kernels without it.
    fn pending(&self) -> u64;

    /// Loads `overwrite_pos`, relaxed. It is always 0 on kernels without it.
    fn overwrite(&self) -> u64;

    /// Executes an atomic fence.
    fn fence(order: Ordering);
}

/// A ring whose consumer position this process may write. Sealed.
pub trait Consume: Memory {
    /// Stores `consumer_pos`.
    fn set_consumer(&self, position: u64, order: Ordering);
}

/// A handle on the data pages of a ring. Sealed.
///
/// Every method takes a position and masks it, so no position can lead outside the pages.
pub trait Data<'a>: sealed::Sealed + Copy {
    /// Loads the length word of the record header at `position`, relaxed. The position is rounded down to a multiple
    /// of 8.
    fn header(self, position: u64) -> u32;

    /// Loads the four bytes at `position`, relaxed. The position is rounded down to a multiple of 4.
    ///
    /// A reader that may be overtaken can find the length word of a new header where it expects a payload. The kernel
    /// stores this word as four bytes, and no memory model defines the result of an eight-byte load of it.
    fn word(self, position: u64) -> u32;

    /// Borrows the `length` bytes after the header at `position`.
    ///
    /// # Safety
    /// - `8 + length` is at most the size of the ring.
    /// - The record at `position` is committed, and this thread has synchronized with its commit.
    /// - `consumer_pos` is not moved past `position` during `'a`.
    #[expect(
        unsafe_code,
        reason = "a slice of shared memory is sound only while its record is held, which the protocol ensures"
    )]
    unsafe fn payload(self, position: u64, length: u32) -> &'a [u8];
}
