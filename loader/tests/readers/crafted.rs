//! Object files that no compiler writes, section by section.

use cutaway::Instruction;
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
    write::{Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection},
};

/// An object file under construction.
pub(crate) struct Crafted(Object<'static>);

impl Crafted {
    /// Makes a file with a license, which is a C string.
    pub(crate) fn new(license: &[u8]) -> Self {
        let mut this = Self::without_license();
        this.data("license", license);
        this
    }

    pub(crate) fn without_license() -> Self {
        Self(Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::default()))
    }

    pub(crate) fn section(&mut self, name: &str, kind: SectionKind, bytes: &[u8]) -> SectionId {
        let segment = self.0.segment_name(StandardSegment::Data).to_vec();
        let section = self.0.add_section(segment, name.as_bytes().to_vec(), kind);
        if !bytes.is_empty() {
            self.0.append_section_data(section, bytes, 8);
        }
        section
    }

    pub(crate) fn data(&mut self, name: &str, bytes: &[u8]) -> SectionId {
        self.section(name, SectionKind::Data, bytes)
    }

    /// Adds a section that claims bytes and has none in the file.
    pub(crate) fn zeroes(&mut self, name: &str, size: u64) -> SectionId {
        let section = self.section(name, SectionKind::UninitializedData, &[]);
        self.0.append_section_bss(section, size, 8);
        section
    }

    pub(crate) fn code(&mut self, name: &str, code: &[Instruction]) -> SectionId {
        let bytes: Vec<u8> = code.iter().flat_map(|insn| insn.to_bytes()).collect();
        self.section(name, SectionKind::Text, &bytes)
    }

    /// Adds a symbol at `address` bytes in a section.
    pub(crate) fn symbol(
        &mut self,
        name: &str,
        kind: SymbolKind,
        section: SectionId,
        (address, size): (u64, u64),
        is_global: bool,
    ) -> SymbolId {
        // `STT_NOTYPE`, the type of labels, is not one of the kinds of symbol.
        let label = SymbolFlags::Elf { st_info: elf::STB_GLOBAL << 4 | elf::STT_NOTYPE, st_other: 0 };
        let is_label = kind == SymbolKind::Unknown;
        self.0.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: address,
            size,
            kind: if is_label { SymbolKind::Text } else { kind },
            scope: if is_global { SymbolScope::Dynamic } else { SymbolScope::Compilation },
            weak: false,
            section: SymbolSection::Section(section),
            flags: if is_label { label } else { SymbolFlags::None },
        })
    }

    /// Adds a global function of `count` instructions at instruction `start`.
    pub(crate) fn function(&mut self, name: &str, section: SectionId, (start, count): (u64, u64)) -> SymbolId {
        self.symbol(name, SymbolKind::Text, section, (start * 8, count * 8), true)
    }

    pub(crate) fn section_symbol(&mut self, section: SectionId) -> SymbolId {
        self.0.section_symbol(section)
    }

    /// Adds a relocation of the 64-bit load in instruction `number` to a symbol.
    pub(crate) fn loads(&mut self, section: SectionId, number: u64, symbol: SymbolId) {
        self.relocate(section, number, symbol, elf::R_BPF_64_64);
    }

    /// Adds a relocation of the call in instruction `number` to a symbol.
    pub(crate) fn calls(&mut self, section: SectionId, number: u64, symbol: SymbolId) {
        self.relocate(section, number, symbol, elf::R_BPF_64_32);
    }

    pub(crate) fn relocate(&mut self, section: SectionId, number: u64, symbol: SymbolId, r_type: u32) {
        let flags = RelocationFlags::Elf { r_type };
        self.0.add_relocation(section, Relocation { offset: number * 8, symbol, addend: 0, flags }).unwrap();
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        self.0.write().unwrap()
    }
}

pub(crate) fn mov(register: u8, value: i32) -> Instruction {
    Instruction::new(0xb7, register, 0, 0, value)
}

pub(crate) fn exit() -> Instruction {
    Instruction::new(0x95, 0, 0, 0, 0)
}

/// Returns a call of the function that starts `distance` instructions after the next instruction; -1 for a symbol's
/// function.
pub(crate) fn call(distance: i32) -> Instruction {
    Instruction::new(0x85, 0, 1, 0, distance)
}

/// Returns the load of an address that is `behind` bytes after a symbol.
pub(crate) fn load(register: u8, behind: i32) -> [Instruction; 2] {
    [Instruction::new(0x18, register, 0, 0, behind), Instruction::new(0, 0, 0, 0, 0)]
}
