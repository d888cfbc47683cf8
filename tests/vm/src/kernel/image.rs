//! A kernel that can be booted, and the parsing of an image given by path.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::version::Version;

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// The build configuration, if the package has one; in the guest it is `/boot/config-RELEASE`.
    pub config: Option<PathBuf>,
    /// `uname -r`, if the package contains it.
    pub release: Option<String>,
    /// The kernel's version; for an image given by path it is known after boot.
    pub version: Option<Version>,
    /// The packages it was taken from, `NAME=VERSION`.
    pub packages: Vec<String>,
}

/// Returns the kernel in a file. Checks the boot protocol's magic at 0x202 (Documentation/arch/x86/boot.rst).
pub(super) fn by_path(path: &Path) -> Result<Kernel> {
    let path = std::path::absolute(path).map_err(Error::file("find", path))?;
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    if bytes.get(0x202..0x206) != Some(b"HdrS".as_slice()) {
        return Err(Error::Unusable {
            path,
            why: "not an x86 kernel image (a bzImage, usually named vmlinuz-VERSION)".to_owned(),
        });
    }
    let release = release_in(&bytes);
    let version = release.as_deref().and_then(Version::leading).map(|(version, _)| version);
    Ok(Kernel { image: path, config: None, release, version, packages: Vec::new() })
}

/// Returns the release in a bzImage: the word at 0x20e, plus 0x200, is the offset of a string that begins with
/// `uname -r`.
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
    fn release_is_read_from_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmlinuz");
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x320].copy_from_slice(b"6.1.0-50-cloud-amd64 (someone) \0");
        fs::write(&path, &image).unwrap();
        let kernel = by_path(&path).unwrap();
        assert_eq!(kernel.release.as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(kernel.version.unwrap().to_string(), "6.1.0");
        fs::write(&path, b"text").unwrap();
        assert!(by_path(&path).unwrap_err().to_string().contains("not an x86 kernel image"));
    }
}
