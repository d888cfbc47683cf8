//! Files that a command writes where it is told to: reports, pictures, pages of the manual.
//!
//! | the path names | what happens |
//! | --- | --- |
//! | nothing yet | a new file with the usual permissions appears, complete |
//! | a regular file | a complete one takes its place and keeps its mode and, where permitted, owner and group |
//! | a symbolic link | refused: the last component is never followed |
//! | a FIFO or a character device | it is opened and written to; not replaced |
//! | `/dev/stdout`, `/dev/stderr`, `/dev/fd/N`, `/proc/self/fd/N` | what this process has open there is written to |
//! | a directory, a block device, a socket | refused |
//!
//! The new file is made beside the old one without a name (O_TMPFILE), synchronized, and then renamed over it. Until
//! then the old file is untouched, and a process that is killed leaves nothing. File systems without O_TMPFILE get a
//! file of a hidden name, which is removed on failure and on the second signal. Hard links keep the old content. The
//! directory is opened once, so that what others rename meanwhile does not redirect anything.
//!
//! In a directory with the sticky bit that everyone can write to, such as `/tmp`, a file of another user is refused, as
//! open(2) refuses it to `O_CREAT` with `fs.protected_regular` and `fs.protected_fifos` (`may_create_in_sticky` in
//! `fs/namei.c`).

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{
        Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, accessat, fchmod, fchown, fstat, linkat, openat,
        renameat, statat, unlinkat,
    },
    io::Errno,
};

use crate::{
    failure::Failure,
    outlet::{self, Outlet, Standard},
    signals::{self, LastAct},
};

/// Where a file is written to.
#[derive(Debug)]
pub(crate) enum OutputFile {
    /// Each write replaces the whole file.
    Replaced(Place),
    /// Each write follows the one before.
    Stream(Stream),
}

/// A name in a directory.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Arc<OwnedFd>,
    name: OsString,
}

/// A device, a FIFO, or a descriptor that is open already.
#[derive(Debug)]
pub(crate) enum Stream {
    Standard(Standard),
    Opened(Outlet),
}

/// Why a path cannot be written to.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A reason of this module's own.
    Because(&'static str),
    System(io::Error),
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl OutputFile {
    /// Finds out what the path names, and opens what is not to be replaced. A FIFO is waited for until it has a reader.
    pub(crate) fn open(path: &Path) -> Result<Self, Refused> {
        if let Some(fd) = own_descriptor(path) {
            return Ok(Self::Stream(own_stream(fd)?));
        }
        let place = Place::new(path)?;
        match place.existing()? {
            Some(there) if !is_regular(&there) => Ok(Self::Stream(Stream::Opened(place.open_stream(&there)?))),
            _ => Ok(Self::Replaced(place)),
        }
    }

    /// Writes these bytes: as the whole file, or behind what was written before.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Replaced(place) => place.begin()?.commit(bytes),
            Self::Stream(Stream::Standard(standard)) => standard.write_all(bytes),
            Self::Stream(Stream::Opened(outlet)) => (&*outlet).write_all(bytes),
        }
    }

    /// Whether it cannot be written anew.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

