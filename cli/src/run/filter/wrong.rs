//! The error of an expression.

use std::fmt;

/// The reason why an expression is wrong, and the column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Wrong {
    /// The column of the text, from 1, in characters.
    pub(in crate::run) column: usize,
    pub(in crate::run) why: String,
    /// A name is no member of the record and no enumerator. Records of another type may have it.
    pub(in crate::run) unknown_name: bool,
}

impl Wrong {
    pub(super) fn new(column: usize, why: impl Into<String>) -> Self {
        Self { column, why: why.into(), unknown_name: false }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.why)
    }
}
