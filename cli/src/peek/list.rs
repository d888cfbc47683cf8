//! Lists the rings and perf event arrays of the machine, or those of processes with certain names.

use cutaway::{
    Map,
    system::{self, FdOwner, OpenFds, Pin, ProgramEntry},
};
use log::info;
use serde::Serialize;

use super::{
    args::Arguments,
    choose::is_buffer,
    gauge::{self, Fill, Gauge},
    names::NAME,
    perf,
    programs::programs,
    ring::{self, Mode, Snapshot},
};
use crate::{
    args::Format,
    columns::left,
    diagnostics::say,
    error::{CliError, listed},
    pattern::Pattern,
    terminal,
};

/// A row of the list.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) mode: &'static str,
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
    /// Why its pages cannot be mapped, or why they contradict each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The fill of its buffers: of a ring, or of the perf buffers of its owners if they were read.
    #[serde(skip)]
    gauges: Vec<Gauge>,
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
    #[serde(rename = "type")]
    program_type: String,
}

/// The processes, pins and programs that use buffers, from which the rows are made, and the wanted names.
pub(super) struct List {
    holders: OpenFds,
    pins: Vec<Pin>,
    programs: Option<Vec<ProgramEntry>>,
    /// Names of processes; empty for the buffers of all processes.
    comms: Vec<Pattern>,
}

impl List {
    /// Finds the users of buffers once, for all rows. Without the privileges to inspect programs or processes, the
    /// buffers are listed all the same.
    pub(super) fn new(comms: &[Pattern]) -> Result<Self, CliError> {
        Ok(Self { holders: system::open_fds()?, pins: system::pins()?, programs: programs()?, comms: comms.to_vec() })
    }

    /// Returns a row for each ring and perf event array that exists now. Perf buffers are read only if `with_perf`:
    /// each of their events has to be borrowed from its process.
    pub(super) fn rows(&self, with_perf: bool) -> Result<Vec<Row>, CliError> {
        let mut rows = Vec::new();
        for map in system::maps() {
            let map = map?;
            if is_buffer(&map) && self.is_wanted(map.id()) {
                rows.push(Row::new(&map, self, with_perf));
            }
        }
        Ok(rows)
    }

    /// Returns whether a process with one of the wanted names holds the map.
    fn is_wanted(&self, map: u32) -> bool {
        self.comms.is_empty()
            || self.holders_of(map).any(|holder| self.comms.iter().any(|comm| comm.matches(&holder.comm)))
    }

    /// Returns the fds of the map, without those of this process.
    fn holders_of(&self, map: u32) -> impl Iterator<Item = &FdOwner> {
        self.holders.of_map(map).filter(|holder| holder.pid != std::process::id())
    }

    /// Returns the number of processes that cannot be inspected.
    pub(super) fn hidden(&self) -> u32 {
        self.holders.hidden
    }

    /// Returns the sentence that says that there is no row.
    pub(super) fn nothing(&self) -> &'static str {
        if self.comms.is_empty() {
            "no ring buffer on this machine; `cutaway trace` creates one"
        } else {
            "no process with this name holds a ring or perf event array; `cutaway peek` lists all"
        }
    }
}

/// Lists the buffers once.
pub(super) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let list = List::new(&arguments.comm)?;
    let rows = list.rows(arguments.fail_above.is_some())?;
    if list.hidden() > 0 {
        let hidden = list.hidden();
        if arguments.comm.is_empty() {
            info!("{hidden} processes could not be inspected: their rings may seem to have no owner");
        } else {
            say(&format!("{hidden} processes could not be inspected: their buffers are not listed (CAP_SYS_PTRACE)"));
        }
    }
    // A list of no wanted process is an error, so that a misspelled name does not pass `--fail-above`.
    if rows.is_empty() && !arguments.comm.is_empty() {
        return Err(CliError::new(list.nothing()));
    }
    let mut text = String::new();
    match arguments.format {
        Format::Json => {
            for row in &rows {
                text.push_str(&terminal::json(row)?);
                text.push('\n');
            }
        }
        Format::Table if rows.is_empty() => say(list.nothing()),
        Format::Table => text = table(&rows),
    }
    terminal::print(&text)?;
    let mut gauges: Vec<Gauge> = Vec::new();
    for gauge in rows.into_iter().flat_map(|row| row.gauges) {
        // A process may hold several perf event arrays.
        if !gauges.iter().any(|known| known.what == gauge.what) {
            gauges.push(gauge);
        }
    }
    gauge::check(arguments.fail_above, &gauges)
}

