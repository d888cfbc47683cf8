//! Lists all rings of the machine, and finds the one that the arguments name.

use std::path::Path;

use cutaway::{
    Map, MapType,
    system::{self, FdKind, OpenFds, Pin, ProgramEntry},
};
use log::info;
use serde::Serialize;

use super::{
    args::Arguments,
    programs::programs,
    ring::{Mode, Snapshot},
};
use crate::{
    args::Format,
    columns::left,
    error::{CliError, listed, listed_by},
    terminal,
};

/// Bytes of a map's name that the kernel keeps.
const NAME: usize = 15;

/// Returns the map that the arguments name; `None` if they name none, or a process that holds no ring.
pub(crate) fn choose(arguments: &Arguments) -> Result<Option<Map>, CliError> {
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
    let kept: String = name
        .chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= NAME).then_some(c)
        })
        .collect();
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
fn is_buffer(map: &Map) -> bool {
    Mode::of(map).is_some() || map.map_type() == MapType::PERF_EVENT_ARRAY
}

/// A row of the list.
#[derive(Debug, Serialize)]
struct Row {
    id: u32,
    name: String,
    mode: &'static str,
    /// Bytes of data. A perf event array has `slots` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slots: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_pos: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer_pos: Option<u64>,
    /// `null` if none is found and some processes cannot be inspected.
    owners: Option<Vec<Owner>>,
    /// `null` if programs cannot be inspected.
    programs: Option<Vec<Program>>,
    pins: Vec<String>,
    /// Why its pages cannot be mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Owner {
    pid: u32,
    comm: String,
    fds: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Program {
    id: u32,
    name: String,
}

/// Lists the rings.
pub(crate) fn run(format: Format) -> Result<(), CliError> {
    // Read once for all maps. Without the privileges to inspect programs or processes, the rings are listed all the
    // same.
    let holders = system::open_fds()?;
    let pins = system::pins()?;
    let programs = programs()?;
    let mut rows = Vec::new();
    for map in system::maps() {
        let map = map?;
        if is_buffer(&map) {
            rows.push(Row::new(&map, &holders, &pins, programs.as_deref()));
        }
    }
    if holders.hidden > 0 {
        info!("{} processes could not be inspected: their rings may seem to have no owner", holders.hidden);
    }
    let mut text = String::new();
    match format {
        Format::Json => {
            for row in &rows {
                text.push_str(&terminal::json(row)?);
                text.push('\n');
            }
        }
        Format::Table if rows.is_empty() => {
            crate::diagnostics::say("no ring buffer on this machine; `cutaway trace` creates one");
        }
        Format::Table => text = table(&rows),
    }
    terminal::print(&text)
}

impl Row {
    fn new(map: &Map, holders: &OpenFds, pins: &[Pin], programs: Option<&[ProgramEntry]>) -> Self {
        let mut owners: Vec<Owner> = Vec::new();
        for holder in holders.of_map(map.id()).filter(|holder| holder.pid != std::process::id()) {
            match owners.last_mut().filter(|owner| owner.pid == holder.pid) {
                Some(owner) => owner.fds.push(holder.fd),
                None => owners.push(Owner { pid: holder.pid, comm: holder.comm.clone(), fds: vec![holder.fd] }),
            }
        }
        let users = programs.map(|programs| {
            let users = programs.iter().filter(|program| program.maps.contains(&map.id()));
            users.map(|program| Program { id: program.id, name: program.name.clone() }).collect()
        });
        let here = pins.iter().filter(|pin| pin.map == map.id());
        let mut row = Self {
            id: map.id(),
            name: map.name().to_owned(),
            mode: "perf",
            bytes: None,
            slots: None,
            fill_bytes: None,
            consumer_pos: None,
            producer_pos: None,
            owners: (!owners.is_empty() || holders.hidden == 0).then_some(owners),
            programs: users,
            pins: here.map(|pin| pin.path.to_string_lossy().into_owned()).collect(),
            error: None,
        };
        match (Mode::of(map), map.peek()) {
            (None, _) => row.slots = Some(map.max_entries()),
            (Some(mode), Err(error)) => {
                row.mode = mode.word();
                row.bytes = Some(map.max_entries().into());
                row.error = Some(error.to_string());
            }
            (Some(mode), Ok(pages)) => {
                let snapshot = Snapshot::positions(&pages, (row.id, &row.name, mode));
                row.mode = mode.word();
                row.bytes = Some(snapshot.bytes);
                row.fill_bytes = Some(snapshot.fill_bytes);
                row.consumer_pos = Some(snapshot.consumer_pos);
                row.producer_pos = Some(snapshot.producer_pos);
            }
        }
        row
    }

    fn size(&self) -> String {
        match (self.bytes, self.slots) {
            (Some(bytes), _) => bytes.to_string(),
            (None, Some(slots)) => format!("{slots} slots"),
            (None, None) => String::new(),
        }
    }

    fn fill(&self) -> String {
        match (self.fill_bytes, self.bytes) {
            (Some(fill), Some(bytes)) => format!("{:.1} %", fill as f64 * 100.0 / bytes.max(1) as f64),
            _ if self.error.is_some() => "?".to_owned(),
            _ => "-".to_owned(),
        }
    }

    fn owners(&self) -> String {
        let Some(owners) = &self.owners else { return "unknown: some processes cannot be inspected".to_owned() };
        let owners: Vec<_> = owners.iter().map(|owner| format!("{} ({})", owner.comm, owner.pid)).collect();
        match (owners.is_empty(), self.programs.as_deref()) {
            (false, _) => listed(&owners),
            (true, None) => "no process; programs are unknown".to_owned(),
            (true, Some([_, ..])) => "no process, only programs".to_owned(),
            (true, Some([])) if self.pins.is_empty() => "none found".to_owned(),
            (true, Some([])) => "no process, only a pin".to_owned(),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let (bold, plain) = if terminal::is_colored() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text =
        format!("{bold}{:>6} {:<15} {:<9} {:>10} {:>7}  OWNERS{plain}\n", "ID", "NAME", "MODE", "BYTES", "FILL");
    for row in rows {
        let name = left(&terminal::one_line(&row.name), NAME);
        text.push_str(&format!(
            "{:>6} {name} {:<9} {:>10} {:>7}  {}\n",
            row.id,
            row.mode,
            row.size(),
            row.fill(),
            terminal::one_line(&row.owners())
        ));
        let programs: Vec<_> =
            row.programs.iter().flatten().map(|program| format!("{} ({})", program.name, program.id)).collect();
        for (what, all) in [("used by", programs), ("pinned at", row.pins.clone())] {
            if !all.is_empty() {
                text.push_str(&format!("{:>6} {what} {}\n", "", terminal::one_line(&listed(&all))));
            }
        }
        if let Some(error) = &row.error {
            text.push_str(&format!("{:>6} {}\n", "", terminal::one_line(error)));
        }
    }
    text
}
