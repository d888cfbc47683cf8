//! Indices into the section and symbol tables of a file.

use std::fmt;

/// The index of a section. Only [`super::file`] creates one, after it has checked that the file has such a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SectionIndex(pub(super) usize);

impl SectionIndex {
    /// The index for a program that comes from no file. No file has so many sections.
    pub(crate) const NONE: Self = Self(usize::MAX);
}

#[cfg(feature = "aya-obj")]
impl SectionIndex {
    /// Returns the section's number in the file.
    pub(crate) const fn number(self) -> usize {
        self.0
    }
}

#[cfg(test)]
impl SectionIndex {
    /// Returns an index for tests that have no file.
    pub(crate) const fn in_no_file(index: usize) -> Self {
        Self(index)
    }
}

/// The index of a symbol. Only [`super::file`] creates one, after it has checked that the file has such a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SymbolIndex(pub(super) usize);

impl fmt::Display for SectionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
