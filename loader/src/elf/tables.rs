//! Reads the tables of a 64-bit ELF file: section headers, symbols, relocations.
//!
//! Only what a BPF object has: four structures with fixed fields. (The crate `object` reads executables and libraries,
//! of both classes and piece by piece. A build that attaches to none of them does without that crate.)

#[cfg(test)]
mod tests;

use std::ffi::CStr;

/// Constants of `elf.h`.
pub(super) mod abi {
    pub(crate) const EM_BPF: u16 = 247;
    pub(crate) const ET_REL: u16 = 1;
    pub(crate) const SHF_EXECINSTR: u64 = 4;
    pub(crate) const SHN_UNDEF: u16 = 0;
    pub(crate) const SHN_LORESERVE: u16 = 0xff00;
    pub(crate) const SHN_XINDEX: u16 = 0xffff;
    pub(crate) const SHT_SYMTAB: u32 = 2;
    pub(crate) const SHT_STRTAB: u32 = 3;
    pub(crate) const SHT_RELA: u32 = 4;
    pub(crate) const SHT_NOBITS: u32 = 8;
    pub(crate) const SHT_REL: u32 = 9;
    pub(crate) const SHT_SYMTAB_SHNDX: u32 = 18;
    /// Relocations in a compressed form, by LLVM's number.
    #[cfg(feature = "aya-obj")]
    pub(crate) const SHT_CREL: u32 = 0x4000_0014;
    pub(crate) const STB_LOCAL: u8 = 0;
    pub(crate) const STB_WEAK: u8 = 2;
    pub(crate) const STT_OBJECT: u8 = 1;
    pub(crate) const STT_FUNC: u8 = 2;
    pub(crate) const STT_SECTION: u8 = 3;
    #[cfg(feature = "aya-obj")]
    pub(crate) const STT_GNU_IFUNC: u8 = 10;
    pub(crate) const STV_INTERNAL: u8 = 1;
    pub(crate) const STV_HIDDEN: u8 = 2;
}

/// The sizes of `Elf64_Ehdr`, `Elf64_Shdr`, `Elf64_Sym`, `Elf64_Rel` and `Elf64_Rela` in bytes.
const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
const REL: usize = 16;
const RELA: usize = 24;
/// The size of an entry of `SHT_SYMTAB_SHNDX` in bytes.
const EXTENDED: usize = 4;

/// The file header and the section headers.
#[derive(Debug)]
pub(crate) struct Tables<'d> {
    data: &'d [u8],
    order: Order,
    /// `e_type`
    pub(crate) kind: u16,
    /// `e_machine`
    pub(crate) machine: u16,
    sections: &'d [u8],
    /// The names of the sections.
    names: &'d [u8],
}

/// A section header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SectionHeader {
    name: u32,
    /// `SHT_…`
    pub(crate) kind: u32,
    /// `SHF_…`
    pub(crate) flags: u64,
    pub(crate) address: u64,
    offset: u64,
    /// In bytes.
    pub(crate) size: u64,
    link: u32,
    /// The section that relocations change.
    pub(crate) info: u32,
    /// The size of an entry of a table in bytes; 0 if the header does not say it.
    entry: u64,
}

/// An entry of the symbol table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SymbolEntry {
    name: u32,
    info: u8,
    other: u8,
    /// `SHN_…`, or the section's index.
    pub(crate) section: u16,
    pub(crate) address: u64,
    /// In bytes.
    pub(crate) size: u64,
}

/// A relocation without its type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relocation {
    /// Bytes from the section's start.
    pub(crate) offset: u64,
    /// The symbol's index.
    pub(crate) symbol: usize,
}

/// The symbol table (`SHT_SYMTAB`).
#[derive(Debug)]
pub(crate) struct Symbols<'d> {
    order: Order,
    entries: &'d [u8],
    names: &'d [u8],
    /// The sections of symbols whose section has an index above 0xfeff.
    extended: &'d [u8],
}

/// The reasons why a file has no readable tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The file header is that of no 64-bit ELF file, or it is truncated.
    Header,
    /// The section headers or their names lie outside of the file, or their size is unknown.
    Sections,
}

/// A part that lies outside of the file or of its table, ends within an entry, or has entries of another size. Its name
/// completes the sentence "… cannot be read".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outside(pub(crate) &'static str);

/// The byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }
}

