//! An object that aya-obj has read, as this crate keeps it, and the object readers.

use std::{fmt, str::FromStr, sync::Arc};

use super::guard;

/// aya-obj's object, separate from its maps.
#[derive(Debug, Clone)]
pub(crate) struct AyaObject {
    /// The object, with its BTF completed; its maps are in `maps`.
    pub(crate) object: aya_obj::Object,
    /// The maps by name, as `relocate_maps` takes them. A map with data has one byte here, because the data is in the
    /// map's description; a map without data has no byte.
    pub(crate) maps: Vec<(String, aya_obj::Map)>,
    /// The object's BTF as aya-obj has completed it; `None` if it has no types.
    pub(crate) types: Option<Arc<[u8]>>,
    /// Whether linking avoids the known faults of aya-obj's linker.
    pub(crate) is_mended: bool,
    /// Whether this crate's reader has read the same file: its relocation and linking are then compared with aya-obj's.
    pub(crate) is_compared: bool,
}

/// A reader of object files. Its display form, which [`FromStr`] parses, is `cutaway` or `aya-obj`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ObjectReader {
    /// This crate's own reader.
    #[default]
    Cutaway,
    /// The crate aya-obj, version 0.3.0, which aya 0.14 uses.
    AyaObj,
}

impl ObjectReader {
    /// Returns whether this thread is inside a call of aya-obj. A panic there is caught and becomes an error, so a
    /// panic hook has nothing to report.
    #[must_use]
    pub fn is_catching_panics() -> bool {
        guard::is_catching_panics()
    }
}

impl fmt::Display for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cutaway => "cutaway",
            Self::AyaObj => "aya-obj",
        })
    }
}

impl FromStr for ObjectReader {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "cutaway" => Ok(Self::Cutaway),
            "aya-obj" => Ok(Self::AyaObj),
            _ => Err(format!("unknown object reader `{name}`; the object readers are cutaway, aya-obj")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_form_is_parsed() {
        for reader in [ObjectReader::Cutaway, ObjectReader::AyaObj] {
            assert_eq!(reader.to_string().parse(), Ok(reader));
        }
        assert_eq!(format!("{:8}|", ObjectReader::AyaObj), "aya-obj |");
        let error = "libbpf".parse::<ObjectReader>().unwrap_err();
        assert_eq!(error, "unknown object reader `libbpf`; the object readers are cutaway, aya-obj");
    }
}
