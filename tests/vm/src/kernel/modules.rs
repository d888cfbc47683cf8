//! Fetches the modules of a kernel from its packages. They are many times as large as the image, so only a run that
//! asks for a module fetches them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::catalog::{Catalog, Entry};
use super::image::Kernel;
use super::package;
use crate::apt::Apt;
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};

/// The directory of the modules beside a kernel's image in the cache.
const FOLDER: &str = "modules";

/// Returns the directory of a kernel's modules, fetched if the cache does not have it. For an image given by path this
/// is the machine's own directory for this release, if the guest has its architecture.
///
/// # Errors
/// [`Error::NoKernel`] if no package has modules; [`Error::Unusable`] for an image whose modules are unknown.
pub(crate) fn modules(kernel: &Kernel, arch: Arch, cache: &Cache) -> Result<PathBuf> {
    let (Some(release), Some(first), Some(version)) = (&kernel.release, kernel.packages.first(), kernel.version) else {
        return installed(kernel, arch);
    };
    let _one_at_a_time = cache.lock("kernels")?;
    let home = kernel.image.parent().unwrap_or(Path::new("/"));
    let folder = home.join(FOLDER);
    if folder.exists() {
        return Ok(folder);
    }
    let (package, package_version) = first.split_once('=').unwrap_or((first, ""));
    let entry = Entry { package: package.to_owned(), package_version: package_version.to_owned(), version };
    let apt = Apt::new(arch, cache);
    // apt finds a package in the lists that the catalog has queried.
    Catalog::load(arch, &apt, cache, false)?;
    // Complete only under its final name: a run that is killed leaves nothing that counts.
    let new = tempfile::tempdir_in(home).map_err(Error::file("create", home))?;
    let mut found = 0;
    let mut packages = VecDeque::from([entry.package.clone()]);
    let mut seen = Vec::new();
    while let Some(name) = packages.pop_front() {
        if seen.contains(&name) {
            continue;
        }
        packages.extend(package::downloaded(&name, &entry, &apt, home, &mut |archive| {
            package::each_file(archive, &mut |path, file| {
                let Some(inside) = inside(path, release) else { return Ok(()) };
                let path = new.path().join(inside);
                let parent = path.parent().unwrap_or(new.path());
                fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
                let mut target = File::create(&path).map_err(Error::file("create", &path))?;
                io::copy(file, &mut target).map_err(Error::file("write", &path))?;
                found += 1;
                Ok(())
            })
        })?);
        seen.push(name);
    }
    if found == 0 {
        let why = format!("none of {} contains kernel modules", seen.join(", "));
        return Err(Error::NoKernel { wanted: entry.version.to_string(), why });
    }
    fs::rename(new.path(), &folder).map_err(Error::file("create", &folder))?;
    // Nothing is left to remove.
    let _ = new.keep();
    Ok(folder)
}

fn installed(kernel: &Kernel, arch: Arch) -> Result<PathBuf> {
    let folder =
        kernel.release.as_ref().filter(|_| !arch.is_foreign()).map(|release| Path::new("/lib/modules").join(release));
    folder.filter(|folder| folder.is_dir()).ok_or_else(|| Error::Unusable {
        path: kernel.image.clone(),
        why: "the directory of its modules is not known: pass it with --modules DIR".to_owned(),
    })
}

/// Returns the path below `lib/modules/RELEASE` of a module, or of a list of modules; `None` for other files.
fn inside(path: &Path, release: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    if !(name.contains(".ko") || name == "modules.builtin") {
        return None;
    }
    let mut rest = path.components().filter(|part| *part != Component::CurDir);
    let mut next = || rest.next().and_then(|part| part.as_os_str().to_str());
    let mut top = next()?;
    if top == "usr" {
        top = next()?;
    }
    if top != "lib" || next() != Some("modules") || next() != Some(release) {
        return None;
    }
    // The archive's paths must not lead out of the directory.
    let inside: PathBuf = rest.collect();
    inside.components().all(|part| matches!(part, Component::Normal(_))).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_both_layouts() {
        let inside = |path: &str| inside(Path::new(path), "6.1-cloud").map(|path| path.display().to_string());
        assert_eq!(inside("./lib/modules/6.1-cloud/kernel/net/a.ko").as_deref(), Some("kernel/net/a.ko"));
        assert_eq!(inside("./usr/lib/modules/6.1-cloud/kernel/b.ko.xz").as_deref(), Some("kernel/b.ko.xz"));
        assert_eq!(inside("./lib/modules/6.1-cloud/modules.builtin").as_deref(), Some("modules.builtin"));
        assert_eq!(inside("./usr/lib/modules/6.1-cloud/vmlinuz"), None);
        assert_eq!(inside("./lib/modules/6.2/kernel/a.ko"), None);
        assert_eq!(inside("./lib/modules/6.1-cloud/../../../etc/a.ko"), None);
    }

    #[test]
    fn image_without_release_needs_a_directory() {
        let kernel = Kernel { image: "/odd".into(), config: None, release: None, version: None, packages: Vec::new() };
        let cache = tempfile::tempdir().unwrap();
        let line = modules(&kernel, Arch::OWN, &Cache::at(cache.path()).unwrap()).unwrap_err().to_string();
        assert_eq!(line, "/odd: the directory of its modules is not known: pass it with --modules DIR");
    }
}
