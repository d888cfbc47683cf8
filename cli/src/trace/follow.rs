//! Following the command's children, if this machine lets us.
//!
//! The set of followed processes holds numbers of the initial PID namespace, and begins with this very process:
//! whatever it starts belongs to it. The program on `task/task_newtask` adds the rest.

use std::fs;

use cutaway::{Loaded, Tracepoint};
use cutaway_programs::getaddrinfo::names;

use crate::error::CliError;

/// Why the numbers of processes that the kernel uses are not those of `/proc`; `None` if they are.
pub(super) fn stranger_to_numbers() -> Option<String> {
    /// The initial PID namespace's inode (`PROC_PID_INIT_INO`).
    const INITIAL: &str = "pid:[4026531836]";
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace.as_os_str() == INITIAL => None,
        Ok(_) => Some("in a PID namespace of its own a process does not know its number in the kernel".to_owned()),
        Err(error) => Some(format!("cannot read /proc/self/ns/pid: {error}")),
    }
}

/// Why the command's children cannot be followed here; `None` if they can.
pub(crate) fn obstacle() -> Option<String> {
    if let Some(why) = stranger_to_numbers() {
        return Some(why);
    }
    let format = match Tracepoint::new("task", "task_newtask").format() {
        Ok(format) => format,
        Err(error) => return Some(error.to_string()),
    };
    let known = [("pid_t pid;", "offset:8;"), ("clone_flags;", "offset:32;")]
        .iter()
        .all(|(field, offset)| format.lines().any(|line| line.contains(field) && line.contains(offset)));
    (!known).then(|| "this kernel's tracepoint task/task_newtask has an unknown layout".to_owned())
}

/// Runs `start` with this process in the set, so that what it starts is followed.
pub(crate) fn from_here<T>(
    loaded: &Loaded,
    follow: bool,
    start: impl FnOnce() -> Result<T, CliError>,
) -> Result<T, CliError> {
    if !follow {
        return start();
    }
    let followed = loaded.map(names::FOLLOWED)?;
    let own = std::process::id().to_ne_bytes();
    followed.update(&own, &[1])?;
    let started = start();
    followed.delete(&own)?;
    started
}
