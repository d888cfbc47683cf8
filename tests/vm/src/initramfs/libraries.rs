//! The shared libraries of an executable, found as its dynamic loader would find them.

use std::path::{Path, PathBuf};

use lddtree::DependencyAnalyzer;

use crate::error::{Error, Result};

/// What an executable or a library is linked to, with what that is linked to, and so on.
pub(super) struct Linked {
    /// Paths on the host, the dynamic loader's among them.
    pub(super) found: Vec<PathBuf>,
    /// Names that are nowhere.
    pub(super) missing: Vec<String>,
}

pub(super) fn of(path: &Path) -> Result<Linked> {
    let mut analyzer = DependencyAnalyzer::default();
    for folder in std::env::split_paths(&std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default()) {
        analyzer = analyzer.add_library_path(folder);
    }
    let tree = analyzer.analyze(path).map_err(|error| Error::Unusable {
        path: path.to_path_buf(),
        why: format!("its libraries cannot be told: {error}"),
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
