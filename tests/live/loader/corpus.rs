//! Objects made by compilers, kept beside their sources in `tests/corpus`.

use std::path::Path;

/// Reads an object of this directory.
pub(crate) fn read(folder: &str, name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(folder).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
