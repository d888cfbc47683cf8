//! A file that is being written, and gets its name when it is complete.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, Stat, Uid, fchmod, fchown, fstat, linkat, renameat, unlinkat},
    io::Errno,
};

use crate::signals::{self, LastAct};

/// Calls `make` with hidden names until one is free.
pub(super) fn hidden<T>(
    directory: &Arc<OwnedFd>,
    mut make: impl FnMut(&OsStr) -> Result<T, Errno>,
) -> io::Result<(T, Hidden)> {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let name = OsString::from(format!(".cutaway-{random:016x}"));
        match make(&name) {
            Ok(made) => return Ok((made, Hidden::new(directory, name))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A hidden name, which is removed on drop.
#[derive(Debug)]
pub(super) struct Hidden {
    directory: Arc<OwnedFd>,
    name: OsString,
    _at_sudden_end: LastAct,
}

impl Hidden {
    fn new(directory: &Arc<OwnedFd>, name: OsString) -> Self {
        let (parent, there) = (Arc::clone(directory), name.clone());
        let act = signals::at_sudden_end(move || {
            let _ = unlinkat(&parent, &there, AtFlags::empty());
        });
        Self { directory: Arc::clone(directory), name, _at_sudden_end: act }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // After the rename, no file has that name any more.
        let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}

/// A file that is being written. It is removed unless it is committed.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(super) file: File,
    /// The hidden name, if the file system does not support files without a name.
    pub(super) name: Option<Hidden>,
    /// The file that it replaces.
    pub(super) kept: Option<Stat>,
    pub(super) directory: Arc<OwnedFd>,
    pub(super) target: OsString,
}

impl Unfinished {
    /// Reserves `bytes` bytes, so that a full disk is noticed early.
    pub(crate) fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        // By a write, because not every file system supports fallocate(2).
        self.file.write_all(&vec![0; bytes])?;
        self.file.sync_data()
    }

    /// Writes the whole file and renames it into place.
    pub(crate) fn commit(mut self, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        self.file.set_len(bytes.len() as u64)?;
        if let Some(kept) = &self.kept {
            self.resemble(kept)?;
        }
        // Reports errors that the disk or a server detects late.
        self.file.sync_all()?;
        self.rename_to_target()
    }

    /// Sets the mode of the file that it replaces, and owner and group where permitted. Set-user-ID and set-group-ID
    /// bits are dropped, as write(2) drops them.
    fn resemble(&self, kept: &Stat) -> io::Result<()> {
        let own = fstat(&self.file)?;
        if (own.st_uid, own.st_gid) != (kept.st_uid, kept.st_gid) {
            let (user, group) = (Uid::from_raw(kept.st_uid), Gid::from_raw(kept.st_gid));
            if fchown(&self.file, Some(user), Some(group)).is_err() {
                // A process without CAP_CHOWN may still set a group that it belongs to.
                let _ = fchown(&self.file, None, Some(group));
            }
        }
        Ok(fchmod(&self.file, Mode::from_raw_mode(kept.st_mode & 0o777))?)
    }

    fn rename_to_target(self) -> io::Result<()> {
        let Self { file, name, kept, directory, target } = self;
        let name = match name {
            Some(name) => name,
            None => {
                if kept.is_none() {
                    match link(&file, &directory, &target) {
                        // Another process has created one meanwhile.
                        Err(Errno::EXIST) => {}
                        answer => return Ok(answer?),
                    }
                }
                hidden(&directory, |name| link(&file, &directory, name))?.1
            }
        };
        Ok(renameat(&directory, &name.name, &directory, &target)?)
    }
}

/// Gives a name to a file that has none.
fn link(file: &File, directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    // Without /proc it takes CAP_DAC_READ_SEARCH before Linux 6.10.
    linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), directory, name, AtFlags::SYMLINK_FOLLOW).or_else(
        |error| match error {
            Errno::NOENT => linkat(file, "", directory, name, AtFlags::EMPTY_PATH),
            error => Err(error),
        },
    )
}
