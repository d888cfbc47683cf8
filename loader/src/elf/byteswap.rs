//! Byte-swaps an object for machines of the other byte order while it is read, so that it can be inspected.
//!
//! Swapped are *instructions* (the two register fields, offset, immediate), *BTF* and `.BTF.ext` (words of four bytes
//! after a magic of two bytes and two single bytes; not the names), and words that describe maps or that a relocation
//! changes.
//!
//! Data sections are not swapped: that would need their BTF types, and inspection does not read the values.

use std::sync::Arc;

use super::{
    index::SectionIndex,
    section::{Section, describes_maps},
    symbol::Relocations,
};
use crate::Error;

/// The header of BTF up to where its own length stands.
const BEGINNING: usize = 4;

/// Brings what is read of the sections into this machine's byte order.
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

/// `struct bpf_insn`: an operation, two registers of four bits each, an offset of two bytes, a constant of four.
fn instruction([_, registers, offset @ .., a, b, c, d]: &mut [u8; 8]) {
    *registers = registers.rotate_left(4);
    offset.reverse();
    std::mem::swap(a, d);
    std::mem::swap(b, c);
}

fn words(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
}

/// `struct btf_header`: the magic, version and flags, its length, then where types and names are, from its end on.
fn btf(bytes: &mut [u8]) {
    let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word) as usize);
    magic(bytes);
    if let Some(len) = bytes.get_mut(BEGINNING..BEGINNING + 4) {
        len.reverse();
    }
    let header = word(bytes, BEGINNING).unwrap_or(0);
    if let Some(rest) = bytes.get_mut(BEGINNING + 4..header) {
        words(rest);
    }
    // All kinds of type are made of words alone.
    let (Some(start), Some(len)) = (word(bytes, 8), word(bytes, 12)) else { return };
    let start = header.saturating_add(start);
    if let Some(types) = bytes.get_mut(start..start.saturating_add(len)) {
        words(types);
    }
}

/// `struct btf_ext_header`, and records that are words alone.
fn ext(bytes: &mut [u8]) {
    magic(bytes);
    if let Some(rest) = bytes.get_mut(BEGINNING..) {
        words(rest);
    }
}

fn magic(bytes: &mut [u8]) {
    if let Some(magic) = bytes.get_mut(..2) {
        magic.reverse();
    }
}
