//! Finds the shared libraries of an executable as its dynamic loader would.

use std::path::{Path, PathBuf};

use lddtree::DependencyAnalyzer;

use crate::arch::Arch;
use crate::error::{Error, Result};

/// The libraries of an executable or a library, and their libraries, recursively.
pub(super) struct Linked {
    /// Paths in the guest, including the dynamic loader's.
    pub(super) found: Vec<PathBuf>,
    /// Names that were not found.
    pub(super) missing: Vec<String>,
}

/// Finds the libraries of a file of the host: in the host's own directories, or in those of a sysroot.
pub(super) fn of(path: &Path, sysroot: Option<&Path>) -> Result<Linked> {
    let mut analyzer = DependencyAnalyzer::new(sysroot.unwrap_or(Path::new("/")).to_path_buf());
    // The analyzer finds the configuration of the host's C library only, which may be another one than the sysroot's.
    for folder in sysroot.into_iter().flat_map(directories) {
        analyzer = analyzer.add_library_path(folder);
    }
    // The variable is for programs of the host.
    let folders = std::env::var_os("LD_LIBRARY_PATH").filter(|_| sysroot.is_none());
    for folder in std::env::split_paths(&folders.unwrap_or_default()) {
        analyzer = analyzer.add_library_path(folder);
    }
    let tree = analyzer.analyze(path).map_err(|error| Error::Unusable {
        path: path.to_path_buf(),
        why: format!("cannot determine its libraries: {error}"),
    })?;
    let in_guest = |path: &Path| match sysroot.and_then(|root| path.strip_prefix(root).ok()) {
        Some(inside) => Path::new("/").join(inside),
        None => path.to_path_buf(),
    };
    let mut linked = Linked { found: Vec::new(), missing: Vec::new() };
    for library in tree.libraries.into_values() {
        if library.found() {
            linked.found.push(in_guest(&library.path));
        } else {
            linked.missing.push(library.name);
        }
    }
    if let Some(interpreter) = tree.interpreter.map(PathBuf::from) {
        // Without it the file is not started. The analyzer may have it among the libraries, by its name.
        let is_there = sysroot.is_none_or(|root| root.join(relative(&interpreter)).exists());
        if is_there {
            linked.found.push(interpreter);
        } else if !linked.missing.iter().any(|name| interpreter.ends_with(name)) {
            linked.missing.push(interpreter.display().to_string());
        }
    }
    linked.found.sort();
    linked.missing.sort();
    Ok(linked)
}

/// Returns the directories of libraries in a sysroot.
fn directories(root: &Path) -> Vec<PathBuf> {
    let multiarch =
        Arch::ALL.iter().flat_map(|arch| ["lib", "usr/lib"].map(|lib| root.join(lib).join(arch.multiarch())));
    multiarch.chain(["lib64", "usr/lib64", "lib", "usr/lib"].map(|lib| root.join(lib))).collect()
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
