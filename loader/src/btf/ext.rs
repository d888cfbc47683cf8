//! `.BTF.ext`: type and line information and CO-RE relocations of an object's instructions.
//!
//! ```text
//!     header │ func_info                │ line_info │ core_relo
//!              record size
//!              section's name │ count │ record │ record …
//!              section's name │ count │ …
//! ```
//!
//! Each record begins with the offset in bytes of the instruction it is about. The section gives the size of a record.
//! A newer compiler may make it larger, and the bytes after the known fields are ignored. (The format is libbpf's.)

use super::{bytes::word, error::Broken, header::Header, view::Btf};

/// A checked view of `.BTF.ext`: every section and record lies within it, and every section name within the strings.
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
    /// The consecutive sections.
    rest: &'a [u8],
}

impl<'a> Ext<'a> {
    /// Checks the contents of a section `.BTF.ext` that belongs to `btf`.
    ///
    /// # Errors
    ///
    /// [`Broken`] if a section or record lies outside, or a section name lies outside the strings.
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

    /// Returns the records of func_info: offset of an instruction where a function starts, type id of the function.
    pub fn func_info(&self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        self.func_info.sections()
    }

    /// Returns the records of line_info: offset of an instruction; string offsets of its file and of its source line;
    /// line and column in one word.
    pub fn line_info(&self) -> impl Iterator<Item = Records<'a>> + use<'a> {
        self.line_info.sections()
    }

    /// Returns the CO-RE relocations: offset of an instruction, type id, string offset of the access, kind.
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

    /// Splits off the records of the next section; `None` if they are not complete.
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
    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(self.size).unwrap_or(0)
    }

    /// Returns whether there are no records. Every section of an [`Ext`] has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the first `N` words of each record. Records of `func_info` have 2 words or more, the others 4 or more.
    pub fn words<const N: usize>(&self) -> impl ExactSizeIterator<Item = [u32; N]> + use<'a, N> {
        self.bytes.chunks_exact(self.size.max(1)).map(|record| std::array::from_fn(|index| word(record, index * 4)))
    }
}
