//! Symbols of an object file, and the locations that they stand for.

use super::index::{SectionIndex, SymbolIndex};
use crate::sorted::Sorted;

/// Where a function starts: its section, and bytes from that section's start. Two text sections both start at address
/// 0, so neither is enough alone.
pub(crate) type Start = (SectionIndex, u64);

/// Where a map's definition lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Location {
    /// A symbol, by its index in the symbol table.
    Symbol(SymbolIndex),
    /// A whole data section.
    Section(SectionIndex),
    /// The section `.kconfig`, which is not in the file.
    Kconfig,
    /// Nowhere: the template of a map's inner maps.
    Nowhere,
}

/// What instructions refer to: symbol indices, by the section that the instruction is in and bytes from its start.
pub(super) type Relocations = Sorted<(SectionIndex, u64), SymbolIndex>;

/// A symbol of the file.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    /// Index of the section that it is defined in; `None` for an undefined or absolute symbol.
    pub(crate) section: Option<SectionIndex>,
    /// Bytes from the section's start.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// It is visible outside its file.
    pub(crate) global: bool,
    /// It may be missing.
    pub(crate) weak: bool,
    /// It is visible to other files at static link time only (`STV_HIDDEN`, `STV_INTERNAL`).
    pub(crate) hidden: bool,
    /// It is undefined: the kernel has to provide it.
    pub(crate) is_import: bool,
    pub(super) is_variable: bool,
    pub(super) is_function: bool,
    /// It stands for the section itself, and the instruction says where in it.
    pub(crate) is_section: bool,
}
