//! Finds the shared libraries of an executable as its dynamic loader would.

use std::path::{Path, PathBuf};

use lddtree::DependencyAnalyzer;

use crate::error::{Error, Result};

/// The libraries of an executable or a library, and their libraries, recursively.
pub(super) struct Linked {
    /// Paths on the host, including the dynamic loader's.
    pub(super) found: Vec<PathBuf>,
    /// Names that were not found.
    pub(super) missing: Vec<String>,
}

pub(super) fn of(path: &Path) -> Result<Linked> {
    let mut analyzer = DependencyAnalyzer::default();
    for folder in std::env::split_paths(&std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default()) {
        analyzer = analyzer.add_library_path(folder);
    }
    let tree = analyzer.analyze(path).map_err(|error| Error::Unusable {
        path: path.to_path_buf(),
        why: format!("cannot determine its libraries: {error}"),
    })?;
    let mut linked = Linked { found: tree.interpreter.iter().map(PathBuf::from).collect(), missing: Vec::new() };
    for library in tree.libraries.into_values() {
        if library.found() {
            linked.found.push(library.path);
        } else {
            linked.missing.push(library.name);
        }
    }
    linked.found.sort();
    linked.missing.sort();
    Ok(linked)
}
