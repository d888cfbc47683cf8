//! Detaches programs where the kernel has no link for them: by another call, made when the [`Link`](super::Link) is
//! dropped.

use std::{fmt::Debug, io};

use log::warn;

use crate::Program;

/// Detaches a program, or frees its resources, when dropped.
pub(super) trait Detach: Debug + Send + Sync {
    /// Keeps the program's resources beyond the drop: the program may stay attached (a pin, a leaked link).
    fn keep(&self) {}

    /// Replaces the attached program, if it still is `expected`, where that is given. `None` if that is impossible for
    /// this kind of attachment.
    fn update(&mut self, _program: &Program, _expected: Option<&Program>) -> Option<io::Result<()>> {
        None
    }
}

/// Warns if a program could not be detached: a drop returns no error.
pub(super) fn detached(what: &str, answer: std::io::Result<()>) {
    match answer {
        Ok(()) => {}
        // Another process has detached the program, or its target no longer exists.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {}
        Err(error) => warn!("cannot detach a program from {what}: {}", crate::Errno::of(&error)),
    }
}
