//! A name in a directory, at which a file is replaced or created.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat, statat},
    io::Errno,
};

use super::{
    refused::Refused,
    unfinished::{Unfinished, hidden},
};
use crate::{outlet::Outlet, signals};

/// A name in a directory.
#[derive(Debug)]
pub(crate) struct Location {
    pub(super) directory: Arc<OwnedFd>,
    pub(super) name: OsString,
}

impl Location {
    /// Opens the directory that holds the name.
    pub(super) fn new(path: &Path) -> Result<Self, Refused> {
        let nameless = path.as_os_str().as_bytes().ends_with(b"/") || path.as_os_str().as_bytes().ends_with(b"/.");
        let Some(name) = path.file_name().filter(|_| !nameless) else {
            return Err(Refused::Because(if path.is_dir() {
                "it is not a regular file"
            } else {
                "it does not name a file"
            }));
        };
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Self { directory: Arc::new(directory), name: name.to_owned() })
    }

    /// Returns the location of a regular file, which may exist or not; anything else is refused.
    pub(crate) fn of_regular_file(path: &Path) -> Result<Self, Refused> {
        let location = Self::new(path)?;
        match location.existing()? {
            Some(there) if !is_regular(&there) => Err(Refused::Because("it is not a regular file")),
            _ => Ok(location),
        }
    }

    /// Returns the status of an existing file that may be written to; `None` if there is none.
    pub(super) fn existing(&self) -> Result<Option<Stat>, Refused> {
        let there = match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Symlink => {
                let leads_nowhere = statat(&self.directory, &self.name, AtFlags::empty()).is_err();
                return Err(Refused::Because(if leads_nowhere {
                    "it is a dangling symbolic link"
                } else {
                    "it is a symbolic link, which is not followed"
                }));
            }
            FileType::RegularFile | FileType::Fifo | FileType::CharacterDevice => {}
            _ => return Err(Refused::Because("it is not a regular file")),
        }
        if self.belongs_to_another_user(&there)? {
            return Err(Refused::Because("it belongs to another user, in a directory that everyone can write to"));
        }
        // Renaming needs no permission on the file itself, but writing to it does.
        accessat(&self.directory, &self.name, Access::WRITE_OK, AtFlags::EACCESS)?;
        Ok(Some(there))
    }

    /// Returns whether another user may have created it.
    fn belongs_to_another_user(&self, there: &Stat) -> Result<bool, Refused> {
        let directory = fstat(&self.directory)?;
        let open_to_all = Mode::SVTX | Mode::WOTH;
        Ok(Mode::from_raw_mode(directory.st_mode).contains(open_to_all)
            && there.st_uid != rustix::process::geteuid().as_raw()
            && there.st_uid != directory.st_uid)
    }

    pub(super) fn open_stream(&self, there: &Stat) -> Result<Outlet, Refused> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = loop {
            match openat(&self.directory, &self.name, flags, Mode::empty()) {
                // A FIFO without a reader.
                Err(Errno::NXIO)
                    if FileType::from_raw_mode(there.st_mode) == FileType::Fifo && signals::stopping().is_none() =>
                {
                    thread::sleep(Duration::from_millis(20));
                }
                answer => break answer?,
            }
        };
        let opened = fstat(&fd)?;
        if (opened.st_dev, opened.st_ino) != (there.st_dev, there.st_ino) {
            return Err(Refused::Because("another file has replaced it meanwhile"));
        }
        Ok(Outlet::nonblocking(fd))
    }

    /// Creates a file that has no visible name yet.
    pub(crate) fn begin(&self) -> io::Result<Unfinished> {
        let kept = self.existing().map_err(io::Error::from)?;
        if kept.as_ref().is_some_and(|there| !is_regular(there)) {
            return Err(Refused::Because("another file has replaced it meanwhile").into());
        }
        // The umask limits the mode of a new file. A file that replaces another is private until it has the mode of the
        // old one.
        let mode = Mode::from_raw_mode(if kept.is_some() { 0o600 } else { 0o666 });
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let unfinished = |fd: OwnedFd, name| Unfinished {
            file: File::from(fd),
            name,
            kept,
            directory: Arc::clone(&self.directory),
            target: self.name.clone(),
        };
        match openat(&self.directory, ".", flags | OFlags::TMPFILE, mode) {
            Ok(fd) => Ok(unfinished(fd, None)),
            // The file system has no files without a name, or the kernel does not know the flag and sees a directory.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => {
                let (fd, name) = hidden(&self.directory, |name| {
                    openat(&self.directory, name, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)
                })?;
                Ok(unfinished(fd, Some(name)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn is_regular(there: &Stat) -> bool {
    FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
}
