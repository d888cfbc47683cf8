//! Checks of `peek`: finds a ring of this process as if it were another process's, and maps it.

use std::fs;

use cutaway::{Error, MapBuilder, MapType, system};
use cutaway_sys::memory::page_size;

use super::{finding::Finding, privileges};

/// The advice for a refused list of maps.
const PRIVILEGES: &str = "run as root, or with CAP_SYS_ADMIN: the kernel lists maps only for it";

pub(super) fn findings() -> Vec<Finding> {
    vec![privileges::observer(), processes(), rings()]
}

/// Finds and maps a ring, as `peek` does without options.
fn rings() -> Finding {
    const CHECK: &str = "peek at a ring";
    match observe() {
        Ok(true) => Finding::ok(CHECK, "lists the maps, finds a ring and maps its pages"),
        Ok(false) => Finding::no(CHECK, "the kernel's list of maps has no ring that was just created", "report it"),
        Err(error) if error.errno().is_some_and(|errno| [libc::EPERM, libc::EACCES].contains(&errno.raw())) => {
            Finding::no(CHECK, error.to_string(), PRIVILEGES)
        }
        Err(error) => Finding::no(CHECK, error.to_string(), "see the findings above"),
    }
}

/// Creates a ring, finds it by its id and maps it. Returns whether it was found.
fn observe() -> Result<bool, Error> {
    let ring = MapBuilder::new(MapType::RINGBUF).max_entries(page_size() as u32).name("doctor").create()?;
    for map in system::maps() {
        let map = map?;
        if map.id() == ring.id() {
            return map.peek().map(|_| true);
        }
    }
    Ok(false)
}

/// Reports whether the fds of other processes are visible, which name the processes that hold a ring.
fn processes() -> Finding {
    const CHECK: &str = "fds of processes";
    let Ok(entries) = fs::read_dir("/proc") else {
        return Finding::no(CHECK, "/proc cannot be read", "mount -t proc proc /proc");
    };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let (mut visible, mut hidden) = (0, 0);
    for pid in pids {
        match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(_) => visible += 1,
            // The process has exited.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => hidden += 1,
        }
    }
    match hidden {
        0 => Finding::ok(CHECK, format!("visible, of all {visible} processes in /proc")),
        _ => Finding::note(
            CHECK,
            format!("hidden, of {hidden} of {} processes", visible + hidden),
            "`peek` does not show which of them hold a ring; run as root, or with CAP_SYS_PTRACE",
        ),
    }
}
