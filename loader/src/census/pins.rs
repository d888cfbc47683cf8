//! Where maps are pinned: every file of every bpf file system that this process sees.
//!
//! A file there does not say what it is, so each is opened as BPF_OBJ_GET opens it, and the descriptor tells. Mounts of
//! other mount namespaces are out of sight, and pins in them, too.

use std::{
    ffi::{CString, OsString},
    fs,
    os::{
        fd::AsRawFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use super::holders::map_id;
use crate::{Error, sys::bpf};

/// A map's name in a bpf file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// The file.
    pub path: PathBuf,
    /// The kernel's number of the map.
    pub map: u32,
}

/// All pinned maps, in the order of their paths. Files that cannot be opened are left out.
///
/// # Errors
///
/// [`Error::Kernel`] if the mounts cannot be read.
pub fn pins() -> Result<Vec<Pin>, Error> {
    let mounts = fs::read("/proc/self/mountinfo").map_err(|error| Error::kernel("read the mounts", &error))?;
    let mut pins = Vec::new();
    for mount in bpf_mounts(&mounts) {
        walk(&mount, &mut pins);
    }
    pins.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    // A file system that is mounted over itself shows its files once.
    pins.dedup();
    Ok(pins)
}

fn walk(directory: &Path, pins: &mut Vec<Pin>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            walk(&entry.path(), pins);
        } else if kind.is_file() {
            pins.extend(pin(entry.path()));
        }
    }
}

fn pin(path: PathBuf) -> Option<Pin> {
    let name = CString::new(path.as_os_str().as_bytes()).ok()?;
    let object = bpf::obj_get(&name, "opens a pinned object, to see what it is").ok()?;
    let map = map_id(&format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?;
    Some(Pin { path, map })
}

/// The mount points of type `bpf`. A line is: numbers, root, mount point, options, `-`, type, source (proc(5)).
fn bpf_mounts(mountinfo: &[u8]) -> Vec<PathBuf> {
    let lines = mountinfo.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ');
            let point = fields.nth(4)?;
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            (kind == b"bpf").then(|| PathBuf::from(OsString::from_vec(unescaped(point))))
        })
        .collect()
}

/// Spaces and their like are written as `\040`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        let octal = (first == b'\\').then(|| behind.get(..3)).flatten();
        let byte = octal.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_by_their_type() {
        let text = b"24 29 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            35 24 0:30 / /sys/fs/bpf rw shared:11 - bpf bpf rw,mode=700\n\
            36 24 0:31 / /mnt/a\\040b\\134c rw - bpf none rw\n\
            37 24 0:31 / /mnt/bpf rw - ext4 bpf rw\n";
        assert_eq!(bpf_mounts(text), [Path::new("/sys/fs/bpf"), Path::new("/mnt/a b\\c")]);
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescaped(b"a\\04"), b"a\\04");
        assert_eq!(unescaped(b"\\999"), b"\\999");
    }
}
