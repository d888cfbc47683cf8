//! The memory that holds perf pages.
//!
//! The protocol of this crate is generic over [`Memory`]. There are two implementors. [`Mapping`](crate::Mapping) is
//! the pages that the kernel shares with this process. With the feature `fake`, there are also pages on the heap, with
//! a producer that writes as the kernel does. Tests under Miri, fuzzing and benchmarks without privileges use the
//! latter.

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// Perf pages: one control page, followed by the data area.
///
/// ```text
/// base()            base() + page_size()                                  base() + len()
///   │ control page        │ data area, a power of two of bytes                  │
///   │ … data_head, data_tail, data_offset, data_size …                          │
/// ```
///
/// The trait is sealed, because its implementors must follow the contract with the kernel about who writes which bytes.
///
/// # Safety
/// For as long as the value lives, `base()` returns the same page-aligned address, readable for `len()` bytes, and the
/// 64-bit words at bytes 1024 and 1032 from it are only ever accessed atomically. Unless [`writable`](Memory::writable)
/// returns `false`, the word at byte 1032 (`data_tail`) may be written. The other side writes into the data area only
/// outside `data_tail .. data_head`, and moves `data_head` only past bytes that it has written.
#[expect(
    unsafe_code,
    reason = "the protocol dereferences the address that an implementor returns; implementors vouch for it"
)]
pub unsafe trait Memory: Sealed + Send + Sync {
    /// Returns the address of the first byte of the control page.
    fn base(&self) -> *mut u8;

    /// Returns the number of bytes that may be read from [`base`](Memory::base) on.
    fn len(&self) -> usize;

    /// Returns false, because perf pages begin with a control page.
    fn is_empty(&self) -> bool {
        false
    }

    /// Returns the size of a page in bytes. On kernels before 4.1, the control page does not contain the offset of the
    /// data area, which follows the first page.
    fn page_size(&self) -> usize;

    /// Returns whether `data_tail` may be written. With a read-only mapping, the kernel overwrites the oldest records.
    fn writable(&self) -> bool {
        true
    }
}
