//! The positions of types, in little memory.
//!
//! Types have no fixed length, so each is found only after the one before. One type in [`STEP`] has its position
//! stored. The types between are found by their lengths from there on. The kernel's BTF has some 130,000 types: this
//! takes 130 KB, and one position for each type would take 520 KB. Fewer would not be returned to the kernel when they
//! are dropped: the C library maps memory of its own only for 128 KiB or more.

use super::{bytes::word, kind::Layout};

/// How many types share a stored position.
const STEP: u32 = 4;

/// The positions of all types in the bytes that they were found in.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions {
    /// The position of each type whose index is a multiple of [`STEP`].
    stored: Vec<u32>,
    /// The number of types.
    count: u32,
}

impl Positions {
    /// Returns an empty list, with room for the types in so many bytes.
    pub(super) fn for_bytes(len: usize) -> Self {
        // A type takes 12 bytes or more, in the kernel's BTF 28 on average. So the vector seldom grows.
        Self { stored: Vec::with_capacity(len / 24 / STEP as usize + 1), count: 0 }
    }

    /// Adds the next type, which is at `position`.
    pub(super) fn push(&mut self, position: u32) {
        if self.count.is_multiple_of(STEP) {
            self.stored.push(position);
        }
        self.count += 1;
    }

    /// Returns the number of types.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the position in `types` of the type with this index, from 0; `None` if there is none.
    pub(super) fn get(&self, index: u32, types: &[u8]) -> Option<usize> {
        if index >= self.count {
            return None;
        }
        let mut position = *self.stored.get((index / STEP) as usize)? as usize;
        for _ in 0..index % STEP {
            let info = word(types.get(position..)?, 4);
            position += 12 + Layout::of(info)?.rest(info);
        }
        Some(position)
    }
}
