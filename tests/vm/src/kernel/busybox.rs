//! Fetches busybox from the distribution: a static program, so that it runs in every guest.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::catalog::Catalog;
use super::package;
use crate::apt::{Apt, own_name};
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};

const PACKAGE: &str = "busybox-static";

/// Returns the path of an architecture's busybox in the cache, fetched if it is not there.
///
/// # Errors
/// If the machine's archives have no such package, or it cannot be fetched.
pub(crate) fn busybox(arch: Arch, cache: &Cache) -> Result<PathBuf> {
    let _one_at_a_time = cache.lock("kernels")?;
    let folder = cache.path(own_name("busybox", arch));
    let program = folder.join("busybox");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let apt = Apt::new(arch, cache);
    // apt finds a package in the lists that the catalog has queried.
    Catalog::load(arch, &apt, cache, false)?;
    let download = tempfile::tempdir_in(&folder).map_err(Error::file("create", &folder))?;
    let archive = apt.download(PACKAGE, download.path())?;
    let new = download.path().join("busybox");
    package::each_file(&archive, &mut |path, file| {
        if path.file_name().is_some_and(|name| name == "busybox") && path.parent().is_some_and(is_bin) {
            let mut target = File::create(&new).map_err(Error::file("create", &new))?;
            io::copy(file, &mut target).map_err(Error::file("write", &new))?;
        }
        Ok(())
    })?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).map_err(Error::file("find", &new))?;
    // Complete only under its final name.
    fs::rename(&new, &program).map_err(Error::file("create", &program))?;
    Ok(program)
}

fn is_bin(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == "bin")
}
