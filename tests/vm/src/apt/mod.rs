//! apt with its state in a directory of its own: the archives of this machine, in all their releases, for one
//! architecture.
//!
//! Options direct apt away from the machine's own state: its lists, caches, preferences and logs are in the cache
//! directory. So root is not needed, and no file of the machine changes. apt checks signatures and hashes.

pub(crate) mod deb822;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::tool::Tool;

const ADVICE: &str = "it is part of Debian and its derivatives; on other systems use --image";

/// apt for one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Apt {
    root: PathBuf,
    arch: Arch,
}

impl Apt {
    /// Returns the apt of an architecture. Its lists may be empty or old.
    pub(crate) fn new(arch: Arch, cache: &Cache) -> Self {
        Self { root: cache.path(own_name("apt", arch)), arch }
    }

    /// Queries the archives. Returns apt's error messages, which are mostly about suites that no longer exist: such a
    /// suite fails the whole update, although the other lists are there.
    pub(crate) fn update(&self) -> Result<Option<String>> {
        for folder in ["lists/partial", "cache/archives/partial", "state", "log"] {
            let folder = self.root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        }
        let list = self.root.join("private.sources");
        fs::write(&list, sources::private()?).map_err(Error::file("write", &list))?;
        let (status, _, refused) = self.call("apt-get").args(["-qq", "update"]).finish()?;
        Ok((!status.success()).then(|| refused.to_string()))
    }

    /// Returns a call of one of apt's programs.
    pub(crate) fn call(&self, program: &str) -> Tool {
        let at = |name: &str| self.root.join(name).display().to_string();
        Tool::new(program, ADVICE).args(
            [
                ("APT::Architecture", self.arch.debian().to_owned()),
                ("APT::Architectures", self.arch.debian().to_owned()),
                ("Dir::Etc::SourceList", at("private.sources")),
                ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
                ("Dir::Etc::Preferences", "/dev/null".to_owned()),
                ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
                ("Dir::State", at("state")),
                ("Dir::State::Lists", at("lists")),
                ("Dir::State::Status", "/dev/null".to_owned()),
                ("Dir::Cache", at("cache")),
                ("Dir::Log", at("log")),
                ("APT::Default-Release", String::new()),
                ("APT::Sandbox::User", String::new()),
                ("Acquire::Languages", "none".to_owned()),
                ("Acquire::Retries", "3".to_owned()),
            ]
            .iter()
            .flat_map(|(name, value)| ["-o".to_owned(), format!("{name}={value}")]),
        )
    }

    /// Downloads a package, `NAME` or `NAME=VERSION`, into an empty directory, and returns the archive's path.
    pub(crate) fn download(&self, package: &str, folder: &Path) -> Result<PathBuf> {
        self.call("apt-get").args(["-qq", "download", package]).directory(folder).output()?;
        let mut entries = fs::read_dir(folder).map_err(Error::file("list", folder))?;
        match entries.next() {
            Some(entry) => Ok(entry.map_err(Error::file("list", folder))?.path()),
            None => {
                Err(Error::Unusable { path: folder.to_path_buf(), why: "apt-get download wrote no file".to_owned() })
            }
        }
    }
}

/// Returns true if a download failed because the archive has no such file: its lists are newer or older than its files.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Refused { program, said, .. } if program == "apt-get" && said.contains(" 404 "))
}

/// Returns a call of dpkg-deb.
pub(crate) fn dpkg() -> Tool {
    Tool::new("dpkg-deb", ADVICE)
}

/// Returns a name in the cache: of this machine's own architecture `name`, of another one `name-aarch64`.
pub(crate) fn own_name(name: &str, arch: Arch) -> String {
    if arch.is_foreign() { format!("{name}-{arch}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_file_differs_from_a_missing_archive() {
        let refused = |said: &str| {
            is_gone(&Error::Refused { program: "apt-get".into(), status: "exit status: 100".into(), said: said.into() })
        };
        assert!(refused("E: Failed to fetch http://a/pool/linux-image.deb  404  Not Found [IP: 192.0.2.1 80]"));
        assert!(!refused("E: Failed to fetch http://a/pool/linux-image.deb  Could not connect to a:80"));
    }
}
