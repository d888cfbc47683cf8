//! Bytes of a ring: one slice, or two where the ring wraps in their middle.

use std::borrow::Cow;
use std::ops::Range;

/// Borrowed bytes of a record, where they lie.
///
/// A perf ring is mapped once, so a record that reaches its end goes on at its beginning. (The BPF ring buffer
/// maps its data twice and spares its readers this.)
#[derive(Clone, Copy, Debug)]
pub enum Bytes<'d> {
    /// All of them in one piece.
    Single(&'d [u8]),
    /// They wrap: the end of the data area, then its beginning. Neither is empty.
    Split(&'d [u8], &'d [u8]),
}

impl<'d> Bytes<'d> {
    /// The bytes of `front`, then those of `back`.
    #[inline]
    pub(crate) fn of(front: &'d [u8], back: &'d [u8]) -> Self {
        match (front, back) {
            (front, []) => Self::Single(front),
            ([], back) => Self::Single(back),
            (front, back) => Self::Split(front, back),
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Single(bytes) => bytes.len(),
            Self::Split(front, back) => front.len().wrapping_add(back.len()),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both pieces in order; the second is empty if the bytes do not wrap.
    #[inline]
    pub fn pieces(self) -> [&'d [u8]; 2] {
        match self {
            Self::Single(bytes) => [bytes, &[]],
            Self::Split(front, back) => [front, back],
        }
    }

    /// The bytes of `range`, still borrowed; `None` if it is not inside.
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

    /// All of them in one piece: borrowed where they lie, or, where they wrap, copied into `scratch`, whose former
    /// content is lost.
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

    /// All of them in one piece, in memory of their own only where they wrap.
    pub fn to_contiguous(self) -> Cow<'d, [u8]> {
        match self {
            Self::Single(bytes) => Cow::Borrowed(bytes),
            Self::Split(front, back) => Cow::Owned([front, back].concat()),
        }
    }

    /// A copy that outlives the drain.
    pub fn to_vec(self) -> Vec<u8> {
        self.to_contiguous().into_owned()
    }

    /// The `N` bytes from `offset` on, copied; `None` if there are fewer. Made for fields: `u32::from_ne_bytes` and
    /// its sisters take it from there, wrapped or not.
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
    /// None.
    fn default() -> Self {
        Self::Single(&[])
    }
}

impl PartialEq for Bytes<'_> {
    /// Equal bytes, wherever they wrap.
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

/// Whether `bytes`, as long as `whole`, hold the same.
fn eq_pieces(bytes: Bytes<'_>, whole: &[u8]) -> bool {
    let [front, back] = bytes.pieces();
    whole.split_at_checked(front.len()).is_some_and(|(first, second)| first == front && second == back)
}
