//! Parts of a file that this crate ignores, and that take another reader too much memory or time.

use super::tables::{Tables, abi};

/// The maximum number of sections: for each, aya-obj looks for its relocations among all of them.
const MOST_SECTIONS: usize = 1 << 14;

/// The beginnings of the names of sections whose contents aya-obj copies, whatever follows.
const COPIED: [&[u8]; 5] = [b".data", b".rodata", b".text", b"maps", b".maps"];

/// Returns the first such part, as the predicate of a sentence about aya-obj; `None` if there is none.
pub(super) fn oddity(data: &[u8], tables: &Tables<'_>) -> Option<String> {
    let (mut relocations, mut copied) = (0_u64, 0_u64);
    for section in tables.sections() {
        let (name, size, kind) = (tables.name(&section).ok()?, section.size, section.kind);
        let is_code = section.flags & abi::SHF_EXECINSTR != 0;
        if matches!(kind, abi::SHT_REL | abi::SHT_RELA | abi::SHT_CREL) {
            relocations = relocations.saturating_add(size);
        }
        if kind != abi::SHT_NOBITS && (is_code || COPIED.iter().any(|copied| name.starts_with(copied))) {
            copied = copied.saturating_add(size);
        }
        if name.starts_with(b".text") && !is_code && size != 0 {
            let name = String::from_utf8_lossy(name);
            return Some(format!("takes the contents of the section `{name}` for code, without its flag"));
        }
    }
    let size = data.len() as u64;
    let sections = tables.sections().count();
    if sections > MOST_SECTIONS {
        return Some(format!("looks for the relocations of each of {sections} sections in all of them"));
    }
    if relocations > size {
        return Some(format!("keeps {relocations} bytes of relocations that overlap in the file"));
    }
    if copied > size {
        return Some(format!("copies {copied} bytes of sections that overlap in the file"));
    }
    let symbols = tables.symbols().ok()?;
    let indirect = symbols.iter().any(|symbol| symbol.kind() == abi::STT_GNU_IFUNC);
    indirect.then(|| "takes indirect functions (STT_GNU_IFUNC) for functions".to_owned())
}
