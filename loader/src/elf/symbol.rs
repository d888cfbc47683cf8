//! Symbols of an object file, and their locations.

use super::index::{SectionIndex, SymbolIndex};
use crate::sorted::Sorted;

/// The start of a function: its section, and bytes from that section's start. Several text sections start at address 0,
/// so both are needed.
pub(crate) type Start = (SectionIndex, u64);

/// The location of a map's definition in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// A symbol, by its index in the symbol table.
    Symbol(SymbolIndex),
    /// A whole data section.
    Section(SectionIndex),
    /// The section `.kconfig`, which exists only in BTF.
    Kconfig,
    /// Nowhere: an inner map's description.
    Nowhere,
}

/// The relocations: symbol indices, by section and offset in bytes of the instruction.
pub(super) type Relocations = Sorted<(SectionIndex, u64), SymbolIndex>;

/// A symbol of the file.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    /// Index of the section that it is defined in; `None` for an undefined or absolute symbol.
    pub(crate) section: Option<SectionIndex>,
    /// Bytes from the section's start.
    pub(crate) address: u64,
    /// The size in bytes.
    pub(crate) size: u64,
    /// Whether it is visible outside its file.
    pub(crate) global: bool,
    /// Whether it may be missing.
    pub(crate) weak: bool,
    /// Whether it is visible to other files at static link time only (`STV_HIDDEN`, `STV_INTERNAL`).
    pub(crate) hidden: bool,
    /// Whether it is undefined: the kernel has to provide it.
    pub(crate) is_import: bool,
    pub(super) is_variable: bool,
    pub(super) is_function: bool,
    /// Whether it is a section symbol. The instruction then holds the offset in the section.
    pub(crate) is_section: bool,
}
