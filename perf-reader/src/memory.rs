//! Where perf pages live: the one thing the protocol does not care about.
//!
//! The protocol of this crate is written once, over [`Memory`]. Two backends exist: [`Mapping`](crate::Mapping), the
//! pages that the kernel shares with this process, and, with the feature `fake`, heap pages with a producer that plays
//! the kernel. Tests under Miri, fuzzing and benchmarks without privileges run the same reader over the second.

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
/// The trait is sealed: who may write what, and when, is a contract with one kernel, and this crate keeps both sides.
///
/// # Safety
/// For as long as the value lives, `base()` answers the same page-aligned address, readable for `len()` bytes, and the
/// 64-bit words at bytes 1024 and 1032 from it are only ever accessed atomically. Unless [`writable`](Memory::writable)
/// answers `false` the word at byte 1032 (`data_tail`) may be written. The other side writes into the data area
/// only outside `data_tail .. data_head`, and moves `data_head` behind what it has written.
#[expect(unsafe_code, reason = "the protocol dereferences what an implementor answers; implementors vouch for it")]
pub unsafe trait Memory: Sealed + Send + Sync {
    /// The first byte of the control page.
    fn base(&self) -> *mut u8;

    /// Bytes that may be read from [`base`](Memory::base) on.
    fn len(&self) -> usize;

    /// Always false: perf pages begin with a control page.
    fn is_empty(&self) -> bool {
        false
    }

    /// Bytes in a page. Where a kernel before 4.1 does not say where its data area is, it follows the first page.
    fn page_size(&self) -> usize;

    /// Whether `data_tail` may be written. A read-only mapping makes the kernel overwrite the oldest records.
    fn writable(&self) -> bool {
        true
    }
}
