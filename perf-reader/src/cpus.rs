//! The CPUs on which a perf event can be opened.

use cutaway_sys::{cpus, errno::is_out_of_fds};

use crate::error::Error;

/// Returns the ids of the online CPUs, ascending. They can have gaps.
///
/// # Errors
/// [`Error::OnlineCpus`] if `/sys/devices/system/cpu/online` cannot be read or is not a list of CPUs.
/// [`Error::Syscall`] with EMFILE or ENFILE if no fd is left to read it.
pub fn online_cpus() -> Result<Vec<u32>, Error> {
    cpus::online().map_err(|error| match is_out_of_fds(&error) {
        true => Error::system("read /sys/devices/system/cpu/online", &error),
        false => Error::OnlineCpus { reason: error.to_string() },
    })
}
