//! The C library and a few programs of another architecture, unpacked from the distribution's packages.
//!
//! Together with `rust-lld` they are all that a Rust program needs to be linked, so no C toolchain is needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::apt::{Apt, dpkg};
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};

/// The C library, what a linker needs of it, the unwinder of Rust's panics, and the other C library; `getent`, a shell,
/// and the core utilities with their libraries.
const PACKAGES: &[&str] = &[
    "libc6",
    "libc6-dev",
    "libgcc-s1",
    "musl",
    "libc-bin",
    "dash",
    "coreutils",
    "libacl1",
    "libattr1",
    "libpcre2-8-0",
    "libselinux1",
];
const ABOUT: &str = "sysroot.json";

/// The description of a complete sysroot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    packages: Vec<String>,
}

/// Returns the sysroot from the cache, or makes it. Its path is always the same, because cargo builds everything again
/// if the linker's options change.
pub(super) fn obtain(arch: Arch, cache: &Cache, refresh: bool) -> Result<PathBuf> {
    let name = format!("sysroot-{arch}");
    let wanted = About { packages: PACKAGES.iter().map(|&name| name.to_owned()).collect() };
    let _one_at_a_time = cache.lock(&name)?;
    let path = cache.path(&name);
    if !refresh && cache.load::<About>(format!("{name}/{ABOUT}")).is_some_and(|about| about == wanted) {
        return Ok(path);
    }
    let made = make(arch, cache);
    let new = match made {
        Ok(new) => new,
        // An old one still serves, as an old list of kernels does.
        Err(_) if !refresh && path.join(ABOUT).exists() => return Ok(path),
        Err(error) => return Err(Error::NoSysroot { arch: arch.name(), source: Box::new(error) }),
    };
    let about = serde_json::to_vec_pretty(&wanted).map_err(|error| Error::file("write", &path)(error.into()))?;
    fs::write(new.path().join(ABOUT), about).map_err(Error::file("write", new.path()))?;
    if path.exists() {
        fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
    }
    let new = new.keep();
    fs::rename(&new, &path).map_err(Error::file("create", &path))?;
    Ok(path)
}

/// Downloads and unpacks the packages into a new directory of the cache.
fn make(arch: Arch, cache: &Cache) -> Result<tempfile::TempDir> {
    let apt = Apt::new(arch, cache);
    let temporary =
        || tempfile::tempdir_in(cache.path("")).map_err(Error::file("create a directory in", cache.path("")));
    let (root, download) = (temporary()?, temporary()?);
    let fetch = |package: &str| -> Result<()> {
        let archive = apt.download(package, download.path())?;
        dpkg().args(["--extract"]).args([archive.as_path(), root.path()]).output()?;
        fs::remove_file(&archive).map_err(Error::file("remove", &archive))
    };
    let (first, rest) = PACKAGES.split_first().unwrap_or((&"", &[]));
    if fetch(first).is_err() {
        // The lists are absent or older than the archives.
        apt.update()?;
        fetch(first)?;
    }
    rest.iter().try_for_each(|package| fetch(package))?;
    complete(root.path(), arch)?;
    Ok(root)
}

/// Adds the links that other packages have: of a merged `/usr`, and the name by which a linker finds the unwinder.
fn complete(root: &Path, arch: Arch) -> Result<()> {
    let link = |target: &str, path: PathBuf| symlink(target, &path).map_err(Error::file("create", path));
    for name in ["bin", "sbin", "lib", "lib64"] {
        let merged = format!("usr/{name}");
        if !root.join(name).exists() && root.join(&merged).exists() {
            link(&merged, root.join(name))?;
        }
    }
    link("libgcc_s.so.1", root.join("usr/lib").join(arch.multiarch()).join("libgcc_s.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_other_packages_are_added() {
        let root = tempfile::tempdir().unwrap();
        let libraries = root.path().join("usr/lib").join(Arch::Aarch64.multiarch());
        fs::create_dir_all(&libraries).unwrap();
        fs::create_dir_all(root.path().join("bin")).unwrap();
        complete(root.path(), Arch::Aarch64).unwrap();
        assert_eq!(fs::read_link(root.path().join("lib")).unwrap(), Path::new("usr/lib"));
        assert!(fs::read_link(root.path().join("bin")).is_err(), "a directory of a package stays");
        assert!(!root.path().join("lib64").exists());
        assert_eq!(fs::read_link(libraries.join("libgcc_s.so")).unwrap(), Path::new("libgcc_s.so.1"));
    }
}