impl<'d> Tables<'d> {
    /// Reads the headers. The other functions check the parts of the file to which the headers point.
    pub(crate) fn read(data: &'d [u8]) -> Result<Self, Unreadable> {
        let order = match data.first_chunk() {
            // The magic number, `ELFCLASS64`, the byte order and `EV_CURRENT`.
            Some([0x7f, b'E', b'L', b'F', 2, 1, 1]) => Order::Little,
            Some([0x7f, b'E', b'L', b'F', 2, 2, 1]) => Order::Big,
            _ => return Err(Unreadable::Header),
        };
        let header = data.get(..HEADER).ok_or(Unreadable::Header)?;
        let (kind, machine) = order.u16(header, 16).zip(order.u16(header, 18)).ok_or(Unreadable::Header)?;
        let (sections, names) = Self::find_sections(data, header, order).ok_or(Unreadable::Sections)?;
        let mut tables = Self { data, order, kind, machine, sections, names: &[] };
        if !sections.is_empty() {
            // Index 0 says that there are no names. The header there has the numbers that are too large for the file's
            // header.
            let names = Some(names).filter(|names| *names != 0).and_then(|names| tables.section(names));
            let names = names.ok_or(Unreadable::Sections)?;
            tables.names = tables.bytes(&names).ok_or(Unreadable::Sections)?;
        }
        Ok(tables)
    }

    /// Returns the bytes of all section headers, and the index of the section with their names.
    fn find_sections(data: &'d [u8], header: &[u8], order: Order) -> Option<(&'d [u8], usize)> {
        let start = usize::try_from(order.u64(header, 40)?).ok()?;
        if start == 0 {
            return Some((&[], 0));
        }
        let [size, count, names] = [order.u16(header, 58)?, order.u16(header, 60)?, order.u16(header, 62)?];
        let headers = data.get(start..)?;
        // The first header holds the numbers that do not fit into the file header.
        let count = if count == 0 { usize::try_from(order.u64(headers, 32)?).ok()? } else { usize::from(count) };
        let names = if names == abi::SHN_XINDEX { order.u32(headers, 40)? as usize } else { usize::from(names) };
        if usize::from(size) != SECTION {
            return None;
        }
        Some((headers.get(..count.checked_mul(SECTION)?)?, names))
    }

    /// Returns whether the file's byte order is big-endian.
    pub(crate) fn is_big_endian(&self) -> bool {
        self.order == Order::Big
    }

    /// Returns the section headers in the file's order, the null section included.
    pub(crate) fn sections(&self) -> impl Iterator<Item = SectionHeader> {
        let order = self.order;
        self.sections.chunks_exact(SECTION).map_while(move |bytes| SectionHeader::read(order, bytes))
    }

    fn section(&self, index: usize) -> Option<SectionHeader> {
        SectionHeader::read(self.order, self.sections.get(index.checked_mul(SECTION)?..)?)
    }

