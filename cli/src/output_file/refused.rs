//! Reasons why a path cannot be written to.

use std::{io, path::Path};

use rustix::io::Errno;

use crate::error::CliError;

/// The reason why a path cannot be written to.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A check of this module failed.
    Because(&'static str),
    /// The file exists already, and is not to be replaced.
    Exists,
    System(io::Error),
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Because(why) => Self::other(why),
            Refused::Exists => io::ErrorKind::AlreadyExists.into(),
            Refused::System(error) => error,
        }
    }
}

/// Makes the error of a path that cannot be written to. `attempt` names the purpose.
pub(crate) fn failure(attempt: &str, path: &Path, refused: Refused) -> CliError {
    let attempt = format!("{attempt} {}", path.display());
    let error = match refused {
        Refused::Because(why) => {
            return CliError::new(format!("cannot {attempt}: {why}")).advise("name a regular file, or a new one");
        }
        Refused::Exists => {
            return CliError::new(format!("cannot {attempt}: it exists already"))
                .advise("remove it, or name a new file");
        }
        Refused::System(error) => error,
    };
    let failure = CliError::system(&attempt, &error);
    match error.kind() {
        io::ErrorKind::NotFound => failure.advise("does the directory exist?"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.advise("name a file in a directory that can be written to")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.advise("make room, or name a file on another disk")
        }
        io::ErrorKind::FileTooLarge => failure.advise("raise `ulimit -f`"),
        _ => failure,
    }
}
