//! Errors of reading a recording.

use std::{fmt, io};

use crate::format::VERSION;

/// Why a recording cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    Io(io::Error),
    /// The file is not a recording: it does not begin as one.
    NotARecording,
    /// The file is empty, or ends before its first entry is whole.
    NoStart,
    /// The recording has a later version than this reader knows.
    Version(u64),
    /// The file is damaged from here on. A file that only ends early is not damaged: see
    /// [`Reader::is_cut`](crate::Reader::is_cut).
    Damaged {
        /// The number of whole entries before the damage.
        after: u64,
        /// The fault.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(to, "{error}"),
            Self::NotARecording => {
                to.write_str("it is not a recording of cutaway: it does not begin with the LZ4 frame of one")
            }
            Self::NoStart => {
                to.write_str("it ends before its start: the recording program was killed, or the disk was full")
            }
            Self::Version(version) => {
                write!(
                    to,
                    "it is a recording of version {version}, and this program reads version {}; use a newer cutaway",
                    VERSION
                )
            }
            Self::Damaged { after, why } => write!(to, "it is damaged after {after} entries: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
