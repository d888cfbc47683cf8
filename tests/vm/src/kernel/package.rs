//! Fetches and unpacks a kernel's package: only the image and the build configuration.
//!
//! The image is found in the package's own list of files. Up to 6.12 it is `boot/vmlinuz-RELEASE`. From 6.19 on the
//! package is empty and depends on others of the same version, one of which contains `usr/lib/modules/RELEASE/vmlinuz`.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalog::Entry;
use super::image::Kernel;
use crate::apt::{Apt, dpkg};
use crate::cache::Cache;
use crate::error::{Error, Result};

const ABOUT: &str = "kernel.json";

/// The metadata that is stored beside an unpacked kernel.
#[derive(Serialize, Deserialize)]
struct Kept {
    kernel: Kernel,
    /// The image's hash, so that a damaged or incomplete image is fetched again.
    sha256: String,
}

/// Returns the kernel of a catalog entry, from the cache or newly fetched.
pub(super) fn unpacked(entry: &Entry, apt: &Apt, cache: &Cache) -> Result<Kernel> {
    let name = format!("kernels/{}_{}", entry.package, entry.package_version);
    let folder = cache.path(&name);
    if let Some(kept) = cache.load::<Kept>(format!("{name}/{ABOUT}"))
        && hash(&kept.kernel.image).is_ok_and(|found| found == kept.sha256)
    {
        return Ok(kept.kernel);
    }
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let kernel = fetch(entry, apt, &folder)?;
    let sha256 = hash(&kernel.image).map_err(Error::file("read", &kernel.image))?;
    cache.store(format!("{name}/{ABOUT}"), &Kept { kernel: kernel.clone(), sha256 })?;
    Ok(kernel)
}

fn fetch(entry: &Entry, apt: &Apt, folder: &Path) -> Result<Kernel> {
    let mut kernel = Kernel {
        image: PathBuf::new(),
        config: None,
        release: Some(entry.release().to_owned()),
        version: Some(entry.version),
        packages: Vec::new(),
    };
    let mut packages = VecDeque::from([entry.package.clone()]);
    // Breadth first: the image's package, then its dependencies, as far as they belong to the same kernel. The walk
    // ends when an image and a configuration are found. So the modules, the largest package, are fetched only if no
    // other package has them.
    while let Some(package) = packages.pop_front() {
        let exact = format!("{package}={}", entry.package_version);
        if kernel.packages.contains(&exact) {
            continue;
        }
        packages.extend(downloaded(&package, entry, apt, folder, &mut |archive| {
            for (inside, path) in extract(archive, entry.release(), folder)? {
                if inside == "config" {
                    kernel.config = Some(path);
                } else {
                    kernel.image = path;
                }
            }
            Ok(())
        })?);
        kernel.packages.push(exact);
        if kernel.config.is_some() && !kernel.image.as_os_str().is_empty() {
            break;
        }
    }
    if kernel.image.as_os_str().is_empty() {
        return Err(Error::NoKernel {
            wanted: entry.version.to_string(),
            why: format!("none of {} contains an image", kernel.packages.join(", ")),
        });
    }
    Ok(kernel)
}

