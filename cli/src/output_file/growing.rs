//! A file that grows while a command runs, and can be read meanwhile.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

use super::{
    location::{Location, is_regular},
    refused::Refused,
    stream::{Stream, own_fd, own_stream},
};

/// A file that is written piece by piece. It replaces no file: a part of it is there if the command is killed.
#[derive(Debug)]
pub(crate) enum GrowingFile {
    New(File),
    Stream(Stream),
}

impl GrowingFile {
    /// Creates the file for its user alone, or opens a FIFO, a device or an fd that is open already. A file that exists
    /// is refused.
    pub(crate) fn create(path: &Path) -> Result<Self, Refused> {
        if let Some(fd) = own_fd(path) {
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
            Ok(fd) => Ok(Self::New(fd.into())),
            Err(Errno::EXIST) => Err(EXISTS),
            Err(error) => Err(error.into()),
        }
    }
}

const EXISTS: Refused = Refused::Because("it exists already, and would be lost");

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::New(file) => file.write(bytes),
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
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn new_file_is_private_and_another_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        let mut file = GrowingFile::create(&path).unwrap();
        file.write_all(b"part").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"part");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(GrowingFile::create(&path), Err(Refused::Because(why)) if why.contains("exists")));
        std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
        assert!(GrowingFile::create(&directory.path().join("link")).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"part");
    }
}
