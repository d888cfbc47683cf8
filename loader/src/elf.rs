//! The ELF file of an object, read and checked.
//!
//! ```text
//!     file.rs        bytes ─▶ sections, symbols, relocations: all bounds and structure are checked there
//!     section.rs     sections, and what their names say
//!     symbol.rs      symbols, and the places that they stand for
//!     byteswap.rs    objects of the other byte order
//! ```
//!
//! What a section *means* is decided by later stages, which rely on what is established here: each section lies within the
//! file, each symbol within its section, each relocation on an instruction of the section that it changes.

mod byteswap;
mod file;
mod section;
mod symbol;

use std::ops::Range;

use self::file::Parts;
pub(crate) use self::{
    section::{ARENA, Section, describes_maps, is_struct_ops},
    symbol::{Place, Start, Symbol},
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

    /// Returns whether it is for machines of the other byte order.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.foreign
    }

    /// Refuses an object for machines of the other byte order.
    pub(crate) fn must_be_native(&self) -> Result<(), Error> {
        match self.0.foreign {
            true => Err(Error::Object {
                why: "its byte order is not this machine's: compile it for bpfel or bpfeb accordingly".to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// Returns the sections in the file's order.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.0.sections
    }

    /// Returns the section with this index.
    pub(crate) fn section(&self, index: usize) -> Option<&Section> {
        self.0.sections.get(index)
    }

    /// Returns the index of the first section of this name.
    pub(crate) fn position(&self, name: &[u8]) -> Option<usize> {
        self.0.sections.iter().position(|section| section.name.as_bytes() == name)
    }

    /// Returns the contents of the first section of this name; empty if there is none.
    pub(crate) fn contents(&self, name: &str) -> &[u8] {
        let section = self.position(name.as_bytes()).and_then(|place| self.section(place));
        section.and_then(Section::contents).unwrap_or_default()
    }

    /// Returns the functions that the file defines, in its order.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Symbol> {
        self.0.symbols.iter().filter(|symbol| symbol.is_function)
    }

    /// Returns the symbols that the file does not define, with their indices.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (usize, &Symbol)> {
        self.0.symbols.iter().enumerate().filter(|(_, symbol)| symbol.is_import)
    }

    /// Returns whether instructions of another section refer to something in this one.
    pub(crate) fn is_referred_to(&self, section: usize) -> bool {
        let mut others = self.0.relocations.iter().filter(|((changed, _), _)| *changed != section);
        others.any(|(_, symbol)| self.0.symbols.get(*symbol).is_some_and(|symbol| symbol.section == Some(section)))
    }

    /// Returns the global variables, maps among them, in the file's order.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Symbol> {
        self.0.symbols.iter().filter(|symbol| symbol.is_variable)
    }

    /// Returns the named symbols of a section that stand for data, with their indices.
    pub(crate) fn symbols_in(&self, section: usize) -> impl Iterator<Item = (usize, &Symbol)> {
        let all = self.0.symbols.iter().enumerate();
        all.filter(move |(_, symbol)| symbol.section == Some(section) && !symbol.is_section && !symbol.name.is_empty())
    }

    /// Returns what the words of a section refer to: offset in bytes, symbol.
    pub(crate) fn references(&self, section: usize) -> impl Iterator<Item = (u64, &Symbol)> {
        self.references_in(section, 0..u64::MAX)
    }

    /// Returns what the words of a part of the section refer to; `part` is in bytes from its start.
    pub(crate) fn references_in(&self, section: usize, part: Range<u64>) -> impl Iterator<Item = (u64, &Symbol)> {
        let from = self.0.relocations.from(&(section, part.start)).iter();
        let inside = from.take_while(move |((changed, offset), _)| *changed == section && *offset < part.end);
        inside.filter_map(|((_, offset), symbol)| Some((*offset, self.0.symbols.get(*symbol)?)))
    }

    /// Returns where sections of variables, and that of the license, hold addresses, which nothing fills in: section, and
    /// bytes from its start; ascending.
    pub(crate) fn addresses(&self) -> &[(usize, u64)] {
        &self.0.addresses
    }

    /// Returns the symbol that the instruction at `offset` bytes in `section` refers to, and its index.
    pub(crate) fn reference(&self, section: usize, offset: u64) -> Option<(usize, &Symbol)> {
        let &symbol = self.0.relocations.get(&(section, offset))?;
        Some((symbol, self.0.symbols.get(symbol)?))
    }
}
