//! An object that aya-obj has read, as this crate keeps it, and the name of the reader.

use std::sync::Arc;

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
    /// Whether this crate's reader has read the same file, so that relocation and linking are compared with its own.
    pub(crate) is_compared: bool,
}

/// A reader of object files.
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