impl Place {
    /// Opens the directory, whatever the name in it is.
    fn new(path: &Path) -> Result<Self, Refused> {
        let nameless = path.as_os_str().as_bytes().ends_with(b"/") || path.as_os_str().as_bytes().ends_with(b"/.");
        let Some(name) = path.file_name().filter(|_| !nameless) else {
            return Err(Refused::Because(if path.is_dir() { "it is no file" } else { "it names no file" }));
        };
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Self { directory: Arc::new(directory), name: name.to_owned() })
    }

    /// The place of a regular file, there or not; anything else is refused.
    pub(crate) fn of_regular_file(path: &Path) -> Result<Self, Refused> {
        let place = Self::new(path)?;
        match place.existing()? {
            Some(there) if !is_regular(&there) => Err(Refused::Because("it is no file")),
            _ => Ok(place),
        }
    }

    /// What is there, if it is something that may be written to.
    fn existing(&self) -> Result<Option<Stat>, Refused> {
        let there = match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => there,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match FileType::from_raw_mode(there.st_mode) {
            FileType::Symlink => {
                let leads_nowhere = statat(&self.directory, &self.name, AtFlags::empty()).is_err();
                return Err(Refused::Because(if leads_nowhere {
                    "it is a link that leads nowhere"
                } else {
                    "it is a symbolic link, which is not followed"
                }));
            }
            FileType::RegularFile | FileType::Fifo | FileType::CharacterDevice => {}
            _ => return Err(Refused::Because("it is no file")),
        }
        if self.is_a_strangers(&there)? {
            return Err(Refused::Because("it belongs to another user, in a directory that everyone can write to"));
        }
        // To rename takes no permission on the file itself, but to write to it does.
        accessat(&self.directory, &self.name, Access::WRITE_OK, AtFlags::EACCESS)?;
        Ok(Some(there))
    }

    /// Whether another user may have put it there.
    fn is_a_strangers(&self, there: &Stat) -> Result<bool, Refused> {
        let directory = fstat(&self.directory)?;
        let open_to_all = Mode::SVTX | Mode::WOTH;
        Ok(Mode::from_raw_mode(directory.st_mode).contains(open_to_all)
            && there.st_uid != rustix::process::geteuid().as_raw()
            && there.st_uid != directory.st_uid)
    }

    fn open_stream(&self, there: &Stat) -> Result<Outlet, Refused> {
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
            return Err(Refused::Because("another file has taken its place meanwhile"));
        }
        Ok(Outlet::nonblocking(fd))
    }

    /// Makes a file that is not there yet for anybody else.
    pub(crate) fn begin(&self) -> io::Result<Unfinished> {
        let kept = self.existing().map_err(io::Error::from)?;
        if kept.as_ref().is_some_and(|there| !is_regular(there)) {
            return Err(Refused::Because("another file has taken its place meanwhile").into());
        }
        // A new file has what the umask leaves. One that replaces another is closed to others until it has the mode of
        // that.
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

/// Makes something under a hidden name that nothing has.
fn hidden<T>(directory: &Arc<OwnedFd>, mut make: impl FnMut(&OsStr) -> Result<T, Errno>) -> io::Result<(T, Hidden)> {
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

/// A hidden name, which goes with this.
#[derive(Debug)]
struct Hidden {
    directory: Arc<OwnedFd>,
    name: OsString,
    _at_sudden_end: LastAct,
}

impl Hidden {
    fn new(directory: &Arc<OwnedFd>, name: OsString) -> Self {
        let (place, there) = (Arc::clone(directory), name.clone());
        let act = signals::at_sudden_end(move || {
            let _ = unlinkat(&place, &there, AtFlags::empty());
        });
        Self { directory: Arc::clone(directory), name, _at_sudden_end: act }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Once it was renamed, nothing has that name any more.
        let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}

/// A file that is being written. Unless it is committed, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    /// Where the file system has no files without a name.
    name: Option<Hidden>,
    /// What it replaces.
    kept: Option<Stat>,
    directory: Arc<OwnedFd>,
    target: OsString,
}

impl Unfinished {
    /// Takes room for so many bytes, so that a full disk shows now.
    pub(crate) fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        // Written, since not every file system can be asked for room.
        self.file.write_all(&vec![0; bytes])?;
        self.file.sync_data()
    }

    /// Writes all of it, and puts it in its place.
    pub(crate) fn commit(mut self, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        self.file.set_len(bytes.len() as u64)?;
        if let Some(kept) = &self.kept {
            self.resemble(kept)?;
        }
        // What the disk or a server refuses late shows here.
        self.file.sync_all()?;
        self.put_in_place()
    }

    /// Gives it the mode of what it replaces, and owner and group where that is permitted. Bits that run a program as
    /// somebody else are not kept, as write(2) does not keep them.
    fn resemble(&self, kept: &Stat) -> io::Result<()> {
        let own = fstat(&self.file)?;
        if (own.st_uid, own.st_gid) != (kept.st_uid, kept.st_gid) {
            let (user, group) = (Uid::from_raw(kept.st_uid), Gid::from_raw(kept.st_gid));
            if fchown(&self.file, Some(user), Some(group)).is_err() {
                // One who may not give files away may still be in the group.
                let _ = fchown(&self.file, None, Some(group));
            }
        }
        Ok(fchmod(&self.file, Mode::from_raw_mode(kept.st_mode & 0o777))?)
    }

    fn put_in_place(self) -> io::Result<()> {
        let Self { file, name, kept, directory, target } = self;
        let name = match name {
            Some(name) => name,
            None => {
                if kept.is_none() {
                    match link(&file, &directory, &target) {
                        // Somebody has made one meanwhile.
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

/// Gives a file without a name one.
fn link(file: &File, directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    // Without /proc it takes CAP_DAC_READ_SEARCH before Linux 6.10.
    linkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), directory, name, AtFlags::SYMLINK_FOLLOW).or_else(
        |error| match error {
            Errno::NOENT => linkat(file, "", directory, name, AtFlags::EMPTY_PATH),
            error => Err(error),
        },
    )
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Because(why) => Self::other(why),
            Refused::System(error) => error,
        }
    }
}

fn is_regular(there: &Stat) -> bool {
    FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
}

/// The descriptor of this process that such a path names.
fn own_descriptor(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => text
            .strip_prefix("/dev/fd/")
            .or_else(|| text.strip_prefix("/proc/self/fd/"))
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?
            .parse()
            .ok(),
    }
}

fn own_stream(fd: i32) -> Result<Stream, Refused> {
    Ok(match fd {
        1 => Stream::Standard(outlet::stdout()),
        2 => Stream::Standard(outlet::stderr()),
        // What a shell does for `> /dev/fd/N`: a description of its own, truncated.
        fd => {
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY | OFlags::CLOEXEC;
            let opened = rustix::fs::open(format!("/proc/self/fd/{fd}"), flags, Mode::empty())?;
            Stream::Opened(Outlet::shared(opened.as_fd()).ok_or(Refused::System(Errno::BADF.into()))?)
        }
    })
}

/// A path that cannot be written to, as a failure of the command: `attempt` is what it was for.
pub(crate) fn failure(attempt: &str, path: &Path, refused: Refused) -> Failure {
    let attempt = format!("{attempt} {}", path.display());
    let error = match refused {
        Refused::Because(why) => {
            return Failure::new(format!("cannot {attempt}: {why}"))
                .advise("name a file that may be replaced, or one that is not there yet");
        }
        Refused::System(error) => error,
    };
    let failure = Failure::system(&attempt, &error);
    match error.kind() {
        io::ErrorKind::NotFound => failure.advise("is there such a folder?"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.advise("name a file in a folder that can be written to")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.advise("make room, or name a file on another disk")
        }
        io::ErrorKind::FileTooLarge => failure.advise("raise `ulimit -f`"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests;
