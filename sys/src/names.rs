//! Lists of names in one string each.
//!
//! A table of string slices costs 40 bytes for each entry beside its letters: pointer, length, and the relocation that the
//! dynamic loader applies to the pointer. One string that is split on demand costs none of them.

/// Returns the name at `index` of a list of names separated by spaces; `None` after the last one, and for the entry `-`.
#[must_use]
pub fn nth(names: &'static str, index: usize) -> Option<&'static str> {
    names.split_ascii_whitespace().nth(index).filter(|&name| name != "-")
}
