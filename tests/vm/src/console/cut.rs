//! Bounds a console's file: of a large one, the beginning and the end are kept.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// The bytes that are kept of the beginning, and of the end.
const KEPT: u64 = 4 << 20;

/// The bytes of a console's middle that no longer use the disk.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    until: u64,
}

impl Cut {
    /// Frees the disk space of the middle, while QEMU still appends to the file: its offsets stay the same. Returns the
    /// file's size. A file system without holes frees nothing; the end of the guest does.
    pub(crate) fn relieve(&mut self, path: &Path) -> u64 {
        let size = fs::metadata(path).map_or(0, |about| about.len());
        let start = self.until.max(KEPT);
        if size > start + 2 * KEPT {
            let until = size - KEPT;
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            if let Ok(file) = File::options().write(true).open(path)
                && fallocate(&file, hole, start, until - start).is_ok()
            {
                self.until = until;
            }
        }
        size
    }

    /// Rewrites the file of a guest that has ended, without its middle. Returns the number of bytes cut out.
    pub(crate) fn finish(path: &Path) -> io::Result<u64> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            file => file?,
        };
        let size = file.metadata()?.len();
        if size <= 3 * KEPT {
            return Ok(0);
        }
        let bytes = size - 2 * KEPT;
        let mut shorter = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        io::copy(&mut (&file).take(KEPT), &mut shorter)?;
        write!(shorter, "\n[{bytes} bytes cut out here]\n")?;
        file.seek(SeekFrom::Start(size - KEPT))?;
        io::copy(&mut file, &mut shorter)?;
        fs::set_permissions(shorter.path(), file.metadata()?.permissions())?;
        shorter.persist(path)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_of_a_large_console_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        assert_eq!(Cut::finish(&path).unwrap(), 0, "there is no file");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"begin\n").unwrap();
        let mut cut = Cut::default();
        for _ in 0..40 {
            file.write_all(&vec![b'm'; 1 << 20]).unwrap();
            cut.relieve(&path);
        }
        file.write_all(b"end\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), (40 << 20) + 10);
        let bytes = Cut::finish(&path).unwrap();
        assert_eq!(bytes, (32 << 20) + 10);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("begin\nm") && text.ends_with("mend\n"));
        assert!(text.contains(&format!("\n[{bytes} bytes cut out here]\n")));
        assert!(!text.contains('\0'), "no hole is left");
        assert_eq!(Cut::finish(&path).unwrap(), 0, "it is small enough now");
    }
}
