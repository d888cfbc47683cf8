//! Writes modules from a `build.rs`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{generate, options::Options};
use crate::Error;

/// Writes the module of an object file, from a `build.rs`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// cutaway::bindgen::Builder::new("src/bpf/probes.o").type_name("struct event").write_to_out_dir()?;
/// # Ok(())
/// # }
/// ```
#[doc(alias("SkeletonBuilder", "bpf2go", "aya-tool"))]
#[derive(Debug, Clone)]
pub struct Builder {
    object: PathBuf,
    module: Option<String>,
    type_names: Vec<String>,
    types_only: bool,
}

impl Builder {
    /// Returns a builder for this object file. A relative path is relative to the current directory, which is the
    /// package's in a `build.rs`.
    #[must_use]
    pub fn new(object: impl AsRef<Path>) -> Self {
        Self { object: object.as_ref().to_owned(), module: None, type_names: Vec::new(), types_only: false }
    }

    /// Sets the name of the module and of its file. The default is the object's file name up to its first dot: `probes`
    /// for `probes.bpf.o`.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>) -> Self {
        self.module = Some(name.into());
        self
    }

    /// Adds a type: see [`Options::type_name`].
    #[must_use]
    pub fn type_name(mut self, name: impl Into<String>) -> Self {
        self.type_names.push(name.into());
        self
    }

    /// Sets whether the module has only the types: see [`Options::types_only`].
    #[must_use]
    pub fn types_only(mut self, only: bool) -> Self {
        self.types_only = only;
        self
    }

    /// Returns the module's text. It includes the object's bytes from the object file (`include_bytes!`).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the file cannot be read; otherwise as [`generate`].
    pub fn generate(&self) -> Result<String, Error> {
        let failed = |why: &std::io::Error| Error::Invalid {
            operation: format!("read the object file {}", self.object.display()),
            why: why.to_string(),
        };
        let bytes = fs::read(&self.object).map_err(|why| failed(&why))?;
        let path = fs::canonicalize(&self.object).map_err(|why| failed(&why))?;
        let mut options = Options::new(self.name()).types_only(self.types_only).include(path);
        options.type_names.clone_from(&self.type_names);
        generate(&bytes, &options)
    }

    /// Writes the module to `NAME.rs` in a directory, and returns the file's path. Prints `cargo:rerun-if-changed` for
    /// the object file. A file with the same text is not written again.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the object cannot be read or the file cannot be written; otherwise as [`generate`].
    pub fn write_to(&self, directory: impl AsRef<Path>) -> Result<PathBuf, Error> {
        println!("cargo:rerun-if-changed={}", self.object.display());
        let text = self.generate()?;
        let file = directory.as_ref().join(format!("{}.rs", super::naming::module(&self.name())));
        if fs::read(&file).is_ok_and(|known| known == text.as_bytes()) {
            return Ok(file);
        }
        fs::write(&file, text).map_err(|why| Error::Invalid {
            operation: format!("write the bindings to {}", file.display()),
            why: why.to_string(),
        })?;
        Ok(file)
    }

    /// Writes the module as [`write_to`](Self::write_to) does, to the directory in the environment variable `OUT_DIR`,
    /// which cargo sets for a `build.rs`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `OUT_DIR` is not set; otherwise as [`write_to`](Self::write_to).
    pub fn write_to_out_dir(&self) -> Result<PathBuf, Error> {
        let directory = env::var_os("OUT_DIR").ok_or_else(|| Error::Invalid {
            operation: "write the bindings to OUT_DIR".to_owned(),
            why: "the environment variable is not set: call this from a build.rs".to_owned(),
        })?;
        self.write_to(directory)
    }

    /// Returns the module's name.
    fn name(&self) -> String {
        let file = || self.object.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = |file: String| file.split('.').find(|part| !part.is_empty()).unwrap_or("object").to_owned();
        self.module.clone().unwrap_or_else(|| stem(file()))
    }
}
