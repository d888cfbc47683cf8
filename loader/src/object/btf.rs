//! The object's BTF, read with distrust and completed.
//!
//! Compilers leave open what is the linker's to know: a `DATASEC` says 0 for its size and for the offset of each variable.
//! The kernel wants both, so they are written in here, from the sections and symbols.

use super::elf::Elf;
use crate::{
    Error,
    btf::{Btf, Kind},
};

/// Reads `.BTF`.
pub(super) fn read(bytes: &[u8]) -> Result<Btf<'_>, Error> {
    let broken = |why: String| Error::Object { why: format!("its section .BTF is broken: {why}") };
    let btf = Btf::parse(bytes).map_err(|why| broken(why.to_string()))?;
    // aya-obj, which rewrites BTF for old kernels, takes a linkage for a Rust enum without looking.
    if let Some(ty) = btf.types().find(|ty| ty.linkage() > 2) {
        return Err(broken(format!("`{}` has linkage {}, and 2 is the highest", ty.name(), ty.linkage())));
    }
    Ok(btf)
}

/// The bytes of `.BTF` with sizes and offsets filled in; `None` if there is none.
pub(super) fn completed(elf: &Elf) -> Option<Vec<u8>> {
    let original = elf.contents(".BTF");
    let btf = Btf::parse(original).ok().filter(|btf| btf.end() > 1)?;
    let mut bytes = original.to_vec();
    // hdr_len and type_off
    let types = (word(original, 4) + word(original, 8)) as usize;
    for section in btf.types().filter(|ty| ty.kind() == Kind::Datasec && ty.size() == 0) {
        let name = section.name();
        let Some(index) = elf.sections().iter().position(|section| section.name == name) else { continue };
        // name, info, size; then for each variable type, offset, size
        let at = types + btf.position(section.id());
        let size = elf.section(index).map_or(0, |section| section.size as u32);
        set(&mut bytes, at + 8, size);
        for (place, variable) in section.section_vars().enumerate() {
            let name = btf.ty(variable.type_id).name();
            let symbol = elf.symbols_in(index).find(|(_, symbol)| symbol.name == name);
            if let Some((_, symbol)) = symbol {
                set(&mut bytes, at + 12 + place * 12 + 4, symbol.address as u32);
            }
        }
    }
    Some(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_ne_bytes)
}

fn set(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(word) = bytes.get_mut(at..at + 4) {
        word.copy_from_slice(&value.to_ne_bytes());
    }
}
