//! The memory that holds perf pages. The protocol is independent of it.
//!
//! The protocol of this crate is written once, generic over [`Memory`]. Two backends exist:
//! [`Mapping`](crate::Mapping), the pages that the kernel shares with this process, and, with the feature `fake`, heap
//! pages with a producer in the kernel's role. Tests under Miri, fuzzing and benchmarks without privileges run the same
//! reader over the second.

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
/// The trait is sealed: which side may write which bytes, and when, is a contract with the kernel, and this crate
/// implements both sides.
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

    /// Returns false: perf pages begin with a control page.
    fn is_empty(&self) -> bool {
        false
    }

    /// Returns the size of a page in bytes. Kernels before 4.1 do not state the offset of the data area: it follows the
    /// first page.
    fn page_size(&self) -> usize;

    /// Returns whether `data_tail` may be written. A read-only mapping makes the kernel overwrite the oldest records.
    fn writable(&self) -> bool {
        true
    }
}
