//! Programs that use a ring.

use cutaway::system::{self, ProgramEntry};
use log::info;

use crate::error::CliError;

/// Returns every program of the machine; `None` if this process may not inspect them (CAP_SYS_ADMIN).
pub(super) fn programs() -> Result<Option<Vec<ProgramEntry>>, CliError> {
    let mut programs = Vec::new();
    for program in system::programs() {
        match program {
            Ok(program) => programs.push(program),
            Err(error) if is_out_of_fds(&error) => return Err(error.into()),
            Err(error) => {
                info!("programs cannot be inspected: {error}");
                return Ok(None);
            }
        }
    }
    Ok(Some(programs))
}

/// Returns whether `error` says that no fd is left. Then the object may exist although it was not found.
pub(super) fn is_out_of_fds(error: &cutaway::Error) -> bool {
    error.errno().is_some_and(|errno| matches!(errno.raw(), libc::EMFILE | libc::ENFILE))
}
