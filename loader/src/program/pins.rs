//! Pins of programs: files in a BPF file system.

use std::{os::fd::AsFd, path::Path};

use super::Program;
use crate::{Error, pin, sys::fdinfo::fdinfo};

impl Program {
    /// Removes the pin of this program at `path`. The program stays in the kernel while it is attached, or open
    /// anywhere. Returns false if nothing is there.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the pin cannot be opened or removed; [`Error::Invalid`] if something else is pinned there.
    /// Nothing is removed then.
    #[doc(alias("bpf_program__unpin", "Program.Unpin"))]
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<bool, Error> {
        let path = path.as_ref();
        let attempt = format!("unpin the program `{}` at {}", self.name(), path.display());
        let pinned = match pin::open(path, "opens the pin, to see whether it is this program's") {
            Ok(pinned) => pinned,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(pin::failed(attempt, &error)),
        };
        let id = |about: String| about.lines().find_map(|line| line.strip_prefix("prog_id:").map(str::to_owned));
        let of = |fd| fdinfo(fd).map(id).map_err(|error| Error::kernel(attempt.clone(), &error));
        // A map or a link has no `prog_type`; a link has the id of its program.
        let is_program = fdinfo(pinned.as_fd()).is_ok_and(|about| about.contains("prog_type:"));
        if !is_program || of(pinned.as_fd())? != of(self.as_fd())? {
            let why = "something else is pinned there: it stays".to_owned();
            return Err(Error::Invalid { operation: attempt, why });
        }
        pin::remove(path, attempt)
    }
}
