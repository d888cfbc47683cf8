//! Output files that are named on the command line: reports, pictures, pages of the manual.
//!
//! | the path names | what happens |
//! | --- | --- |
//! | nothing yet | a new file with the usual permissions appears, complete |
//! | a regular file | a complete file replaces it and keeps its mode and, where permitted, owner and group |
//! | a symbolic link | refused: the last component is never followed |
//! | a FIFO or a character device | it is opened and written to; not replaced |
//! | `/dev/stdout`, `/dev/stderr`, `/dev/fd/N`, `/proc/self/fd/N` | that open file of this process is written to |
//! | a directory, a block device, a socket | refused |
//! | a file that the command reads ([`OutputFile::open_apart`]) | refused |
//!
//! The new file is created in the same directory without a name (O_TMPFILE), synchronized, and then renamed over the
//! old one. Until then the old file is untouched, and a process that is killed leaves nothing. On file systems without
//! O_TMPFILE, the new file has a hidden name, which is removed on failure and on the second signal. Hard links keep the
//! old content. The directory is opened once, so that a rename by another process does not redirect the write.
//!
//! A recording is a [`GrowingFile`]: it can be read while it is written, and replaces nothing.
//!
//! In a directory with the sticky bit that everyone can write to, such as `/tmp`, a file of another user is refused, as
//! open(2) refuses it to `O_CREAT` with `fs.protected_regular` and `fs.protected_fifos` (`may_create_in_sticky` in
//! `fs/namei.c`).

mod growing;
mod location;
mod refused;
mod stream;
mod unfinished;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

pub(crate) use self::growing::GrowingFile;
pub(crate) use self::{
    location::Location,
    refused::{Refused, failure},
    unfinished::Unfinished,
};
use self::{
    location::is_regular,
    stream::{Stream, own_fd, own_stream},
};

/// An output file.
#[derive(Debug)]
pub(crate) enum OutputFile {
    /// Each write replaces the whole file.
    Replaced(Location),
    /// Each write follows the one before.
    Stream(Stream),
}

impl OutputFile {
    /// Finds the file that the path names. Opens it, unless it is a regular file, which a write replaces. Waits until a
    /// FIFO has a reader.
    pub(crate) fn open(path: &Path) -> Result<Self, Refused> {
        if let Some(fd) = own_fd(path) {
            return Ok(Self::Stream(own_stream(fd)?));
        }
        let location = Location::new(path)?;
        match location.existing()? {
            Some(there) if !is_regular(&there) => Ok(Self::Stream(Stream::Opened(location.open_stream(&there)?))),
            _ => Ok(Self::Replaced(location)),
        }
    }

    /// Finds the file as [`OutputFile::open`] does, and refuses the regular files that the command reads: they would be
    /// lost.
    pub(crate) fn open_apart(path: &Path, inputs: &[&Path]) -> Result<Self, Refused> {
        let identity = |path: &Path| {
            let there = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
            Some((there.dev(), there.ino()))
        };
        let own = identity(path);
        if own.is_some() && inputs.iter().any(|input| identity(input) == own) {
            return Err(Refused::Because("the command reads this file, and would replace it"));
        }
        Self::open(path)
    }

    /// Writes these bytes: as the whole file, or after the bytes written before.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Replaced(location) => location.begin()?.commit(bytes),
            Self::Stream(Stream::Standard(standard)) => standard.write_all(bytes),
            Self::Stream(Stream::Opened(outlet)) => (&*outlet).write_all(bytes),
        }
    }

    /// Returns whether each write follows the one before, because the file cannot be replaced.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

#[cfg(test)]
mod tests;
