//! The header of `.BTF` and `.BTF.ext`.

use super::{bytes::word, error::Broken};

/// The first two bytes of `.BTF` and `.BTF.ext`.
pub(super) const MAGIC: u16 = 0xeb9f;

/// The header of `.BTF` or `.BTF.ext`: magic, version, flags, its own length, then pairs of offset and length.
pub(super) struct Header<'a> {
    bytes: &'a [u8],
    /// Bytes of the header, from its own length field.
    pub(super) len: usize,
}

impl<'a> Header<'a> {
    /// Reads a header of at least `least` bytes.
    pub(super) fn read(bytes: &'a [u8], least: usize) -> Result<Self, Broken> {
        let magic = bytes.first_chunk().copied().map(u16::from_ne_bytes);
        if magic != Some(MAGIC) {
            return Err(Broken("it does not begin as BTF of this machine's byte order does".to_owned()));
        }
        let len = word(bytes, 4) as usize;
        if len < least || len > bytes.len() {
            return Err(Broken(format!("its header claims {len} bytes")));
        }
        Ok(Self { bytes, len })
    }

    /// Returns the part whose offset, counted from the header's end, and length are at byte `at` of the header.
    pub(super) fn part(&self, at: usize) -> Result<&'a [u8], Broken> {
        let (offset, length) = (word(self.bytes, at) as usize, word(self.bytes, at + 4) as usize);
        self.len
            .checked_add(offset)
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?))
            .ok_or_else(|| Broken(format!("a part of {length} bytes at {offset} reaches beyond its end (truncated?)")))
    }
}
