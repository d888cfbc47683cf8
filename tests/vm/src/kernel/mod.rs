//! Kernels: which one is meant, where it comes from, where it is kept.
//!
//! A version (`6.1`, `newest`) becomes a package of the distribution, fetched through the machine's own apt
//! configuration into a private folder and unpacked without root; an image given by path is taken as it is.

mod catalog;
mod deb822;
mod package;
mod sources;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::version::Version;

/// The kernels of a run that names none: the oldest supported, the long-lived ones between, the newest.
pub const MATRIX: [&str; 4] = ["5.10", "6.1", "6.12", "newest"];

/// Which kernel is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The newest packaged kernel of this version.
    Version(Version),
    /// The newest packaged kernel of all.
    Newest,
    /// This file.
    Image(PathBuf),
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "newest" { Ok(Self::Newest) } else { text.parse().map(Self::Version) }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Newest => f.write_str("newest"),
            Self::Image(path) => f.write_str(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()),
        }
    }
}

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// The build configuration, where the package has one; the guest finds it as `/boot/config-RELEASE`.
    pub config: Option<PathBuf>,
    /// `uname -r`, where the package says it.
    pub release: Option<String>,
    /// The kernel's version; of an image given by path it is known once it has booted.
    pub version: Option<Version>,
    /// The packages it was taken from, `NAME=VERSION`.
    pub packages: Vec<String>,
}

/// Finds or fetches a kernel.
///
/// # Errors
/// [`Error::NoKernel`] if this machine's package sources have none such; [`Error::Unusable`] for an image that is no kernel.
pub fn obtain(request: &Request, cache: &Cache, refresh: bool) -> Result<Kernel> {
    match request {
        Request::Image(path) => image(path),
        Request::Version(_) | Request::Newest => {
            let _one_at_a_time = cache.lock("kernels")?;
            let catalog = catalog::Catalog::load(cache, refresh)?;
            let entry = catalog.find(request)?;
            package::unpacked(entry, &catalog, cache)
        }
    }
}

/// An image by path, looked at: the boot protocol's magic stands at 0x202 (Documentation/arch/x86/boot.rst).
fn image(path: &Path) -> Result<Kernel> {
    let path = std::path::absolute(path).map_err(Error::file("find", path))?;
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    if bytes.get(0x202..0x206) != Some(b"HdrS".as_slice()) {
        return Err(Error::Unusable {
            path,
            why: "is not an x86 kernel image (a bzImage, usually named vmlinuz-VERSION)".to_owned(),
        });
    }
    let release = release_in(&bytes);
    let version = release.as_deref().and_then(Version::leading).map(|(version, _)| version);
    Ok(Kernel { image: path, config: None, release, version, packages: Vec::new() })
}

/// The version line of a bzImage: the word at 0x20e, plus 0x200, is the offset of its text, which begins with `uname -r`.
fn release_in(image: &[u8]) -> Option<String> {
    let pointer = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    let text = image.get(usize::from(pointer).checked_add(0x200)?..)?;
    let end = text.iter().take(256).position(|byte| matches!(byte, 0 | b' '))?;
    let release = str::from_utf8(text.get(..end)?).ok()?;
    Version::leading(release).map(|_| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_versions_or_newest() {
        assert_eq!("newest".parse(), Ok(Request::Newest));
        assert_eq!("6.1".parse::<Request>().unwrap().to_string(), "6.1");
        assert!("latest".parse::<Request>().is_err());
        for name in MATRIX {
            assert_eq!(name.parse::<Request>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn an_image_says_its_release() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmlinuz");
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x320].copy_from_slice(b"6.1.0-50-cloud-amd64 (someone) \0");
        fs::write(&path, &image).unwrap();
        let kernel = super::image(&path).unwrap();
        assert_eq!(kernel.release.as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(kernel.version.unwrap().to_string(), "6.1.0");
        fs::write(&path, b"text").unwrap();
        assert!(super::image(&path).unwrap_err().to_string().contains("not an x86 kernel image"));
    }
}
