//! `.BTF.ext`: what an object says of its instructions in the words of its BTF.
//!
//! ```text
//!     header │ func_info                │ line_info │ core_relo
//!              record size
//!              section's name │ count │ record │ record …
//!              section's name │ count │ …
//! ```
//!
//! Each record begins with the offset, in bytes, of the instruction it is about. The compiler says how long a record
//! is; a newer one may make it longer, and what is behind the part that we know is passed over. (The format is
//! libbpf's.)

use super::{bytes::word, error::Broken, header::Header, view::Btf};

/// A view of `.BTF.ext`, checked: every section and record lies within it, and every section's name within the strings.
#[derive(Debug, Clone, Copy)]
#[doc(alias("btf_ext__new", "btf_ext"))]
pub struct Ext<'a> {
    func_info: Part<'a>,
    line_info: Part<'a>,
    core_relo: Part<'a>,
}

/// The records about one section of code.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// Offset of the section's name in the strings of the BTF.
    pub section: u32,
    size: usize,
    bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    /// Bytes of a record.
    size: usize,
    /// The sections, one behind the other.
    rest: &'a [u8],
}

impl<'a> Ext<'a> {
    /// Checks the contents of a section `.BTF.ext` that belongs to `btf`.
    ///
    /// # Errors
    ///
    /// [`Broken`] if anything lies outside.
    pub fn parse(bytes: &'a [u8], btf: &Btf<'_>) -> Result<Self, Broken> {
        const HEADER: usize = 24;
        const HEADER_WITH_CORE: usize = 32;
        let header = Header::read(bytes, HEADER)?;
        let part = |at, least| {
            Part::read(header.part(at)?, least, btf)
                .ok_or_else(|| Broken(format!("the records described at byte {at} of its header are broken")))
        };
        Ok(Self {
            func_info: part(8, 8)?,
            line_info: part(16, 16)?,
            core_relo: if header.len >= HEADER_WITH_CORE { part(24, 16)? } else { Part { size: 0, rest: &[] } },
        })
    }

    /// Which function starts at an instruction: offset, type.
    pub fn func_info(&self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        self.func_info.sections()
    }

    /// Which line of source an instruction comes from: offset, file, line, line and column.
    pub fn line_info(&self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        self.line_info.sections()
    }

    /// What in an instruction depends on the kernel's structures: offset, type, access, kind.
    pub fn core_relo(&self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        self.core_relo.sections()
    }
}

impl<'a> Part<'a> {
    fn read(bytes: &'a [u8], least: usize, btf: &Btf<'_>) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self { size: 0, rest: bytes });
        }
        let part = Self { size: word(bytes, 0) as usize, rest: bytes.get(4..)? };
        if part.size < least || !part.size.is_multiple_of(4) {
            return None;
        }
        let mut rest = part;
        while !rest.rest.is_empty() {
            let section = rest.take()?;
            if section.section >= btf.strings_len() || section.is_empty() {
                return None;
            }
        }
        Some(part)
    }

    /// The next section's records; `None` if they are not all there.
    fn take(&mut self) -> Option<Records<'a>> {
        let (head, rest) = self.rest.split_at_checked(8)?;
        let length = self.size.checked_mul(word(head, 4) as usize)?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Records { section: word(head, 0), size: self.size, bytes })
    }

    fn sections(mut self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        std::iter::from_fn(move || self.take())
    }
}

impl<'a> Records<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(self.size).unwrap_or(0)
    }

    /// Whether there are none; no section in an [`Ext`] is without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `N` words of each record, of which there are 2 in `func_info` and 4 in the others.
    pub fn words<const N: usize>(&self) -> impl ExactSizeIterator<Item = [u32; N]> + use<'a, N> {
        self.bytes.chunks_exact(self.size.max(1)).map(|record| std::array::from_fn(|index| word(record, index * 4)))
    }
}
