//! Process 1 for another architecture: this program, built from its source directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::target;
use crate::arch::Arch;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::suite::{self, MANIFEST};

/// Names an executable to use instead.
const VARIABLE: &str = "CUTAWAY_VM_INIT";

/// The build in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    /// Identifies the executable of this process: if it is another one, its source may differ, too.
    built_for: String,
}

/// Returns the executable that the environment names, the one in the cache, or a new build.
pub(super) fn obtain(arch: Arch, sysroot: Option<&Path>, cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        let path = std::path::absolute(&path).map_err(Error::file("find", &path))?;
        arch.check(&path)?;
        return Ok(path);
    }
    let name = format!("init-{arch}");
    let _one_at_a_time = cache.lock(&name)?;
    let (path, about) = (cache.path(&name), name.clone() + ".json");
    let wanted = About { built_for: stamp()? };
    if path.exists() && cache.load::<About>(&about).is_some_and(|about| about == wanted) {
        return Ok(path);
    }
    let built = build(arch, sysroot)?;
    let new = cache.path(format!("{name}.new"));
    fs::copy(&built, &new).map_err(Error::file("write", &new))?;
    fs::rename(&new, &path).map_err(Error::file("create", &path))?;
    cache.store(&about, &wanted)?;
    Ok(path)
}

fn stamp() -> Result<String> {
    let me = std::env::current_exe().map_err(Error::file("find", "this executable"))?;
    let about = fs::metadata(&me).map_err(Error::file("read", &me))?;
    Ok(format!("{} {} {} {} {}", me.display(), about.len(), about.ino(), about.mtime(), about.mtime_nsec()))
}

fn build(arch: Arch, sysroot: Option<&Path>) -> Result<PathBuf> {
    if !Path::new(MANIFEST).exists() {
        return Err(no_init(
            arch,
            format!("the source of this program is no longer in {}", env!("CARGO_MANIFEST_DIR")),
        ));
    }
    target::require(arch)?;
    eprintln!("building process 1 of the guest for {arch}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // With a test of this package, and for the whole workspace: then its dependencies have the features with which the
    // workspace's tests are built, and nothing is built twice.
    let output = Command::new(&cargo)
        .args(["build", "--workspace", "--test", "boot", "--manifest-path", MANIFEST, "--target", arch.target()])
        .arg("--message-format=json-render-diagnostics")
        .envs(target::variables(arch, sysroot))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Error::file("run", &cargo))?;
    if !output.status.success() {
        return Err(no_init(arch, "cargo's messages are above".to_owned()));
    }
    suite::this_program(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| no_init(arch, "cargo named no executable".to_owned()))
}

fn no_init(arch: Arch, why: String) -> Error {
    Error::NoInit { arch: arch.name(), why, variable: VARIABLE }
}
