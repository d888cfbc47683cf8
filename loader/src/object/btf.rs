//! Admission of `.BTF` and `.BTF.ext`: every offset, length and type number in range, before aya-obj reads them.
//!
//! ```text
//!     .BTF      header │ types … │ strings …            a type: name, info, size or type, then what its kind adds
//!     .BTF.ext  header │ func_info │ line_info │ core_relo
//!                        each: record size, then for each section: its name, a count, as many records
//! ```
//!
//! What a type *means* is none of this file's business; that reading it cannot leave the section is all of it.
//! (`Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`; `.BTF.ext` is libbpf's.)

use crate::Error;

const MAGIC: u16 = 0xeb9f;

/// Checks `.BTF`; gives its strings, which `.BTF.ext` refers to.
pub(super) fn check(btf: &[u8]) -> Result<&[u8], Error> {
    let section = Section { name: ".BTF", bytes: btf };
    const HEADER: usize = 24;
    let header = section.header(HEADER)?;
    let types = section.part(header, section.word(8)?, section.word(12)?)?;
    let strings = section.part(header, section.word(16)?, section.word(20)?)?;
    if strings.first() != Some(&0) || strings.last() != Some(&0) {
        return Err(section.broken("its strings do not begin and end with a NUL"));
    }
    let strings_len = strings.len() as u32;

    let (mut rest, mut count) = (types, 0_u32);
    let mut highest = 0;
    while !rest.is_empty() {
        let (next, referred) = one_type(rest, strings_len).ok_or_else(|| {
            section.broken(format!("type {} is of an unknown kind, or reaches beyond the section", count + 1))
        })?;
        (rest, count, highest) = (next, count + 1, highest.max(referred));
    }
    if highest > count {
        return Err(section.broken(format!("a type refers to type {highest}, and there are {count}")));
    }
    Ok(strings)
}

/// Checks one type; gives what follows it, and the highest type number that it refers to.
fn one_type(bytes: &[u8], strings: u32) -> Option<(&[u8], u32)> {
    let word = |at: usize| word(bytes, at);
    let (name, info, size_or_type) = (word(0)?, word(4)?, word(8)?);
    let (kind, entries) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
    // What its kind adds: how many records, of how many bytes; where in one a name is, and where type numbers are.
    let (records, len, name_at, types_at): (usize, usize, Option<usize>, &[usize]) = match kind {
        1 => (1, 4, None, &[]),                    // INT
        2 | 7..=12 | 16 | 18 => (0, 0, None, &[]), // PTR, FWD to FUNC, FLOAT, TYPE_TAG
        3 => (1, 12, None, &[0, 4]),               // ARRAY
        4 | 5 => (entries, 12, Some(0), &[4]),     // STRUCT, UNION
        6 => (entries, 8, Some(0), &[]),           // ENUM
        13 => (entries, 8, Some(0), &[4]),         // FUNC_PROTO
        14 | 17 => (1, 4, None, &[]),              // VAR, DECL_TAG
        15 => (entries, 12, None, &[0]),           // DATASEC
        19 => (entries, 12, Some(0), &[]),         // ENUM64
        _ => return None,
    };
    let refers = matches!(kind, 2 | 8..=14 | 17 | 18);
    let mut highest = if refers { size_or_type } else { 0 };
    // aya-obj takes these two for Rust enums without looking.
    let linkage = match kind {
        12 => entries as u32,
        14 => word(12)?,
        _ => 0,
    };
    if name >= strings || linkage > 2 {
        return None;
    }
    let added = bytes.get(12..12 + records * len)?;
    for record in added.chunks_exact(len.max(1)) {
        if name_at.is_some_and(|at| self::word(record, at).is_none_or(|name| name >= strings)) {
            return None;
        }
        for &at in types_at {
            highest = highest.max(self::word(record, at)?);
        }
    }
    Some((bytes.get(12 + records * len..)?, highest))
}

/// Checks `.BTF.ext` against the length of the strings in `.BTF`.
pub(super) fn check_ext(ext: &[u8], strings: u32) -> Result<(), Error> {
    let section = Section { name: ".BTF.ext", bytes: ext };
    const HEADER: usize = 24;
    const HEADER_WITH_CORE: usize = 32;
    let header = section.header(HEADER)?;
    // Where offset and length are in the header, and the bytes of a record that we know.
    let mut parts = vec![(8, 8), (16, 16)];
    if header >= HEADER_WITH_CORE {
        parts.push((24, 16));
    }
    for (at, known) in parts {
        let part = section.part(header, section.word(at)?, section.word(at + 4)?)?;
        if !part.is_empty() {
            infos(part, known, strings)
                .ok_or_else(|| section.broken(format!("the records described at byte {at} reach beyond it")))?;
        }
    }
    Ok(())
}

/// Checks one part of `.BTF.ext`.
fn infos(part: &[u8], known: usize, strings: u32) -> Option<()> {
    let record = word(part, 0)? as usize;
    if record < known || !record.is_multiple_of(4) {
        return None;
    }
    let mut rest = part.get(4..)?;
    while !rest.is_empty() {
        let (name, count) = (word(rest, 0)?, word(rest, 4)? as usize);
        if name >= strings || count == 0 {
            return None;
        }
        rest = rest.get(8_usize.checked_add(record.checked_mul(count)?)?..)?;
    }
    Some(())
}

/// A section and its name, for errors.
struct Section<'a> {
    name: &'static str,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    /// The header's length, which is at least `least`.
    fn header(&self, least: usize) -> Result<usize, Error> {
        let magic = self.bytes.first_chunk().copied().map(u16::from_ne_bytes);
        if magic != Some(MAGIC) {
            return Err(self.broken("it does not begin as BTF of this machine's byte order does"));
        }
        let length = self.word(4)? as usize;
        if length < least || length > self.bytes.len() {
            return Err(self.broken(format!("its header claims {length} bytes")));
        }
        Ok(length)
    }

    /// `length` bytes at `offset` behind the header.
    fn part(&self, header: usize, offset: u32, length: u32) -> Result<&'a [u8], Error> {
        let (offset, length) = (offset as usize, length as usize);
        header
            .checked_add(offset)
            .and_then(|start| self.bytes.get(start..start.checked_add(length)?))
            .ok_or_else(|| self.broken(format!("a part of {length} bytes at {offset} reaches beyond it")))
    }

    fn word(&self, at: usize) -> Result<u32, Error> {
        word(self.bytes, at).ok_or_else(|| self.broken("its header is cut off"))
    }

    fn broken(&self, why: impl std::fmt::Display) -> Error {
        Error::Object { why: format!("its section {} is broken: {why}", self.name) }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
