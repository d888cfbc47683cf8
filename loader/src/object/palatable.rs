//! The object as aya-obj can take it.
//!
//! aya-obj refuses a whole file for one section of programs whose name it does not know, and reads the rest of what we
//! read ourselves with less care. So it is given a copy in which those sections are nameless notes, which it passes
//! over: all code, and `.BTF.ext`. What is left for it are maps, data, BTF and licence.

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
        if section.executable || section.name == ".BTF.ext" {
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
