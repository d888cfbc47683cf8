//! The ELF file of an object, read and checked.
//!
//! ```text
//!     file.rs        bytes ─▶ sections, symbols, relocations; checks all bounds and the structure
//!     tables.rs      the tables of an ELF file, entry by entry
//!     section.rs     sections, and the meanings of their names
//!     symbol.rs      symbols, and their locations
//!     byteswap.rs    objects of the other byte order
//!     oddities.rs    parts that this crate ignores and aya-obj does not
//!     described.rs   sections and variables that another reader has found
//! ```
//!
//! Later stages decide what a section *means*. They rely on these checks: each section lies within the file, each
//! symbol within its section, each relocation on an instruction of the section that it changes.

mod byteswap;
#[cfg(feature = "aya-obj")]
mod described;
mod file;
mod index;
#[cfg(feature = "aya-obj")]
mod oddities;
mod section;
mod symbol;
mod tables;

use std::ops::Range;

use self::file::Parts;
pub(crate) use self::{
    index::{SectionIndex, SymbolIndex},
    section::{ARENA, Section, describes_maps, is_struct_ops},
    symbol::{Location, Start, Symbol},
    tables::{Tables, Unreadable},
};
use crate::Error;

/// The parts of the file that later stages need, owned.
#[derive(Debug, Clone)]
pub(crate) struct Elf(Parts);

impl Elf {
    /// Reads and checks an object file.
    pub(crate) fn read(data: &[u8]) -> Result<Self, Error> {
        file::read(data).map(Self)
    }

    /// Returns whether the object is foreign-endian.
    pub(crate) fn is_foreign_endian(&self) -> bool {
        self.0.foreign
    }

    /// Refuses a foreign-endian object.
    pub(crate) fn must_be_native(&self) -> Result<(), Error> {
        match self.0.foreign {
            true => Err(Error::Object {
                why: if cfg!(target_endian = "little") {
                    "its byte order is not this machine's: compile it for bpfel".to_owned()
                } else {
                    "its byte order is not this machine's: compile it for bpfeb".to_owned()
                },
            }),
            false => Ok(()),
        }
    }

    /// Returns the sections in the file's order, with their indices.
    pub(crate) fn sections(&self) -> impl DoubleEndedIterator<Item = (SectionIndex, &Section)> {
        self.0.sections.iter().enumerate().map(|(index, section)| (SectionIndex(index), section))
    }

    /// Returns the section with this index.
    #[expect(clippy::expect_used, reason = "an index exists only for an existing section, and no section is removed")]
    pub(crate) fn section(&self, index: SectionIndex) -> &Section {
        self.0.sections.get(index.0).expect("a section's index")
    }

    /// Returns the symbol with this index.
    #[expect(clippy::expect_used, reason = "an index exists only for an existing symbol, and no symbol is removed")]
    fn symbol(&self, index: SymbolIndex) -> &Symbol {
        self.0.symbols.get(index.0).expect("a symbol's index")
    }

    /// Returns the symbols in the file's order, with their indices.
    fn symbols(&self) -> impl Iterator<Item = (SymbolIndex, &Symbol)> {
        self.0.symbols.iter().enumerate().map(|(index, symbol)| (SymbolIndex(index), symbol))
    }

    /// Returns the index of the first section of this name.
    pub(crate) fn position(&self, name: &[u8]) -> Option<SectionIndex> {
        self.sections().find(|(_, section)| section.name.as_bytes() == name).map(|(index, _)| index)
    }

    /// Returns the contents of the first section of this name; empty if there is none.
    pub(crate) fn contents(&self, name: &str) -> &[u8] {
        let section = self.position(name.as_bytes()).map(|index| self.section(index));
        section.and_then(Section::contents).unwrap_or_default()
    }

    /// Returns the functions that the file defines, in its order.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Symbol> {
        self.0.symbols.iter().filter(|symbol| symbol.is_function)
    }

    /// Returns the undefined symbols that the kernel has to provide, with their indices.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (SymbolIndex, &Symbol)> {
        self.symbols().filter(|(_, symbol)| symbol.is_import)
    }

    /// Returns whether another section has a relocation against a symbol of this one.
    pub(crate) fn is_referred_to(&self, section: SectionIndex) -> bool {
        let mut others = self.0.relocations.iter().filter(|((changed, _), _)| *changed != section);
        others.any(|(_, symbol)| self.symbol(*symbol).section == Some(section))
    }

    /// Returns the global variables, maps included, in the file's order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Symbol> {
        self.0.symbols.iter().filter(|symbol| symbol.is_variable)
    }

    /// Returns the named symbols of data in a section, with their indices.
    pub(crate) fn symbols_in(&self, section: SectionIndex) -> impl Iterator<Item = (SymbolIndex, &Symbol)> {
        self.symbols()
            .filter(move |(_, symbol)| symbol.section == Some(section) && !symbol.is_section && !symbol.name.is_empty())
    }

    /// Returns the relocations of a section: offset in bytes, symbol.
    pub(crate) fn references(&self, section: SectionIndex) -> impl Iterator<Item = (u64, &Symbol)> {
        self.references_in(section, 0..u64::MAX)
    }

    /// Returns the relocations of a part of a section; `part` is in bytes from the section's start.
    pub(crate) fn references_in(
        &self,
        section: SectionIndex,
        part: Range<u64>,
    ) -> impl Iterator<Item = (u64, &Symbol)> {
        let from = self.0.relocations.from(&(section, part.start)).iter();
        let inside = from.take_while(move |((changed, offset), _)| *changed == section && *offset < part.end);
        inside.map(|((_, offset), symbol)| (*offset, self.symbol(*symbol)))
    }

    /// Returns the addresses in the license section and in sections of variables, which no loader fills in: section and
    /// bytes from its start, ascending.
    pub(crate) fn addresses(&self) -> &[(SectionIndex, u64)] {
        &self.0.addresses
    }

    /// Returns the symbol of the relocation at `offset` bytes in `section`, and the symbol's index.
    pub(crate) fn reference(&self, section: SectionIndex, offset: u64) -> Option<(SymbolIndex, &Symbol)> {
        let &symbol = self.0.relocations.get(&(section, offset))?;
        Some((symbol, self.symbol(symbol)))
    }
}