    /// Returns a section's name.
    pub(crate) fn name(&self, section: &SectionHeader) -> Result<&'d [u8], Outside> {
        string(self.names, section.name).ok_or(Outside("the name of a section"))
    }

    /// Returns a section's bytes in the file; `None` if they lie outside of it.
    pub(crate) fn bytes(&self, section: &SectionHeader) -> Option<&'d [u8]> {
        if section.kind == abi::SHT_NOBITS {
            return Some(&[]);
        }
        let start = usize::try_from(section.offset).ok()?;
        self.data.get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
    }

    /// Returns a table's bytes; `None` if they lie outside of the file, the last entry is cut off, or the header says
    /// that entries have another size.
    fn entries(&self, section: &SectionHeader, size: usize) -> Option<&'d [u8]> {
        let has_size = section.entry == 0 || section.entry == size as u64;
        self.bytes(section).filter(|bytes| has_size && bytes.len().is_multiple_of(size))
    }

    /// Returns the symbol table, or an empty one if the file has none. Several are refused: relocations could mean any
    /// of them.
    pub(crate) fn symbols(&self) -> Result<Symbols<'d>, Outside> {
        self.find_symbols().ok_or(Outside("its symbol table"))
    }

    fn find_symbols(&self) -> Option<Symbols<'d>> {
        let mut symbols = Symbols { order: self.order, entries: &[], names: &[], extended: &[] };
        let mut found = self.sections().enumerate().filter(|(_, section)| section.kind == abi::SHT_SYMTAB);
        let Some((index, section)) = found.next() else { return Some(symbols) };
        if found.next().is_some() {
            return None;
        }
        symbols.entries = self.entries(&section, SYMBOL)?;
        if section.link != 0 {
            let names = self.section(section.link as usize).filter(|names| names.kind == abi::SHT_STRTAB)?;
            symbols.names = self.bytes(&names)?;
        }
        let mut others = self.sections();
        let extended = |other: &SectionHeader| other.kind == abi::SHT_SYMTAB_SHNDX && other.link as usize == index;
        if let Some(extended) = others.find(extended) {
            symbols.extended = self.entries(&extended, EXTENDED)?;
        }
        Some(symbols)
    }

    /// Returns the relocations of a section of the type `SHT_REL` or `SHT_RELA`; none for a section of another type.
    pub(crate) fn relocations(&self, section: &SectionHeader) -> Result<impl Iterator<Item = Relocation>, Outside> {
        let size = if section.kind == abi::SHT_RELA { RELA } else { REL };
        let bytes = match section.kind {
            abi::SHT_REL | abi::SHT_RELA => self.entries(section, size).ok_or(Outside("a section of relocations"))?,
            _ => &[],
        };
        let order = self.order;
        Ok(bytes.chunks_exact(size).map_while(move |bytes| {
            // The symbol is the upper half of `r_info`.
            Some(Relocation { offset: order.u64(bytes, 0)?, symbol: (order.u64(bytes, 8)? >> 32) as usize })
        }))
    }
}

impl SectionHeader {
    fn read(order: Order, bytes: &[u8]) -> Option<Self> {
        Some(Self {
            name: order.u32(bytes, 0)?,
            kind: order.u32(bytes, 4)?,
            flags: order.u64(bytes, 8)?,
            address: order.u64(bytes, 16)?,
            offset: order.u64(bytes, 24)?,
            size: order.u64(bytes, 32)?,
            link: order.u32(bytes, 40)?,
            info: order.u32(bytes, 44)?,
            entry: order.u64(bytes, 56)?,
        })
    }
}

impl SymbolEntry {
    fn read(order: Order, bytes: &[u8]) -> Option<Self> {
        Some(Self {
            name: order.u32(bytes, 0)?,
            info: *bytes.get(4)?,
            other: *bytes.get(5)?,
            section: order.u16(bytes, 6)?,
            address: order.u64(bytes, 8)?,
            size: order.u64(bytes, 16)?,
        })
    }

    /// Returns `STT_…`.
    pub(crate) fn kind(&self) -> u8 {
        self.info & 0xf
    }

    /// Returns `STB_…`.
    pub(crate) fn binding(&self) -> u8 {
        self.info >> 4
    }

    /// Returns `STV_…`.
    pub(crate) fn visibility(&self) -> u8 {
        self.other & 3
    }
}

impl<'d> Symbols<'d> {
    /// Returns the symbols in the file's order, the null symbol included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SymbolEntry> {
        let order = self.order;
        self.entries.chunks_exact(SYMBOL).map_while(move |bytes| SymbolEntry::read(order, bytes))
    }

    /// Returns a symbol's name.
    pub(crate) fn name(&self, symbol: &SymbolEntry) -> Result<&'d [u8], Outside> {
        string(self.names, symbol.name).ok_or(Outside("the name of a symbol"))
    }

    /// Returns the section of the symbol at `index`; `None` for undefined symbols, constants and common symbols.
    pub(crate) fn section(&self, symbol: &SymbolEntry, index: usize) -> Result<Option<usize>, Outside> {
        match symbol.section {
            abi::SHN_UNDEF => Ok(None),
            abi::SHN_XINDEX => {
                let section = self.order.u32(self.extended, index.saturating_mul(4));
                let section = section.ok_or(Outside("the section index of a symbol"))?;
                Ok((section != 0).then_some(section as usize))
            }
            section => Ok((section < abi::SHN_LORESERVE).then_some(usize::from(section))),
        }
    }
}

/// Returns the string at this offset of a string table, without its final NUL.
fn string(table: &[u8], offset: u32) -> Option<&[u8]> {
    let string = CStr::from_bytes_until_nul(table.get(offset as usize..)?).ok()?;
    Some(string.to_bytes())
}
