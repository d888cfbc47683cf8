//! The processes whose libraries are traced.

use std::{fs, sync::Arc};

use cutaway::Loaded;
use cutaway_programs::getaddrinfo::names as object;

use super::libc_name::looks_like_libc;
use crate::diagnostics;

/// The processes whose libraries are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    /// The processes in the map `followed`, which start with a command. None of them exists before the trace begins.
    Command,
    /// The processes in the map `followed`, some of which exist already.
    Processes,
    Process(u32),
}

impl Scope {
    /// Returns whether the map `followed` has the processes, which leave it when they end.
    fn is_by_map(self) -> bool {
        matches!(self, Self::Command | Self::Processes)
    }
}

/// Decides whether a process is in the scope.
#[derive(Clone)]
pub(crate) struct ProcessFilter {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) scope: Scope,
}

impl ProcessFilter {
    pub(crate) fn includes(&self, pid: u32) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Process(only) => pid == only,
            Scope::Command | Scope::Processes => {
                let find = || self.loaded.map(object::FOLLOWED).and_then(|map| map.lookup(&pid.to_ne_bytes()));
                let followed = diagnostics::quietly(find);
                followed.is_ok_and(|found| found.is_some())
            }
        }
    }

    /// Returns whether the process that mapped this file is traced, or may have been. A process that has ended is no
    /// longer followed. It counts as traced if the file has a C library's name.
    pub(crate) fn may_include(&self, pid: u32, path: &str) -> bool {
        self.includes(pid) || self.scope.is_by_map() && looks_like_libc(path) && has_ended(pid)
    }
}

/// Returns whether the process is gone, exiting, or a zombie.
fn has_ended(pid: u32) -> bool {
    /// `PF_EXITING` (`include/linux/sched.h`)
    const EXITING: u64 = 4;
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return true };
    let stat = String::from_utf8_lossy(&stat);
    // The name can contain any character. After it come the state, five numbers, and the flags (proc(5)).
    let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let is_over = fields.next().is_none_or(|state| matches!(state, "Z" | "X" | ""));
    is_over || fields.nth(5).and_then(|flags| flags.parse().ok()).is_some_and(|flags: u64| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_process_is_recognized() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        assert!(!has_ended(child.id()) && !has_ended(std::process::id()));
        child.kill().unwrap();
        let begin = std::time::Instant::now();
        while !has_ended(child.id()) {
            assert!(begin.elapsed() < std::time::Duration::from_secs(10), "a zombie counts as ended");
        }
        child.wait().unwrap();
        assert!(has_ended(child.id()) && has_ended(u32::MAX));
    }
}
