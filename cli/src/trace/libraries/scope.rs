//! The processes whose libraries are traced.

use std::{fs, sync::Arc};

use cutaway::Loaded;
use cutaway_programs::getaddrinfo::names as object;

use super::libc_name::looks_like_libc;
use crate::diagnostics;

/// The processes whose libraries are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Everybody,
    /// The followed processes (the map `followed`).
    Followed,
    Process(u32),
}

/// Tells whether a process is one of those.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) whose: Whose,
}

impl Wanted {
    pub(crate) fn includes(&self, pid: u32) -> bool {
        match self.whose {
            Whose::Everybody => true,
            Whose::Process(only) => pid == only,
            Whose::Followed => {
                let find = || self.loaded.map(object::FOLLOWED).and_then(|map| map.lookup(&pid.to_ne_bytes()));
                let followed = diagnostics::quietly(find);
                followed.is_ok_and(|found| found.is_some())
            }
        }
    }

    /// Returns whether the process that mapped this file is or may have been traced. A process that has ended is no
    /// longer followed; it counts as traced if the file is a C library.
    pub(crate) fn included(&self, pid: u32, path: &str) -> bool {
        self.includes(pid) || self.whose == Whose::Followed && looks_like_libc(path) && has_ended(pid)
    }
}

/// Returns whether the process is gone, exiting, or a zombie.
fn has_ended(pid: u32) -> bool {
    /// `PF_EXITING` (`include/linux/sched.h`)
    const EXITING: u64 = 4;
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return true };
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything; behind it come the state, five numbers, and the flags (proc(5)).
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let is_over = fields.next().is_none_or(|state| matches!(state, "Z" | "X" | ""));
    is_over || fields.nth(5).and_then(|flags| flags.parse().ok()).is_some_and(|flags: u64| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_told_from_one_that_runs() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        assert!(!has_ended(child.id()) && !has_ended(std::process::id()));
        child.kill().unwrap();
        let begin = std::time::Instant::now();
        while !has_ended(child.id()) {
            assert!(begin.elapsed() < std::time::Duration::from_secs(10), "a zombie has ended");
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()) && has_ended(u32::MAX));
    }
}