/// Downloads one of a kernel's packages to a directory in `folder`, and calls `unpack` with its archive, which is
/// removed afterwards. Returns the package's dependencies that belong to the same kernel.
pub(super) fn downloaded(
    package: &str,
    entry: &Entry,
    apt: &Apt,
    folder: &Path,
    unpack: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<Vec<String>> {
    let download = tempfile::tempdir_in(folder).map_err(Error::file("create", folder))?;
    let exact = format!("{package}={}", entry.package_version);
    let archive = apt.download(&exact, download.path())?;
    unpack(&archive)?;
    let depends = dpkg().args(["--field"]).args([&archive]).args(["Depends"]).output()?;
    Ok(same_kernel(&depends, entry))
}

/// Returns the dependencies that belong to the same kernel: their names contain its release, and they have its version.
/// The modules come last.
fn same_kernel(depends: &str, entry: &Entry) -> Vec<String> {
    let mut names: Vec<String> = depends
        .split(',')
        .filter_map(|one| {
            let name = one.split_whitespace().next()?;
            (name.starts_with("linux-") && name.ends_with(entry.release())).then(|| name.to_owned())
        })
        .collect();
    names.sort_by_key(|name| name.starts_with("linux-modules-"));
    names
}

/// Extracts the image and the configuration from a package.
fn extract(archive: &Path, release: &str, folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    each_file(archive, &mut |path, file| {
        let Some(kind) = kind(path, release) else { return Ok(()) };
        let path = folder.join(kind);
        let mut target = File::create(&path).map_err(Error::file("create", &path))?;
        io::copy(file, &mut target).map_err(Error::file("write", &path))?;
        found.push((kind, path));
        Ok(())
    })?;
    Ok(found)
}

/// Calls `take` with the path and the content of each regular file of a package. The package is read as a stream:
/// `dpkg-deb` supports every compression in use.
pub(super) fn each_file(archive: &Path, take: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>) -> Result<()> {
    let (mut command, _) = dpkg().args(["--fsys-tarfile"]).args([archive]).into_command();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(Error::file("run", "dpkg-deb"))?;
    if let Some(mut output) = child.stdout.take() {
        let mut tar = tar::Archive::new(&mut output);
        let broken = |error| Error::file("unpack", archive)(error);
        for file in tar.entries().map_err(broken)? {
            let mut file = file.map_err(broken)?;
            if file.header().entry_type().is_file() {
                let path = file.path().map_err(broken)?.into_owned();
                take(&path, &mut file)?;
            }
        }
        // Read the trailing blocks of the stream too; otherwise dpkg-deb dies of a closed pipe.
        io::copy(&mut output, &mut io::sink()).map_err(broken)?;
    }
    let status = child.wait().map_err(Error::file("wait for", "dpkg-deb"))?;
    if !status.success() {
        return Err(Error::Refused {
            program: "dpkg-deb".to_owned(),
            status: status.to_string(),
            said: format!("while it unpacked {}", archive.display()),
        });
    }
    Ok(())
}

/// Returns the kind of a package's file: image, configuration, or neither.
fn kind(path: &Path, release: &str) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let in_modules = || path.parent().and_then(Path::file_name).is_some_and(|folder| folder == release);
    if name.strip_prefix("vmlinuz-") == Some(release) || (name == "vmlinuz" && in_modules()) {
        Some("vmlinuz")
    } else if name.strip_prefix("config-") == Some(release) || (name == "config" && in_modules()) {
        Some("config")
    } else {
        None
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_found_in_every_layout() {
        let kind = |path: &str| kind(Path::new(path), "7.3.4-cloud-amd64");
        assert_eq!(kind("./boot/vmlinuz-7.3.4-cloud-amd64"), Some("vmlinuz"));
        assert_eq!(kind("./usr/lib/modules/7.3.4-cloud-amd64/vmlinuz"), Some("vmlinuz"));
        assert_eq!(kind("./boot/config-7.3.4-cloud-amd64"), Some("config"));
        assert_eq!(kind("./usr/lib/modules/7.3.4-cloud-amd64/config"), Some("config"));
        assert_eq!(kind("./usr/share/doc/vmlinuz"), None);
        assert_eq!(kind("./boot/System.map-7.3.4-cloud-amd64"), None);
    }

    #[test]
    fn only_packages_of_the_same_kernel_are_followed() {
        let entry = Entry {
            package: "linux-image-7.3.4-cloud-amd64".into(),
            package_version: "7.3.4-1".into(),
            version: "7.3.4".parse().unwrap(),
        };
        let depends = "kmod, linux-base (>= 4), linux-modules-7.3.4-cloud-amd64 (= 7.3.4-1), \
             linux-binary-7.3.4-cloud-amd64 (= 7.3.4-1)";
        assert_eq!(same_kernel(depends, &entry), ["linux-binary-7.3.4-cloud-amd64", "linux-modules-7.3.4-cloud-amd64"]);
    }

    #[test]
    fn hash_of_a_known_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(hash(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
