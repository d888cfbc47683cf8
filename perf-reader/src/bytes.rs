//! Bytes of a ring: one slice, or two slices if the bytes cross the end of the data area.

use std::borrow::Cow;
use std::ops::Range;

/// Borrowed bytes of a record, in place in the ring.
///
/// The data area of a perf buffer is mapped once. So a record that reaches the end of the data area continues at its
/// start. (The data of a BPF ring buffer is mapped twice, so its records are always one slice.)
#[derive(Clone, Copy, Debug)]
pub enum Bytes<'d> {
    /// All bytes in one slice.
    Single(&'d [u8]),
    /// Bytes that wrap: those at the end of the data area, then those at its start. Neither slice is empty.
    Split(&'d [u8], &'d [u8]),
}

impl<'d> Bytes<'d> {
    /// Joins the bytes of `front` and `back`.
    #[inline]
    pub(crate) fn of(front: &'d [u8], back: &'d [u8]) -> Self {
        match (front, back) {
            (front, []) => Self::Single(front),
            ([], back) => Self::Single(back),
            (front, back) => Self::Split(front, back),
        }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Single(bytes) => bytes.len(),
            Self::Split(front, back) => front.len().wrapping_add(back.len()),
        }
    }

    /// Returns whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns both slices in order. The second slice is empty if the bytes do not wrap.
    #[inline]
    pub fn pieces(self) -> [&'d [u8]; 2] {
        match self {
            Self::Single(bytes) => [bytes, &[]],
            Self::Split(front, back) => [front, back],
        }
    }

    /// Returns the bytes of `range`, still borrowed, or `None` if the range is out of bounds.
    #[inline]
    pub fn slice(self, range: Range<usize>) -> Option<Bytes<'d>> {
        match self {
            Self::Single(bytes) => bytes.get(range).map(Bytes::Single),
            Self::Split(front, back) => {
                let split = front.len();
                if range.end <= split {
                    return front.get(range).map(Bytes::Single);
                }
                let end = range.end.wrapping_sub(split);
                if range.start >= split {
                    let start = range.start.wrapping_sub(split);
                    return back.get(start..end).map(Bytes::Single);
                }
                Some(Bytes::Split(front.get(range.start..)?, back.get(..end)?))
            }
        }
    }

    /// Returns all bytes in one slice. If the bytes wrap, they are copied into `scratch`, and its content is replaced.
    /// Otherwise they are borrowed in place.
    #[inline]
    pub fn contiguous<'s>(self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'd: 's,
    {
        match self {
            Self::Single(bytes) => bytes,
            Self::Split(front, back) => {
                scratch.clear();
                scratch.extend_from_slice(front);
                scratch.extend_from_slice(back);
                scratch
            }
        }
    }

    /// Returns all bytes in one slice, copied only if they wrap.
    pub fn to_contiguous(self) -> Cow<'d, [u8]> {
        match self {
            Self::Single(bytes) => Cow::Borrowed(bytes),
            Self::Split(front, back) => Cow::Owned([front, back].concat()),
        }
    }

    /// Returns a copy, which can outlive the batch.
    pub fn to_vec(self) -> Vec<u8> {
        self.to_contiguous().into_owned()
    }

    /// Returns a copy of the `N` bytes at `offset`, or `None` if there are fewer bytes. Use it to read fields:
    /// `u32::from_ne_bytes` and similar functions take the array.
    #[inline]
    pub fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        if let Self::Single(bytes) = self {
            return bytes.get(offset..)?.first_chunk().copied();
        }
        let [front, back] = self.slice(offset..offset.checked_add(N)?)?.pieces();
        let mut array = [0; N];
        let (first, second) = array.split_at_mut_checked(front.len())?;
        first.copy_from_slice(front);
        second.copy_from_slice(back);
        Some(array)
    }
}

impl Default for Bytes<'_> {
    /// Returns no bytes.
    fn default() -> Self {
        Self::Single(&[])
    }
}

impl PartialEq for Bytes<'_> {
    /// Compares the bytes. It does not matter whether, or where, they wrap.
    fn eq(&self, other: &Self) -> bool {
        let [front, back] = self.pieces();
        self.len() == other.len()
            && other.slice(0..front.len()).is_some_and(|bytes| eq_pieces(bytes, front))
            && other.slice(front.len()..other.len()).is_some_and(|bytes| eq_pieces(bytes, back))
    }
}

impl Eq for Bytes<'_> {}

impl PartialEq<[u8]> for Bytes<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        self.len() == other.len() && eq_pieces(*self, other)
    }
}

/// Returns whether `bytes` equal `whole`, which has the same length.
fn eq_pieces(bytes: Bytes<'_>, whole: &[u8]) -> bool {
    let [front, back] = bytes.pieces();
    whole.split_at_checked(front.len()).is_some_and(|(first, second)| first == front && second == back)
}
