//! The kernels that the archives have, queried once a week and cached.
//!
//! apt does the work. Options direct it away from the machine's own state: its lists, caches, preferences and logs are
//! in the cache directory. So root is not needed, and no file of the machine changes. apt checks signatures and hashes.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::deb822::paragraphs;
use super::request::Request;
use super::sources;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::tool::Tool;
use crate::version::Version;

const KEPT_AS: &str = "catalog.json";
/// The age in seconds after which the archives are queried again: a week.
const KEPT_SECONDS: u64 = 7 * 24 * 3600;
/// Debian's kernel for virtual machines: small, with everything built in that tracing needs.
const FLAVOR: &str = "cloud-amd64";
const APT: &str = "it is part of Debian and its derivatives; on other systems use --image";

/// The kernels that the archives have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Catalog {
    /// The time of the query, in seconds since 1970.
    asked: u64,
    entries: Vec<Entry>,
    /// apt's error messages, mostly about suites that no longer exist.
    complaint: Option<String>,
    root: PathBuf,
}

/// A packaged kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// `linux-image-6.1.0-50-cloud-amd64`.
    pub(super) package: String,
    /// `6.1.176-1`.
    pub(super) package_version: String,
    /// `6.1.176`.
    pub(super) version: Version,
}

impl Entry {
    /// Returns the kernel's `uname -r`, which is part of the package's name.
    pub(super) fn release(&self) -> &str {
        self.package.strip_prefix("linux-image-").unwrap_or(&self.package)
    }
}

impl Catalog {
    /// Returns the cached catalog, or queries the archives if it is old, absent or `refresh` is set. If the query
    /// fails, an existing catalog is used.
    pub(super) fn load(cache: &Cache, refresh: bool) -> Result<Self> {
        let kept = cache.load::<Self>(KEPT_AS);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match kept {
            Some(kept) if !refresh && now.saturating_sub(kept.asked) < KEPT_SECONDS => Ok(kept),
            kept => match Self::ask(cache, now) {
                Ok(new) => Ok(new),
                Err(error) => kept.filter(|_| !refresh).ok_or(error),
            },
        }
    }

    fn ask(cache: &Cache, now: u64) -> Result<Self> {
        let root = cache.path("apt");
        for folder in ["lists/partial", "cache/archives/partial", "state", "log"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        }
        let list = root.join("private.sources");
        fs::write(&list, sources::private()?).map_err(Error::file("write", &list))?;
        let mut catalog = Self { asked: now, root, ..Self::default() };
        // A suite that was removed from the mirror fails the whole update, although the other lists are there.
        let (status, _, refused) = catalog.apt("apt-get").args(["-qq", "update"]).finish()?;
        catalog.complaint = (!status.success()).then(|| refused.to_string());
        let pattern = format!("^linux-image-[0-9].*-{FLAVOR}$");
        let found = catalog.apt("apt-cache").args(["search", "--names-only", "--full", &pattern]).output()?;
        catalog.entries = entries(&found);
        if catalog.entries.is_empty() {
            return Err(Error::NoKernel {
                wanted: "from packages".to_owned(),
                why: format!(
                    "apt's archives have none ({}); use --image",
                    catalog.complaint.as_deref().unwrap_or("no such package in their lists")
                ),
            });
        }
        cache.store(KEPT_AS, &catalog)?;
        Ok(catalog)
    }

    /// Returns a call of apt in its private directory.
    pub(super) fn apt(&self, program: &str) -> Tool {
        let at = |name: &str| self.root.join(name).display().to_string();
        Tool::new(program, APT).args(
            [
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

    /// Returns the newest kernel that meets a request.
    pub(super) fn find(&self, request: &Request) -> Result<&Entry> {
        self.entries
            .iter()
            .filter(|entry| match request {
                Request::Version(version) => version.is_met_by(entry.version),
                Request::Newest | Request::Image(_) => true,
            })
            .max_by_key(|entry| entry.version)
            .ok_or_else(|| {
                let mut have: Vec<_> =
                    self.entries.iter().map(|entry| (entry.version.major, entry.version.minor)).collect();
                have.sort_unstable();
                have.dedup();
                let have: Vec<_> = have.iter().map(|(major, minor)| format!("{major}.{minor}")).collect();
                let complaint =
                    self.complaint.as_ref().map(|text| format!(" (apt reported: {text})")).unwrap_or_default();
                Error::NoKernel {
                    wanted: request.to_string(),
                    why: format!(
                        "the available packages are {}{complaint}; use --refresh to query the archives again",
                        have.join(", ")
                    ),
                }
            })
    }
}

/// Parses the kernels in the output of `apt-cache search --full`.
fn entries(found: &str) -> Vec<Entry> {
    paragraphs(found)
        .iter()
        .filter_map(|paragraph| {
            let package = paragraph.get("Package")?.to_owned();
            let package_version = paragraph.get("Version")?.to_owned();
            let (version, _) = Version::leading(&package_version)?;
            Some(Entry { package, package_version, version })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let found = "Package: linux-image-6.1.0-47-cloud-amd64\nVersion: 6.1.170-1\nDescription: x\n more\n\n\
            Package: linux-image-6.1.0-50-cloud-amd64\nVersion: 6.1.176-1\n\n\
            Package: linux-image-6.12.107+deb13-cloud-amd64\nVersion: 6.12.107-1\n\n\
            Package: linux-image-7.3.4+deb13-cloud-amd64\nVersion: 7.3.4-1~bpo13+1\n";
        Catalog { entries: entries(found), ..Catalog::default() }
    }

    #[test]
    fn newest_kernel_of_a_version_is_found() {
        let catalog = catalog();
        let find = |text: &str| catalog.find(&text.parse().unwrap()).map(|entry| entry.release().to_owned());
        assert_eq!(find("6.1").unwrap(), "6.1.0-50-cloud-amd64");
        assert_eq!(find("6.1.170").unwrap(), "6.1.0-47-cloud-amd64");
        assert_eq!(find("newest").unwrap(), "7.3.4+deb13-cloud-amd64");
        let error = find("5.4").unwrap_err().to_string();
        assert!(error.contains("no kernel 5.4") && error.contains("6.1, 6.12, 7.3"), "{error}");
    }
}
