//! Programs that use a ring.

use cutaway::system::{self, ProgramEntry};

use crate::error::CliError;

/// Returns every program that this process may inspect; none, without the privileges for it: rings are shown all the
/// same.
pub(super) fn programs() -> Result<Vec<ProgramEntry>, CliError> {
    system::programs()
        .filter_map(|program| match program {
            Err(error) if wants_fds(&error) => Some(Err(error.into())),
            program => program.ok().map(Ok),
        })
        .collect()
}

/// Returns whether the process is out of fds. Then the object that was looked for may exist all the same.
pub(super) fn wants_fds(error: &cutaway::Error) -> bool {
    error.errno().is_some_and(|errno| matches!(errno.raw(), libc::EMFILE | libc::ENFILE))
}
