//! Parts of a file that this crate ignores, and that take another reader too much memory or time.

use object::{
    Endianness,
    elf::{self, FileHeader64},
    read::elf::{SectionHeader, SectionTable},
};

/// The maximum number of sections: for each, aya-obj looks for its relocations among all of them.
const MOST_SECTIONS: usize = 1 << 14;

/// The beginnings of the names of sections whose contents aya-obj copies, whatever follows.
const COPIED: [&[u8]; 5] = [b".data", b".rodata", b".text", b"maps", b".maps"];

/// Returns the first such part, as the predicate of a sentence about aya-obj; `None` if there is none.
pub(super) fn oddity(
    data: &[u8],
    endian: Endianness,
    table: &SectionTable<'_, FileHeader64<Endianness>>,
) -> Option<String> {
    let (mut relocations, mut copied) = (0_u64, 0_u64);
    for section in table.iter() {
        let (name, size) = (table.section_name(endian, section).ok()?, section.sh_size(endian));
        let kind = section.sh_type(endian);
        let is_code = section.sh_flags(endian) & u64::from(elf::SHF_EXECINSTR) != 0;
        if matches!(kind, elf::SHT_REL | elf::SHT_RELA | elf::SHT_CREL) {
            relocations = relocations.saturating_add(size);
        }
        if kind != elf::SHT_NOBITS && (is_code || COPIED.iter().any(|copied| name.starts_with(copied))) {
            copied = copied.saturating_add(size);
        }
        if name.starts_with(b".text") && !is_code && size != 0 {
            let name = String::from_utf8_lossy(name);
            return Some(format!("takes the contents of the section `{name}` for code, without its flag"));
        }
    }
    let size = data.len() as u64;
    if table.len() > MOST_SECTIONS {
        return Some(format!("looks for the relocations of each of {} sections in all of them", table.len()));
    }
    if relocations > size {
        return Some(format!("keeps {relocations} bytes of relocations that overlap in the file"));
    }
    if copied > size {
        return Some(format!("copies {copied} bytes of sections that overlap in the file"));
    }
    let symbols = table.symbols(endian, data, elf::SHT_SYMTAB).ok()?;
    let indirect = symbols.iter().any(|symbol| symbol.st_type() == elf::STT_GNU_IFUNC);
    indirect.then(|| "takes indirect functions (STT_GNU_IFUNC) for functions".to_owned())
}
