//! Finds the map that the arguments name.

use std::path::Path;

use cutaway::{
    Map, MapType,
    system::{self, FdKind},
};

use super::{args::Arguments, names::kept, ring::Mode};
use crate::error::{CliError, listed_by};

/// Returns the map that the arguments name; `None` if they name none, or a process that holds no ring.
pub(super) fn choose(arguments: &Arguments) -> Result<Option<Map>, CliError> {
    if let Some(id) = arguments.id {
        return Ok(Some(Map::from_id(id)?));
    }
    if let Some(path) = &arguments.pin {
        return pinned(path).map(Some);
    }
    if let Some(pid) = arguments.pid {
        return of_process(pid);
    }
    let Some(name) = &arguments.name else { return Ok(None) };
    let kept = kept(name);
    let mut named = Vec::new();
    for map in system::maps() {
        let map = map?;
        if is_buffer(&map) && map.name() == kept {
            named.push(map);
        }
    }
    if named.is_empty() {
        return Err(CliError::new(format!("there is no ring or perf event array named `{kept}`"))
            .advise("`cutaway peek` lists all"));
    }
    only(named, &format!("maps are named `{kept}`"))
}

/// Opens a pinned map. For any other path the kernel returns only EPERM, so this function finds the reason.
fn pinned(path: &Path) -> Result<Map, CliError> {
    /// `f_type` of a BPF file system (`include/uapi/linux/magic.h`).
    const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
    Map::from_pin(path).map_err(|error| {
        let failure = CliError::from(error);
        let elsewhere = rustix::fs::statfs(path).is_ok_and(|system| system.f_type as u32 != BPF_FS_MAGIC);
        if elsewhere {
            failure.advise("it is not in a BPF file system; pins are usually below /sys/fs/bpf")
        } else if path.is_dir() {
            failure.advise("it is a directory: name a pin in it")
        } else {
            failure
        }
    })
}

/// Returns the ring that a process holds; `None` if it holds none.
fn of_process(pid: u32) -> Result<Option<Map>, CliError> {
    let mut ids: Vec<u32> = system::open_fds()?
        .found
        .iter()
        .filter(|holder| holder.pid == pid)
        .filter_map(|holder| match holder.kind {
            FdKind::Map(id) => Some(id),
            _ => None,
        })
        .collect();
    if ids.is_empty() && !Path::new(&format!("/proc/{pid}")).exists() {
        return Err(
            CliError::new(format!("there is no process {pid}")).advise("check the PID; the process may have ended")
        );
    }
    ids.sort_unstable();
    ids.dedup();
    // A map that does not exist any more is not held.
    let rings = ids
        .into_iter()
        .filter_map(|id| match Map::from_id(id) {
            Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::ENOENT) => None,
            map => Some(map.map_err(CliError::from)),
        })
        .filter(|map| map.as_ref().map_or(true, |map| Mode::of(map).is_some()))
        .collect::<Result<_, _>>()?;
    only(rings, &format!("rings are held by process {pid}"))
}

/// Returns the ids of the perf event arrays that these processes hold.
pub(super) fn perf_event_arrays(pids: &[u32]) -> Result<Vec<u32>, CliError> {
    let holders = system::open_fds()?;
    let mut ids: Vec<u32> = Vec::new();
    for holder in holders.found.iter().filter(|holder| pids.contains(&holder.pid)) {
        // A map that cannot be opened has gone, or its programs cannot be inspected either.
        if let FdKind::Map(id) = holder.kind
            && !ids.contains(&id)
            && Map::from_id(id).is_ok_and(|map| map.map_type() == MapType::PERF_EVENT_ARRAY)
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Returns the only map; `None` if there is none.
///
/// # Errors
/// If there are several. `what` describes them.
fn only(mut maps: Vec<Map>, what: &str) -> Result<Option<Map>, CliError> {
    if maps.len() <= 1 {
        return Ok(maps.pop());
    }
    let ids: Vec<_> = maps.iter().map(|map| map.id().to_string()).collect();
    Err(CliError::new(format!("{} {what}", ids.len()))
        .advise(&format!("choose one by its id: --id {}", listed_by(&ids, " or --id "))))
}

/// Returns whether `map` is a ring or a perf event array.
pub(super) fn is_buffer(map: &Map) -> bool {
    Mode::of(map).is_some() || map.map_type() == MapType::PERF_EVENT_ARRAY
}
