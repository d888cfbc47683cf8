//! Lists of names in one string each.
//!
//! A table of string slices costs 40 bytes for each entry besides its characters: pointer, length, and the relocation
//! that the dynamic loader applies to the pointer. One string, split on demand, costs none of these.

/// Returns the name at `index` of a list of names separated by spaces; `None` after the last one, and for the entry
/// `-`.
#[must_use]
pub fn nth(names: &'static str, index: usize) -> Option<&'static str> {
    names.split_ascii_whitespace().nth(index).filter(|&name| name != "-")
}

/// Displays a newtype over a value of a kernel enumeration: by its name, or as `$what VALUE` if it has no name.
macro_rules! shown_by_name {
    ($type:ident, $what:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!($what, " {}"), self.0),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use shown_by_name;
