//! Committed bytes: what the other side promises not to touch until we give them back.
//!
//! Everything the protocol reads of a ring it reads through a [`Span`], which only ever shrinks, so that the walk over
//! the records needs no `unsafe` of its own: a span of a record is cut from the span of the drain, and a field from
//! the span of the record, each cut checked against what is left.

use std::marker::PhantomData;
use std::slice;

use crate::bytes::Bytes;

/// Bytes `at .. at + len` of a ring, positions counted from the ring's beginning and masked on access.
///
/// Invariants: `data` is aligned to 8 and readable for `mask + 1` bytes for `'d`; `mask + 1` is a power of two of at
/// least 8; `at` and `len` are multiples of 8 and `len <= mask + 1`; nobody writes those bytes during `'d`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'d> {
    data: *const u8,
    mask: u64,
    at: u64,
    len: u64,
    lifetime: PhantomData<&'d [u8]>,
}

#[expect(
    unsafe_code,
    reason = "a span is a shared slice that wraps: its bytes are only read, and nobody writes them while it lives"
)]
// SAFETY: as for `&'d [u8]`, by the last invariant.
unsafe impl Send for Span<'_> {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as for `&'d [u8]`, by the last invariant.
unsafe impl Sync for Span<'_> {}

impl<'d> Span<'d> {
    /// # Safety
    /// The invariants above hold for `data`, `size == mask + 1`, `at` and `len`, for all of `'d`.
    #[expect(unsafe_code, reason = "the caller vouches for the memory")]
    pub(crate) unsafe fn new(data: *const u8, size: usize, at: u64, len: u64) -> Self {
        Self { data, mask: (size as u64).wrapping_sub(1), at, len, lifetime: PhantomData }
    }

    /// Where it begins, in bytes since the buffer was made.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes in it.
    #[inline]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The first `len` bytes as a span of their own; this one keeps the rest.
    /// `None` if there are fewer, or if `len` is no multiple of 8.
    #[inline]
    pub(crate) fn take(&mut self, len: u64) -> Option<Self> {
        if len > self.len || !len.is_multiple_of(8) {
            return None;
        }
        let front = Self { len, ..*self };
        self.at = self.at.wrapping_add(len);
        self.len = self.len.wrapping_sub(len);
        Some(front)
    }

    /// The 64-bit word at byte `offset`, a multiple of 8: such a word never wraps.
    #[inline]
    #[expect(unsafe_code, reason = "one word of committed bytes")]
    pub(crate) fn word(&self, offset: u64) -> Option<u64> {
        if offset >= self.len || !offset.is_multiple_of(8) {
            return None;
        }
        let index = (self.at.wrapping_add(offset) & self.mask) as usize;
        // SAFETY: masked, so inside the data area.
        let word = unsafe { self.data.add(index) };
        // SAFETY: `data`, `at` and `offset` are multiples of 8 and so is the masked index: aligned, and as the area's size is
        // one too, whole. `offset < len`, both multiples of 8, so all 8 bytes are committed.
        Some(unsafe { word.cast::<u64>().read() })
    }

    /// `len` bytes from byte `offset` on, in one slice or, where they wrap, in two.
    #[inline]
    #[expect(unsafe_code, reason = "slices of committed bytes")]
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Option<Bytes<'d>> {
        if offset > self.len || len > self.len.wrapping_sub(offset) {
            return None;
        }
        let index = self.at.wrapping_add(offset) & self.mask;
        // SAFETY: masked, so inside the data area.
        let first = unsafe { self.data.add(index as usize) };
        let until_end = self.mask.wrapping_add(1).wrapping_sub(index);
        if len <= until_end {
            // SAFETY: `len` bytes from `index` on lie inside the data area and inside the span, whose bytes nobody
            // writes during `'d`.
            let bytes = unsafe { slice::from_raw_parts(first, len as usize) };
            return Some(Bytes::Single(bytes));
        }
        // SAFETY: up to the end of the data area; inside the span, as `len` is longer.
        let front = unsafe { slice::from_raw_parts(first, until_end as usize) };
        let rest = len.wrapping_sub(until_end) as usize;
        // SAFETY: the rest continues at the area's first byte, and `len` is at most the area's size, so it ends before
        // `index`.
        let back = unsafe { slice::from_raw_parts(self.data, rest) };
        Some(Bytes::Split(front, back))
    }
}
