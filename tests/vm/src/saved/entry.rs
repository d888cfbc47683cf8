//! A saved guest in the cache: its files, their check, and its restore.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Error, Result};
use crate::qemu::Running;
use crate::qemu::monitor::{Monitor, connected};

/// The files of a saved guest: the state of memory and devices, its description, the console of its boot.
pub(super) const MEMORY: &str = "memory";
pub(super) const ABOUT: &str = "about.json";
pub(super) const CONSOLE: &str = "console.log";
/// The time that QEMU has to read the state.
const RESTORE: Duration = Duration::from_secs(30);

/// The description of a saved guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The kernel's name as requested, such as `6.1`.
    pub(super) kernel: String,
    /// Size of the state in bytes, and its CRC-32.
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// A saved guest that was checked. It is not removed from the cache while this value lives.
#[derive(Debug)]
pub struct Saved {
    folder: PathBuf,
    /// Holds a shared lock.
    memory: File,
    bytes: u64,
}

impl Saved {
    /// Opens and checks a saved guest. `None` if the cache has no such guest; an error if it is damaged.
    pub(super) fn open(folder: &Path) -> io::Result<Option<Self>> {
        let memory = match File::open(folder.join(MEMORY)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(None),
            Err(error) => return Err(error),
        };
        memory.lock_shared()?;
        // A run that pruned the cache may have been faster than the lock.
        if !folder.join(MEMORY).exists() {
            return Ok(None);
        }
        let about: About = serde_json::from_slice(&fs::read(folder.join(ABOUT))?)?;
        let mut sum = crc32fast::Hasher::new();
        let bytes = copy(&mut &memory, &mut |piece| {
            sum.update(piece);
            Ok(())
        })?;
        if bytes != about.bytes || sum.finalize() != about.crc {
            return Err(io::Error::other("its size or checksum is wrong"));
        }
        // The age of a saved guest counts from its last use. If the time cannot be set, it is removed earlier.
        let _ = File::options().append(true).open(folder.join(ABOUT)).and_then(|f| f.set_modified(SystemTime::now()));
        Ok(Some(Self { folder: folder.to_path_buf(), memory, bytes }))
    }

    /// Returns the directory in the cache.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies the console of the boot, to which QEMU appends.
    pub(crate) fn console_to(&self, path: &Path) -> Result<()> {
        fs::copy(self.folder.join(CONSOLE), path).map(drop).map_err(Error::file("write", path))
    }

    /// Passes the state to a QEMU that waits for it on `socket`, and lets the guest go on.
    pub(crate) fn restore(&self, socket: &Path, monitor: &Path, qemu: &mut Running) -> io::Result<()> {
        let mut alive = || matches!(qemu.ended(), Ok(None));
        let mut state = connected(socket, &mut alive)?;
        state.set_write_timeout(Some(RESTORE))?;
        let mut from = At { file: &self.memory, offset: 0, left: self.bytes };
        io::copy(&mut from, &mut state)?;
        drop(state);
        let mut monitor = Monitor::connect(monitor, &mut alive)?;
        let limit = Instant::now() + RESTORE;
        while monitor.status("query-status")? == "inmigrate" {
            if Instant::now() > limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        monitor.execute("cont", &json!({})).map(drop)
    }
}

/// Reads a file from an offset of its own: several guests may be restored from it at the same time.
struct At<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read_at(buffer.get_mut(..length).unwrap_or_default(), self.offset)?;
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Reads to the end and passes each piece on. Returns the number of bytes.
pub(super) fn copy(from: &mut impl Read, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to(buffer.get(..length).unwrap_or_default())?;
        bytes += length as u64;
    }
}

/// Writes a stream to a new file in `folder`, and then its description.
pub(super) fn write(folder: &Path, kernel: &str, from: &mut impl Read) -> Result<()> {
    let path = folder.join(MEMORY);
    let mut file = File::create(&path).map_err(Error::file("create", &path))?;
    let mut sum = crc32fast::Hasher::new();
    let bytes = copy(from, &mut |piece| {
        sum.update(piece);
        file.write_all(piece)
    })
    .map_err(Error::file("write", &path))?;
    let about = About { kernel: kernel.to_owned(), bytes, crc: sum.finalize() };
    let path = folder.join(ABOUT);
    let text = serde_json::to_vec_pretty(&about).map_err(|error| Error::file("write", &path)(error.into()))?;
    fs::write(&path, text).map_err(Error::file("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("key");
        assert!(Saved::open(&folder).unwrap().is_none());
        fs::create_dir(&folder).unwrap();
        let state = vec![7; 3 << 20];
        write(&folder, "6.1", &mut state.as_slice()).unwrap();
        assert_eq!(Saved::open(&folder).unwrap().unwrap().bytes, 3 << 20);
        let memory = File::options().write(true).open(folder.join(MEMORY)).unwrap();
        memory.write_at(b"x", 2 << 20).unwrap();
        assert!(Saved::open(&folder).is_err(), "one byte differs");
        memory.write_at(&[7], 2 << 20).unwrap();
        assert!(Saved::open(&folder).unwrap().is_some());
        memory.set_len((3 << 20) - 1).unwrap();
        assert!(Saved::open(&folder).is_err(), "one byte is missing");
        fs::remove_file(folder.join(ABOUT)).unwrap();
        assert!(Saved::open(&folder).is_err());
    }
}
