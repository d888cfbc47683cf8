//! A kernel that can be booted, and the parsing of an image given by path.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::version::Version;

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// The image: a bzImage for x86_64, an Image for aarch64.
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

/// Returns the kernel in a file, if it is one for this architecture.
pub(super) fn by_path(path: &Path, arch: Arch) -> Result<Kernel> {
    let path = std::path::absolute(path).map_err(Error::file("find", path))?;
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    if let Err(why) = check(&bytes, arch) {
        return Err(Error::Unusable { path, why });
    }
    let release = match arch {
        Arch::X86_64 => release_in(&bytes),
        Arch::Aarch64 => release_in_banner(&bytes),
    };
    let version = release.as_deref().and_then(Version::leading).map(|(version, _)| version);
    Ok(Kernel { image: path, config: None, release, version, packages: Vec::new() })
}

/// Checks the magic numbers of the boot protocols: `HdrS` at 0x202 (Documentation/arch/x86/boot.rst), `ARMd` at 56
/// (Documentation/arch/arm64/booting.rst). QEMU unpacks an Image that gzip has compressed. The reason is the error.
fn check(image: &[u8], arch: Arch) -> Result<(), String> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let has = |offset: usize, magic: &[u8]| image.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let is_kernel = match arch {
        Arch::X86_64 => has(0x202, b"HdrS"),
        Arch::Aarch64 => has(56, b"ARMd") || has(0, &GZIP),
    };
    if is_kernel {
        return Ok(());
    }
    Err(match arch {
        Arch::X86_64 if has(56, b"ARMd") => "a kernel for aarch64: use --arch aarch64".to_owned(),
        Arch::X86_64 => "not an x86 kernel image (a bzImage, usually named vmlinuz-VERSION)".to_owned(),
        Arch::Aarch64 if has(0x202, b"HdrS") => "a kernel for x86_64: use --arch x86_64".to_owned(),
        // A program that unpacks the kernel, for firmware.
        Arch::Aarch64 if has(4, b"zimg") => {
            "an EFI program with a compressed kernel in it, which QEMU does not start: unpack it first".to_owned()
        }
        Arch::Aarch64 => "not an aarch64 kernel image (an Image, usually named vmlinuz-VERSION)".to_owned(),
    })
}

/// Returns the release in a bzImage: the word at 0x20e, plus 0x200, is the offset of a string that begins with
/// `uname -r`.
fn release_in(image: &[u8]) -> Option<String> {
    let pointer = u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?);
    first_word(image.get(usize::from(pointer).checked_add(0x200)?..)?)
}

/// Returns the release in the banner of an Image that is not compressed: `Linux version RELEASE (…`.
fn release_in_banner(image: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    // The kernel has such a text more than once: as a format, `Linux version %s`, too.
    memchr::memmem::find_iter(image, BANNER).find_map(|at| first_word(image.get(at + BANNER.len()..)?))
}

/// Returns the release at the start of a text.
fn first_word(text: &[u8]) -> Option<String> {
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
        let kernel = by_path(&path, Arch::X86_64).unwrap();
        assert_eq!(kernel.release.as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(kernel.version.unwrap().to_string(), "6.1.0");
        let error = by_path(&path, Arch::Aarch64).unwrap_err().to_string();
        assert!(error.ends_with("a kernel for x86_64: use --arch x86_64"), "{error}");
        fs::write(&path, b"text").unwrap();
        assert!(by_path(&path, Arch::X86_64).unwrap_err().to_string().contains("not an x86 kernel image"));
    }

    #[test]
    fn release_is_read_from_an_image_for_arm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vmlinuz");
        let mut image = vec![0; 0x400];
        image[56..60].copy_from_slice(b"ARMd");
        image.extend(b"Linux version %s\0Linux version 6.12.117+deb13-cloud-arm64 (builder) #1\0");
        fs::write(&path, &image).unwrap();
        let kernel = by_path(&path, Arch::Aarch64).unwrap();
        assert_eq!(kernel.release.as_deref(), Some("6.12.117+deb13-cloud-arm64"));
        assert_eq!(kernel.version.unwrap().to_string(), "6.12.117");
        let error = by_path(&path, Arch::X86_64).unwrap_err().to_string();
        assert!(error.ends_with("a kernel for aarch64: use --arch aarch64"), "{error}");
        // Without its header an Image is a file that gzip may have compressed, or none.
        fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert_eq!(by_path(&path, Arch::Aarch64).unwrap().release, None);
        fs::write(&path, b"MZ\0\0zimg").unwrap();
        assert!(by_path(&path, Arch::Aarch64).unwrap_err().to_string().contains("unpack it first"));
    }
}
