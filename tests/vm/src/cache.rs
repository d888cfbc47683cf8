//! The cache between runs, under `$XDG_CACHE_HOME/cutaway-vm` (`~/.cache/cutaway-vm`): package lists, kernels, and the
//! selected accelerator. It can be deleted at any time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens the user's cache.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn open() -> Result<Self> {
        let root = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Self::at(root.join("cutaway-vm"))
    }

    /// Opens a cache in the given directory, creating the directory if it does not exist.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn at(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(Error::file("create", &root))?;
        Ok(Self { root })
    }

    /// Returns a path inside the cache.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Waits until no other process holds the lock `name`, and takes it. The lock is held until the file is dropped.
    ///
    /// # Errors
    /// If the lock file cannot be created or locked.
    pub fn lock(&self, name: &str) -> Result<File> {
        let path = self.path(format!("{name}.lock"));
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(file)
    }

    /// Reads a cached value. `None` if there is none, or if it cannot be decoded because an older version of this
    /// program wrote it.
    #[must_use]
    pub fn load<T: DeserializeOwned>(&self, name: impl AsRef<Path>) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path(name)).ok()?).ok()
    }

    /// Caches a value. The file is replaced atomically: a reader never sees half of it.
    ///
    /// # Errors
    /// If the value cannot be written.
    pub fn store<T: Serialize>(&self, name: impl AsRef<Path>, value: &T) -> Result<()> {
        let path = self.path(name);
        let written = (|| {
            let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.root))?;
            serde_json::to_writer_pretty(&mut file, value)?;
            file.persist(&path)?;
            Ok(())
        })();
        written.map_err(Error::file("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_back_and_garbage_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("new")).unwrap();
        assert_eq!(cache.load::<Vec<u32>>("a.json"), None);
        cache.store("a.json", &vec![1, 2]).unwrap();
        assert_eq!(cache.load("a.json"), Some(vec![1, 2]));
        fs::write(cache.path("a.json"), "[1,").unwrap();
        assert_eq!(cache.load::<Vec<u32>>("a.json"), None);
        let _held = cache.lock("x").unwrap();
    }
}
