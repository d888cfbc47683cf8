//! Files that guests of one architecture need besides the tests: process 1, and for another architecture than this
//! machine's the C library and a few programs.

mod init;
mod sysroot;
mod target;

use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::initramfs::on_host;

pub(crate) use target::{require, runner};

/// Where the libraries and programs of an architecture are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The architecture.
    pub arch: Arch,
    /// The directory that has them at the paths of the guest; `None`: this machine's own.
    pub sysroot: Option<PathBuf>,
}

impl Source {
    /// Returns the source for guests like this machine.
    #[must_use]
    pub fn own() -> Self {
        Self { arch: Arch::OWN, sysroot: None }
    }

    /// Returns the source for an architecture: `given`, or for another architecture than this machine's the packages of
    /// the distribution.
    pub(crate) fn obtain(arch: Arch, given: Option<&Path>, cache: &Cache, refresh: bool) -> Result<Self> {
        let sysroot = match given {
            Some(path) => Some(std::fs::canonicalize(path).map_err(Error::file("find", path))?),
            None if arch.is_foreign() => Some(sysroot::obtain(arch, cache, refresh)?),
            None => None,
        };
        Ok(Self { arch, sysroot })
    }

    /// Returns the path on the host of a path in the guest.
    pub(crate) fn on_host(&self, path: &Path) -> PathBuf {
        on_host(self.sysroot.as_deref(), path)
    }

    /// Returns the executable that becomes process 1: this program, built for the architecture.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) fn init(&self, cache: &Cache) -> Result<PathBuf> {
        if !self.arch.is_foreign() {
            return std::env::current_exe().map_err(Error::file("find", "this executable"));
        }
        init::obtain(self.arch, self.sysroot.as_deref(), cache)
    }

    /// Returns the variables with which cargo builds for the architecture. A linker that the user chose stays the
    /// linker, with its own libraries.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        target::variables(self.arch, self.sysroot.as_deref())
    }

    /// Returns the path in the guest of a program that is named like a command, if the sysroot has it.
    pub(crate) fn program(&self, name: &Path) -> Option<PathBuf> {
        const DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
        let root = self.sysroot.as_ref()?;
        let inside = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
        inside.into_iter().find(|path| root.join(path.strip_prefix("/").unwrap_or(path)).is_file())
    }
}
