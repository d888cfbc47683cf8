//! Where the words of a ring live.
//!
//! A BPF ring buffer shows user space these pages (`kernel/bpf/ringbuf.c`,
//! `struct bpf_ringbuf` and `ringbuf_map_mmap_kern`):
//!
//! ```text
//!  file offset    what lies there                       user space may
//!  0              u64 consumer_pos                      read and write
//!  1 page         u64 producer_pos                      read
//!                 u64 pending_pos     (newer kernels)   read
//!                 u64 overwrite_pos   (from 6.19)       read
//!  2 pages        the data, a power of two of bytes     read
//!  2 pages + size the same data pages once more         read
//! ```
//!
//! The second view of the data makes a record that runs over the end of the
//! ring readable as one slice.
//!
//! The protocol (in [`consumer`](crate::consumer) and its neighbours) is
//! written once, over the traits below, and says itself which memory ordering
//! each access has. The traits have several implementors: the mapped pages of a
//! real ring, a ring on the heap whose other side is a fake kernel, and a model
//! that explores the interleavings of both sides. None of them may be added
//! from outside: the traits are sealed, because the soundness of the protocol
//! rests on them.

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
    /// Keeps the memory traits closed.
    pub trait Sealed {}
}

/// The pages of one ring, as a reader sees them. Sealed.
///
/// A position is a count of bytes since the ring was made. It only grows, and
/// means the byte at `position & (size - 1)` of the data.
///
/// Pages that are mapped read-only are read with relaxed loads alone, because
/// `std` promises no more for read-only memory; an acquiring
/// [`fence`](Memory::fence) behind the load makes up for it.
pub trait Memory: sealed::Sealed + 'static {
    /// A handle on the data pages, cheap to copy, so that a loop can keep it in
    /// registers.
    type Data<'a>: Data<'a>
    where
        Self: 'a;

    /// The data pages.
    fn data(&self) -> Self::Data<'_>;

    /// Size of the data in bytes: a power of two, at least 8.
    fn size(&self) -> u64;

    /// Loads `consumer_pos`, relaxed.
    fn consumer(&self) -> u64;

    /// Loads `producer_pos`, relaxed.
    fn producer(&self) -> u64;

    /// Loads `pending_pos`, relaxed; 0 for ever on kernels that have none.
    fn pending(&self) -> u64;

    /// Loads `overwrite_pos`, relaxed; 0 for ever on kernels that have none.
    fn overwrite(&self) -> u64;

    /// An atomic fence.
    fn fence(order: Ordering);
}

/// A ring whose consumer position may be written. Sealed.
pub trait Consume: Memory {
    /// Stores `consumer_pos`.
    fn set_consumer(&self, position: u64, order: Ordering);
}

/// A handle on the data pages of a ring. Sealed.
///
/// Every method takes a position and masks it, so none can leave the pages
/// whatever it is asked for.
pub trait Data<'a>: sealed::Sealed + Copy {
    /// Loads the length word of the record header at `position`, relaxed. The
    /// position is rounded down to a multiple of 8.
    fn header(self, position: u64) -> u32;

    /// Loads the four bytes at `position`, relaxed. The position is rounded down
    /// to a multiple of 4.
    ///
    /// Four, because a reader that may be overtaken can meet the length word of a
    /// header where it expects a payload, and no memory model tells what a load of
    /// eight bytes sees of a store of four.
    fn word(self, position: u64) -> u32;

    /// Borrows the `length` bytes behind the header at `position`.
    ///
    /// # Safety
    /// - `8 + length` is at most the size of the ring.
    /// - The record at `position` is committed, and this thread has
    ///   synchronised with its commit.
    /// - `consumer_pos` is not moved past `position` during `'a`.
    #[expect(
        unsafe_code,
        reason = "a slice of shared memory is sound for a record that is held, and only the protocol knows which are"
    )]
    unsafe fn payload(self, position: u64, length: u32) -> &'a [u8];
}
