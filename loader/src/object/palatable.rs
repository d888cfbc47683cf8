//! The object as aya-obj can take it.
//!
//! aya-obj refuses a whole file for one section of programs whose name it does not know, and reads maps and infos with less
//! care than we do. So it is given a copy in which all that is nameless notes, which it passes over. What is left for it
//! are symbols, sizes, licence and version; the BTF it gets separately, see load.rs.

use object::{
    Endianness,
    elf::{FileHeader64, SHT_NOTE},
    read::elf::FileHeader,
};

use super::elf::Elf;

/// Bytes of a section header, and where in one the name and the type are (`Elf64_Shdr`).
const HEADER: usize = 64;
const NAME: usize = 0;
const TYPE: usize = 4;

/// A copy of `object` with the sections that are not for aya-obj made invisible to it.
pub(super) fn palatable(object: &[u8], elf: &Elf) -> Vec<u8> {
    let mut copy = object.to_vec();
    let Ok(header) = FileHeader64::<Endianness>::parse(object) else { return copy };
    let Ok(endian) = header.endian() else { return copy };
    let start = header.e_shoff(endian) as usize;
    for (index, section) in elf.sections().iter().enumerate() {
        if section.contents().is_some() || section.is_data() {
            let at = start + index * HEADER;
            set(&mut copy, at + NAME, 0);
            set(&mut copy, at + TYPE, SHT_NOTE);
        }
    }
    copy
}

fn set(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..at + 4) {
        word.copy_from_slice(&value.to_ne_bytes());
    }
}
