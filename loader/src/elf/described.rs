//! Sections and variables that another reader has found, as if read from a file.

use super::{
    Elf,
    file::Parts,
    index::SectionIndex,
    section::Section,
    symbol::{Relocations, Symbol},
};

impl Elf {
    /// Returns a file with these sections, without symbols and relocations.
    pub(crate) fn described(sections: Vec<Section>) -> Self {
        Self(Parts {
            sections,
            symbols: Vec::new(),
            relocations: Relocations::of(Vec::new()),
            addresses: Vec::new(),
            foreign: false,
            oddity: None,
        })
    }

    /// Adds a global variable: `size` bytes at `address` in the section.
    pub(crate) fn describe_variable(&mut self, name: String, section: SectionIndex, address: u64, size: u64) {
        self.0.symbols.push(Symbol {
            name,
            section: Some(section),
            address,
            size,
            global: true,
            weak: false,
            hidden: false,
            is_import: false,
            is_variable: true,
            is_function: false,
            is_section: false,
        });
    }

    /// Returns a part of the file that this crate ignores, and that takes aya-obj too much memory or time, as the
    /// predicate of a sentence about aya-obj; `None` if there is none.
    pub(crate) fn oddity(&self) -> Option<&str> {
        self.0.oddity.as_deref()
    }

    /// Returns the index of section number `number`; `None` if there is no such section.
    pub(crate) fn section_index(&self, number: usize) -> Option<SectionIndex> {
        (number < self.0.sections.len()).then_some(SectionIndex(number))
    }

    /// Returns all symbols in the file's order, also those without a name and those that stand for sections.
    pub(crate) fn all_symbols(&self) -> impl ExactSizeIterator<Item = &Symbol> {
        self.0.symbols.iter()
    }
}

impl Symbol {
    /// Returns whether it stands for neither a function nor a variable nor a section.
    pub(crate) fn is_of_unknown_kind(&self) -> bool {
        !(self.is_function || self.is_variable || self.is_section)
    }
}
