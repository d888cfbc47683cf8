//! Follows the command's children, if the machine permits it.
//!
//! The set of followed processes contains process ids of the initial PID namespace. While the command is started it
//! contains this process, so the command belongs to it. The program on `task/task_newtask` adds the descendants.

use std::fs;

use cutaway::{Loaded, Tracepoint};
use cutaway_programs::getaddrinfo::names;

use crate::error::CliError;

/// Returns the reason why the process ids of BPF programs are not those of `/proc`, or `None` if they are.
pub(super) fn pid_namespace_obstacle() -> Option<String> {
    /// The initial PID namespace's inode (`PROC_PID_INIT_INO`).
    const INITIAL: &str = "pid:[4026531836]";
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace.as_os_str() == INITIAL => None,
        Ok(_) => {
            Some("this PID namespace is not the initial one, so process ids differ from those in the kernel".to_owned())
        }
        Err(error) => Some(format!("cannot read /proc/self/ns/pid: {error}")),
    }
}

/// Returns the reason why the command's children cannot be followed, or `None` if they can.
pub(crate) fn obstacle() -> Option<String> {
    if let Some(why) = pid_namespace_obstacle() {
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

/// Runs `start` while this process is in the set, so that a process that it starts is followed.
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
