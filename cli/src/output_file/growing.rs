//! A file that grows while a command runs, and can be read meanwhile.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat, unlinkat},
    io::Errno,
};

use super::{
    location::{Location, is_regular},
    refused::Refused,
    stream::{Stream, own_fd, own_stream},
};

/// A file that is written piece by piece. It replaces no file: a part of it is there if the command is killed. Unless
/// it is [kept](Self::keep), it is removed: a command that fails before it writes leaves no empty file.
#[derive(Debug)]
pub(crate) enum GrowingFile {
    New { file: File, unkept: Option<Location> },
    Stream(Stream),
}

impl GrowingFile {
    /// Creates the file for its user alone, or opens a FIFO, a device or an fd that is open already. A file that exists
    /// is refused, and so are stdout and stderr if other output goes there.
    pub(crate) fn create(path: &Path, stdout_is_free: bool) -> Result<Self, Refused> {
        if let Some(fd) = own_fd(path) {
            if fd == 2 || fd == 1 && !stdout_is_free {
                return Err(Refused::Because("the command prints there, too"));
            }
            if fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0) {
                return Err(EXISTS);
            }
            return Ok(Self::Stream(own_stream(fd)?));
        }
        let location = Location::new(path)?;
        match location.existing()? {
            Some(there) if is_regular(&there) => return Err(EXISTS),
            Some(there) => return Ok(Self::Stream(Stream::Opened(location.open_stream(&there)?))),
            None => {}
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&location.directory, &location.name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => Ok(Self::New { file: fd.into(), unkept: Some(location) }),
            Err(Errno::EXIST) => Err(EXISTS),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the file from now on.
    pub(crate) fn keep(&mut self) {
        if let Self::New { unkept, .. } = self {
            *unkept = None;
        }
    }
}

impl Drop for GrowingFile {
    fn drop(&mut self) {
        let Self::New { file, unkept: Some(location) } = self else { return };
        let there = statat(&location.directory, &location.name, AtFlags::SYMLINK_NOFOLLOW);
        let is_ours =
            |there: Stat| fstat(file).is_ok_and(|own| (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino));
        if there.is_ok_and(is_ours) {
            // If it cannot be removed, it is empty.
            let _ = unlinkat(&location.directory, &location.name, AtFlags::empty());
        }
    }
}

const EXISTS: Refused = Refused::Exists;

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::New { file, .. } => file.write(bytes),
            Self::Stream(Stream::Standard(standard)) => standard.write(bytes),
            Self::Stream(Stream::Opened(outlet)) => (&*outlet).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn new_file_is_private_and_another_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let create = |path: &Path| GrowingFile::create(path, false);
        drop(create(&path).unwrap());
        assert!(!path.exists(), "a file that is not kept is removed");
        let mut file = create(&path).unwrap();
        file.keep();
        file.write_all(b"part").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"part");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(create(&path), Err(Refused::Exists)));
        std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
        assert!(create(&directory.path().join("link")).is_err());
        assert!(create(Path::new("/dev/stdout")).is_err() && create(Path::new("/proc/self/fd/2")).is_err());
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"part");
    }
}