impl Row {
    fn new(map: &Map, list: &List, with_perf: bool) -> Self {
        let mut owners: Vec<Owner> = Vec::new();
        for holder in list.holders_of(map.id()) {
            match owners.last_mut().filter(|owner| owner.pid == holder.pid) {
                Some(owner) => owner.fds.push(holder.fd),
                None => owners.push(Owner { pid: holder.pid, comm: holder.comm.clone(), fds: vec![holder.fd] }),
            }
        }
        let users = list.programs.as_ref().map(|programs| {
            let users = programs.iter().filter(|program| program.maps.contains(&map.id()));
            let user = |program: &ProgramEntry| Program {
                id: program.id,
                name: program.name.clone(),
                program_type: program.program_type.to_string(),
            };
            users.map(user).collect()
        });
        let here = list.pins.iter().filter(|pin| pin.map == map.id());
        let mut row = Self {
            id: map.id(),
            name: map.name().to_owned(),
            mode: "perf",
            bytes: None,
            slots: None,
            fill_bytes: None,
            consumer_pos: None,
            producer_pos: None,
            owners: (!owners.is_empty() || list.holders.hidden == 0).then_some(owners),
            programs: users,
            pins: here.map(|pin| pin.path.to_string_lossy().into_owned()).collect(),
            error: None,
            gauges: Vec::new(),
        };
        match (Mode::of(map), map.peek()) {
            (None, _) => {
                row.slots = Some(map.max_entries());
                if with_perf {
                    row.gauges = row.perf_gauges(&list.holders);
                }
            }
            (Some(mode), Err(error)) => {
                row.mode = mode.name();
                row.bytes = Some(map.max_entries().into());
                let what = format!("{} {} `{}`", mode.word(), row.id, terminal::one_line(&row.name));
                row.gauges.push(Gauge::unknown(what, &error.to_string()));
                row.error = Some(error.to_string());
            }
            (Some(mode), Ok(pages)) => {
                let snapshot = Snapshot::positions(&pages, (row.id, &row.name, mode));
                row.mode = mode.name();
                row.bytes = Some(snapshot.bytes);
                row.consumer_pos = Some(snapshot.consumer_pos);
                row.producer_pos = Some(snapshot.producer_pos);
                let gauge = ring::gauge(&snapshot);
                match &gauge.fill {
                    Fill::Unknown(why) => row.error = Some(why.clone()),
                    Fill::Bytes(..) | Fill::Overwritten(..) => row.fill_bytes = Some(snapshot.fill_bytes),
                }
                row.gauges.push(gauge);
            }
        }
        row
    }

    /// Reads the perf buffers of the processes that hold the array: an event does not say in which array it is.
    fn perf_gauges(&self, holders: &OpenFds) -> Vec<Gauge> {
        let what = || format!("perf event array {} `{}`", self.id, terminal::one_line(&self.name));
        match self.owners.as_deref() {
            None => vec![Gauge::unknown(what(), "some processes cannot be inspected")],
            Some([]) => vec![Gauge::unknown(what(), "no process holds it")],
            Some(owners) => {
                let pids: Vec<u32> = owners.iter().map(|owner| owner.pid).collect();
                perf::gauges(&pids, holders)
            }
        }
    }

    /// Returns the fill of its fullest buffer in percent; `None` if one is unknown or there is none.
    pub(super) fn percent(&self) -> Option<f64> {
        let percents: Option<Vec<f64>> = self.gauges.iter().map(|gauge| gauge.fill.percent()).collect();
        percents?.into_iter().max_by(f64::total_cmp)
    }

    /// Returns the bytes that were written to its buffers since they were created; `None` if that is unknown.
    pub(super) fn written(&self) -> Option<u64> {
        let written: Option<Vec<u64>> = self.gauges.iter().map(|gauge| gauge.written).collect();
        written.filter(|written| !written.is_empty()).map(|written| written.into_iter().fold(0, u64::wrapping_add))
    }

    pub(super) fn size(&self) -> String {
        match (self.bytes, self.slots) {
            (Some(bytes), _) => bytes.to_string(),
            (None, Some(slots)) => format!("{slots} slots"),
            (None, None) => String::new(),
        }
    }

    fn fill(&self) -> String {
        match (self.fill_bytes, self.bytes) {
            (Some(fill), Some(bytes)) => format!("{:.1} %", fill as f64 * 100.0 / bytes.max(1) as f64),
            _ => self.no_fill().to_owned(),
        }
    }

    /// Returns what stands for a fill that is not known, or that does not exist.
    pub(super) fn no_fill(&self) -> &'static str {
        if self.gauges.iter().any(|gauge| matches!(gauge.fill, Fill::Unknown(_))) { "?" } else { "-" }
    }

    pub(super) fn owners(&self) -> String {
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
