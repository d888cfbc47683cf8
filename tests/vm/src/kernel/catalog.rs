//! The kernels that the archives have, queried once a week and cached.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::apt::deb822::paragraphs;
use crate::apt::{Apt, own_name};
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::version::Version;

/// The age in seconds after which the archives are queried again: a week.
const KEPT_SECONDS: u64 = 7 * 24 * 3600;

/// The kernels that the archives have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Catalog {
    /// The time of the query, in seconds since 1970.
    asked: u64,
    entries: Vec<Entry>,
    /// apt's error messages, mostly about suites that no longer exist.
    complaint: Option<String>,
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
    pub(super) fn load(arch: Arch, apt: &Apt, cache: &Cache, refresh: bool) -> Result<Self> {
        let name = file(arch);
        let kept = cache.load::<Self>(&name);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match kept {
            Some(kept) if !refresh && now.saturating_sub(kept.asked) < KEPT_SECONDS => Ok(kept),
            kept => match Self::ask(arch, apt, now) {
                Ok(new) => cache.store(&name, &new).map(|()| new),
                Err(error) => kept.filter(|_| !refresh).ok_or(error),
            },
        }
    }

    fn ask(arch: Arch, apt: &Apt, now: u64) -> Result<Self> {
        let complaint = apt.update()?;
        let pattern = format!("^linux-image-[0-9].*-{}$", arch.flavor());
        let found = apt.call("apt-cache").args(["search", "--names-only", "--full", &pattern]).output()?;
        let catalog = Self { asked: now, entries: entries(&found), complaint };
        if catalog.entries.is_empty() {
            return Err(Error::NoKernel {
                wanted: format!("from packages for {arch}"),
                why: format!(
                    "apt's archives have none ({}); use --image",
                    catalog.complaint.as_deref().unwrap_or("no such package in their lists")
                ),
            });
        }
        Ok(catalog)
    }

    /// Removes a package that the archives' lists have and the archives do not, until the archives are queried again.
    pub(super) fn forget(&mut self, gone: &Entry, arch: Arch, cache: &Cache) -> Result<()> {
        self.entries.retain(|entry| entry != gone);
        cache.store(file(arch), self)
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

/// Returns the catalog's file name in the cache.
fn file(arch: Arch) -> String {
    own_name("catalog", arch) + ".json"
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

    #[test]
    fn forgotten_package_is_replaced_by_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path()).unwrap();
        let (mut catalog, request) = (catalog(), "6.1".parse().unwrap());
        let newest = catalog.find(&request).unwrap().clone();
        catalog.forget(&newest, Arch::X86_64, &cache).unwrap();
        assert_eq!(catalog.find(&request).unwrap().release(), "6.1.0-47-cloud-amd64");
        let kept = cache.load::<Catalog>(file(Arch::X86_64)).unwrap();
        assert_eq!(kept.entries, catalog.entries, "later runs do not ask for it");
    }
}
