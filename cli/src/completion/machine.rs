//! Names and ids on this machine: processes, interfaces, users, rings and perf event arrays.
//!
//! A list that cannot be read is empty: for the names of maps, for example, only root has the permission.

use std::{collections::BTreeSet, fs};

use cutaway::{MapType, system};

use super::candidate::Candidate;

/// Returns the ids of all processes, with their names.
pub(super) fn processes() -> Vec<Candidate> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok());
    // The process of this completion ends before its id can be used.
    let others = pids.filter(|&pid| pid != std::process::id());
    // A kernel thread has no command line, and neither has a process that has ended.
    let others = others.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()));
    others.filter_map(|pid| Some(Candidate::new(pid.to_string(), name(pid)?))).collect()
}

/// Returns the names of all processes.
pub(super) fn process_names() -> Vec<Candidate> {
    let names: BTreeSet<String> = processes().into_iter().map(|process| process.meaning).collect();
    names.into_iter().map(|name| Candidate::new(name, "")).collect()
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.strip_suffix('\n').unwrap_or(&name).to_owned())
}

/// Returns the names of the network interfaces.
pub(super) fn interfaces() -> Vec<Candidate> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    // Some entries are files with settings.
    let interfaces = entries.filter(|entry| entry.path().is_dir());
    interfaces.filter_map(|entry| Some(Candidate::new(entry.file_name().into_string().ok()?, ""))).collect()
}

/// Returns the names of the users in /etc/passwd, with their ids.
pub(super) fn users() -> Vec<Candidate> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        Some(Candidate::new(name, format!("user id {id}")))
    };
    passwd.lines().filter_map(user).collect()
}

/// Makes a candidate of the id and name of each ring and perf event array.
pub(super) fn buffers(candidate: impl Fn(String, String) -> Candidate) -> Vec<Candidate> {
    let buffer = |map: cutaway::Map| {
        let is_buffer = matches!(map.map_type(), MapType::RINGBUF | MapType::USER_RINGBUF | MapType::PERF_EVENT_ARRAY);
        is_buffer.then(|| candidate(map.id().to_string(), map.name().to_string()))
    };
    system::maps().flatten().filter_map(buffer).filter(|candidate| !candidate.word.is_empty()).collect()
}
