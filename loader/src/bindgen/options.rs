//! Settings of a generated module.

use std::path::PathBuf;

/// Settings of [`generate`](super::generate).
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) name: String,
    pub(super) type_names: Vec<String>,
    pub(super) types_only: bool,
    pub(super) include: Option<PathBuf>,
}

impl Options {
    /// Returns settings for a module of this name, which also names its types: `probes` gives `OpenProbes`,
    /// `LoadedProbes` and `ProbesLinks`. By default the object's bytes are a literal in the module.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), type_names: Vec::new(), types_only: false, include: None }
    }

    /// Adds a type of the object by its name in C: `event`, `struct event`, or the name of a typedef or enumeration.
    #[must_use]
    #[doc(alias = "-type")]
    pub fn type_name(mut self, name: impl Into<String>) -> Self {
        self.type_names.push(name.into());
        self
    }

    /// Sets whether the module has only the types, without the object's bytes and the types that open, load and attach
    /// it.
    #[must_use]
    pub fn types_only(mut self, only: bool) -> Self {
        self.types_only = only;
        self
    }

    /// Includes the object's bytes from this file (`include_bytes!`) when the module is compiled. A relative path is
    /// relative to the module's file.
    #[must_use]
    pub fn include(mut self, path: impl Into<PathBuf>) -> Self {
        self.include = Some(path.into());
        self
    }
}
