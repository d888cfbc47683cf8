//! Finds pinned maps: searches every file of every bpf file system that the caller sees.
//!
//! A file in a bpf file system does not name the kind of its object, so each is opened by `BPF_OBJ_GET`, and the fd is
//! inspected. Mounts of other mount namespaces, and the pins in them, are not visible.

use std::{
    ffi::{CString, OsString},
    fs,
    io::{self, BufRead, BufReader, Read},
    os::{
        fd::AsRawFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use super::holders::{map_id, wants_fds};
use crate::{Error, sys::bpf};

/// A pinned map: a file of a bpf file system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// The file.
    pub path: PathBuf,
    /// The map id.
    pub map: u32,
}

/// Returns all pinned maps, in the order of their paths. Skips files that cannot be opened.
///
/// # Errors
///
/// [`Error::Syscall`] if the mounts cannot be read; EMFILE if no fd is left to open a file: the list would be
/// incomplete.
#[doc(alias("BPF_OBJ_GET", "bpffs"))]
pub fn pins() -> Result<Vec<Pin>, Error> {
    let failed = |error| Error::kernel("read the mounts", &error);
    let mounts = fs::File::open("/proc/self/mountinfo").map_err(failed)?;
    let mut pins = Vec::new();
    for mount in bpf_mounts(BufReader::new(mounts)).map_err(failed)? {
        walk(mount, &mut pins)?;
    }
    pins.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    // A file system that is mounted over itself lists its files twice.
    pins.dedup();
    Ok(pins)
}

fn walk(mount: PathBuf, pins: &mut Vec<Pin>) -> Result<(), Error> {
    let failed = |path: &Path, error| Error::kernel(format!("look for pins in {}", path.display()), &error);
    // A list instead of a recursion, because other users control the depth of directories.
    let mut directories = vec![mount];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if wants_fds(&error) => return Err(failed(&directory, error)),
            // The directory was removed, or must not be read.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                match pin(path.clone()) {
                    Err(error) if wants_fds(&error) => return Err(failed(&path, error)),
                    pin => pins.extend(pin.ok().flatten()),
                }
            }
        }
    }
    Ok(())
}

fn pin(path: PathBuf) -> io::Result<Option<Pin>> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let object = bpf::obj_get(&name, None, "opens a pinned object, to find its kind")?;
    Ok(map_id(&format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?.map(|map| Pin { path, map }))
}

/// The maximum length in bytes of a line of `mountinfo`: several paths of PATH_MAX bytes, each byte escaped, and
/// options.
const LONGEST: u64 = 64 << 10;

/// Returns the mount points of type `bpf`. A line has: numbers, root, mount point, options, `-`, type, source
/// (proc(5)). Skips lines that are longer than any kernel writes.
fn bpf_mounts(mut mountinfo: impl BufRead) -> io::Result<Vec<PathBuf>> {
    let (mut points, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if mountinfo.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(points);
        }
        match line.pop_if(|last| *last == b'\n') {
            Some(_) => points.extend(bpf_mount(&line)),
            None => {
                mountinfo.skip_until(b'\n')?;
            }
        }
    }
}

fn bpf_mount(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|&byte| byte == b' ');
    let point = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"bpf").then(|| PathBuf::from(OsString::from_vec(unescaped(point))))
}

/// Decodes a field, in which the kernel writes spaces and similar bytes as `\040`.
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
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn mounts_are_filtered_by_type() {
        let text = b"24 29 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            35 24 0:30 / /sys/fs/bpf rw shared:11 - bpf bpf rw,mode=700\n\
            36 24 0:31 / /mnt/a\\040b\\134c rw - bpf none rw\n\
            37 24 0:31 / /mnt/bpf rw - ext4 bpf rw\n";
        assert_eq!(bpf_mounts(&text[..]).unwrap(), [Path::new("/sys/fs/bpf"), Path::new("/mnt/a b\\c")]);
    }

    #[test]
    fn overlong_lines_are_skipped() {
        let mut text = b"35 24 0:30 / /".to_vec();
        text.resize(3 * LONGEST as usize, b'x');
        text.extend(b" rw - bpf bpf rw\n36 24 0:31 / /\xff rw - bpf none rw\n");
        assert_eq!(bpf_mounts(&text[..]).unwrap(), [Path::new(OsStr::from_bytes(b"/\xff"))]);
    }

    #[test]
    fn text_that_is_not_an_escape_is_kept() {
        assert_eq!(unescaped(b"a\\04"), b"a\\04");
        assert_eq!(unescaped(b"\\999"), b"\\999");
    }
}
