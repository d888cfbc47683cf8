//! Byte-swaps a foreign-endian object while it is read, so that it can be inspected.
//!
//! Swapped are:
//!
//! - *instructions*: the two register fields, offset, immediate;
//! - *BTF* and `.BTF.ext`: a magic of two bytes and two single bytes, then words of four bytes; names are not swapped;
//! - words that describe maps, and words with relocations.
//!
//! Data sections are not swapped: that would need their BTF types, and inspection does not read the values.

use std::sync::Arc;

use super::{
    index::SectionIndex,
    section::{Section, describes_maps},
    symbol::Relocations,
};
use crate::Error;

/// Bytes of BTF's header before its length field.
const LENGTH_AT: usize = 4;

/// Byte-swaps the sections that are read.
pub(super) fn byteswap(sections: &mut [Section], relocations: &Relocations) -> Result<(), Error> {
    for (index, section) in sections.iter_mut().enumerate() {
        let executable = section.executable;
        let describes_maps = describes_maps(&section.name);
        let Some(bytes) = section.bytes.as_mut() else { continue };
        let bytes = Arc::get_mut(bytes).ok_or_else(|| Error::bug("a section is shared before it is byte-swapped"))?;
        match section.name.as_str() {
            _ if executable => bytes.as_chunks_mut().0.iter_mut().for_each(instruction),
            ".BTF" => btf(bytes),
            ".BTF.ext" => ext(bytes),
            "version" => words(bytes),
            _ if describes_maps => words(bytes),
            _ => {
                let here = relocations.from(&(SectionIndex(index), 0)).iter();
                let here = here.take_while(|((changed, _), _)| *changed == SectionIndex(index));
                for ((_, offset), _) in here {
                    if let Some(word) = usize::try_from(*offset).ok().and_then(|at| bytes.get_mut(at..)?.get_mut(..8)) {
                        word.reverse();
                    }
                }
            }
        }
    }
    Ok(())
}

/// Swaps `struct bpf_insn`: opcode, two registers of four bits each, an offset of two bytes, an immediate of four.
fn instruction([_, registers, offset @ .., a, b, c, d]: &mut [u8; 8]) {
    *registers = registers.rotate_left(4);
    offset.reverse();
    std::mem::swap(a, d);
    std::mem::swap(b, c);
}

fn words(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
}

/// Swaps `struct btf_header` (magic, version and flags, its own length, then offsets of types and names from its end)
/// and the types.
fn btf(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word) as usize);
    magic(bytes);
    if let Some(len) = bytes.get_mut(LENGTH_AT..LENGTH_AT + 4) {
        len.reverse();
    }
    let header = word(bytes, LENGTH_AT).unwrap_or(0);
    if let Some(rest) = bytes.get_mut(LENGTH_AT + 4..header) {
        words(rest);
    }
    // The types consist of words only.
    let (Some(start), Some(len)) = (word(bytes, 8), word(bytes, 12)) else { return };
    let start = header.saturating_add(start);
    if let Some(types) = bytes.get_mut(start..start.saturating_add(len)) {
        words(types);
    }
}

/// Swaps `struct btf_ext_header`, and the records, which consist of words only.
fn ext(bytes: &mut [u8]) {
    magic(bytes);
    if let Some(rest) = bytes.get_mut(LENGTH_AT..) {
        words(rest);
    }
}

fn magic(bytes: &mut [u8]) {
    if let Some(magic) = bytes.get_mut(..2) {
        magic.reverse();
    }
}
