//! Pins of programs: files in a BPF file system.

use std::{fs, os::fd::AsFd, path::Path};

use super::Program;
use crate::{Error, pin, sys::prog_info};

impl Program {
    /// Removes the pin of this program at `path`. The program stays in the kernel while it is attached, or open
    /// anywhere.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the pin cannot be opened or removed: ENOENT if it does not exist; [`Error::Invalid`] if
    /// something else is pinned there. Nothing is removed then.
    #[doc(alias("bpf_program__unpin", "Program.Unpin"))]
    pub fn unpin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let attempt = format!("unpin the program `{}` at {}", self.name(), path.display());
        let pinned = pin::open(path, "opens the pin, to see whether it is this program's")
            .map_err(|error| pin::failed(attempt.clone(), &error))?;
        let id = |about: String| about.lines().find_map(|line| line.strip_prefix("prog_id:").map(str::to_owned));
        let of = |fd| prog_info::fdinfo(fd).map(id).map_err(|error| Error::kernel(attempt.clone(), &error));
        // A map or a link has no `prog_type`; a link has the id of its program.
        let is_program = prog_info::fdinfo(pinned.as_fd()).is_ok_and(|about| about.contains("prog_type:"));
        if !is_program || of(pinned.as_fd())? != of(self.as_fd())? {
            let why = "something else is pinned there: it stays".to_owned();
            return Err(Error::Invalid { operation: attempt, why });
        }
        fs::remove_file(path).map_err(|error| Error::kernel(attempt, &error))
    }
}
