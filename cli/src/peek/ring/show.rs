//! A snapshot of a ring, as text for people or JSON for programs.

use std::fmt::Write as _;

use cutaway::system::{FdOwner, ProgramEntry};
use serde::Serialize;
use serde_json::Value;

use super::{
    super::{
        gauge::Gauge,
        line::{bar, doubts, process_state},
        payload,
    },
    mapped::Ring,
    snapshot::{Mode, Snapshot, State, UnreadRecord},
};
use crate::{
    args::Format,
    error::{CliError, listed},
    terminal,
};

/// Columns of the bar that shows how full a ring is.
const BAR: usize = 40;

/// Takes a snapshot, prints it, and returns it.
pub(crate) fn once(ring: &Ring, format: Format) -> Result<Snapshot, CliError> {
    let mut snapshot = ring.full_snapshot();
    snapshot.lost = ring.counters()?.read();
    let about = About::of(ring)?;
    terminal::print(&match format {
        Format::Json => json_about(&snapshot, Some(&about))?,
        Format::Table => {
            let colored = terminal::is_colored();
            let mut text = title(&snapshot, colored) + &about.lines() + &numbers(&snapshot);
            text += &records(&snapshot, |_, payload| ring.payload(payload), ring.is_decoded(), colored);
            text
        }
    })?;
    Ok(snapshot)
}

/// Formats a snapshot from a file.
pub(crate) fn table(snapshot: &Snapshot, colored: bool) -> String {
    let decoded = snapshot.records.iter().any(|record| record.decoded.value.is_some());
    // A file has decoded values, but no types.
    let payload = |record: &UnreadRecord, bytes: &[u8]| record.decoded.text().unwrap_or_else(|| payload::text(bytes));
    title(snapshot, colored) + &numbers(snapshot) + &records(snapshot, payload, decoded, colored)
}

/// Formats a snapshot as a line of JSON.
pub(crate) fn json(snapshot: &Snapshot) -> Result<String, CliError> {
    json_about(snapshot, None)
}

/// The processes and programs that use a ring.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    /// `None` if unknown.
    owners: Option<Vec<Owner>>,
    /// `None` if unknown.
    programs: Option<Vec<Program>>,
}

#[derive(Debug, Serialize)]
struct Owner {
    pid: u32,
    comm: String,
    fds: Vec<u32>,
    /// From `/proc/PID/status`: `sleeping`, `stopped`, …
    state: String,
}

#[derive(Debug, Serialize)]
struct Program {
    id: u32,
    name: String,
    #[serde(rename = "type")]
    program_type: String,
}

impl About {
    pub(crate) fn of(ring: &Ring) -> Result<Self, CliError> {
        let owners = |holders: Vec<FdOwner>| {
            let mut owners: Vec<Owner> = Vec::new();
            for FdOwner { pid, comm, fd, .. } in holders {
                match owners.last_mut().filter(|owner| owner.pid == pid) {
                    Some(owner) => owner.fds.push(fd),
                    None => owners.push(Owner { pid, comm, fds: vec![fd], state: process_state(pid) }),
                }
            }
            owners
        };
        let program = |program: ProgramEntry| Program {
            id: program.id,
            name: program.name,
            program_type: program.program_type.to_string(),
        };
        Ok(Self {
            owners: ring.owners()?.map(owners),
            programs: ring.programs()?.map(|programs| programs.into_iter().map(program).collect()),
        })
    }

    /// Formats the processes on one line.
    pub(crate) fn owners(&self) -> String {
        let each = |owner: &Owner| {
            let one = |fd: &u32| format!("{} ({}, fd {fd}, {})", owner.comm, owner.pid, owner.state);
            owner.fds.iter().map(one).collect::<Vec<_>>()
        };
        match self.owners.as_deref() {
            None => "unknown: some processes cannot be inspected (CAP_SYS_PTRACE)".to_owned(),
            Some([]) => "no process".to_owned(),
            Some(owners) => terminal::one_line(&listed(&owners.iter().flat_map(each).collect::<Vec<_>>())),
        }
    }

    /// Formats the programs on one line.
    pub(crate) fn programs(&self) -> String {
        let one = |program: &Program| format!("{} ({}, {})", program.name, program.id, program.program_type);
        match self.programs.as_deref() {
            None => "unknown: programs cannot be inspected (CAP_SYS_ADMIN)".to_owned(),
            Some([]) => "no program".to_owned(),
            Some(programs) => terminal::one_line(&listed(&programs.iter().map(one).collect::<Vec<_>>())),
        }
    }

    fn lines(&self) -> String {
        format!("  held by        {}\n  used by        {}\n", self.owners(), self.programs())
    }
}

fn json_about(snapshot: &Snapshot, about: Option<&About>) -> Result<String, CliError> {
    let failed = |error| CliError::new(format!("cannot write JSON: {error}"));
    let mut value = serde_json::to_value(snapshot).map_err(failed)?;
    if let (Some(about), Value::Object(fields)) = (about, &mut value)
        && let Value::Object(more) = serde_json::to_value(about).map_err(failed)?
    {
        fields.extend(more);
    }
    Ok(terminal::json(&value)? + "\n")
}

fn title(snapshot: &Snapshot, colored: bool) -> String {
    let (bold, plain) = if colored { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let name = terminal::one_line(&snapshot.name);
    format!("{bold}{} {} `{name}`{plain}, {} bytes\n", snapshot.mode.word(), snapshot.id, snapshot.bytes)
}

/// Formats positions, fill, counts, and whether the next record wakes the reader.
fn numbers(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut position = |name: &str, position: u64, word: &str| {
        let (offset, width) = (snapshot.offset(position), digits(snapshot));
        let _ = writeln!(text, "  {name:<14} {position:>width$} at offset {offset:#x}{word}");
    };
    position("consumer_pos", snapshot.consumer_pos, "");
    if snapshot.mode == Mode::Overwrite {
        position("overwrite_pos", snapshot.overwrite_pos, "");
    }
    if snapshot.mode != Mode::User {
        position("pending_pos", snapshot.pending_pos, ", set by the last reserve");
    }
    position("producer_pos", snapshot.producer_pos, "");
    let _ = writeln!(text, "  fill           {}", fill(snapshot, BAR));
    let _ = writeln!(text, "  waiting        {}", counts(snapshot));
    if let Some(lost) = lost(snapshot, "") {
        let _ = writeln!(text, "  lost           {lost}");
    }
    for line in snapshot.lost.lines() {
        let _ = writeln!(text, "{:17}{line}", "");
    }
    if let Some(wakeup) = wakeup(snapshot) {
        let _ = writeln!(text, "  wake-up        {wakeup}");
    }
    text += &doubts(snapshot.released_meanwhile, snapshot.corrupt.as_deref());
    text
}

/// Returns how full a ring is.
pub(crate) fn gauge(snapshot: &Snapshot) -> Gauge {
    let what = format!("{} {} `{}`", snapshot.mode.word(), snapshot.id, terminal::one_line(&snapshot.name));
    let overwrites = snapshot.mode == Mode::Overwrite;
    Gauge::new(what, (snapshot.fill_bytes, snapshot.bytes), snapshot.producer_pos, overwrites)
}

/// Formats how full a ring is: a bar, percent, bytes.
pub(crate) fn fill(snapshot: &Snapshot, width: usize) -> String {
    bar(snapshot.fill_bytes, snapshot.bytes, width)
}

/// Counts unread records by their state.
pub(crate) fn counts(snapshot: &Snapshot) -> String {
    let all = snapshot.waiting();
    format!(
        "{all} record{}: {} committed, {} busy, {} discarded",
        if all == 1 { "" } else { "s" },
        snapshot.committed,
        snapshot.busy,
        snapshot.discarded
    )
}

/// Formats the number of lost records, followed by its rate. `None` for a user ring: only the process that writes to it
/// sees that it is full.
pub(crate) fn lost(snapshot: &Snapshot, rate: &str) -> Option<String> {
    // The reason may come from a file, or have a program's name.
    (snapshot.mode != Mode::User).then(|| terminal::one_line(&snapshot.lost.text(rate)))
}

/// Returns the text that says whether the next commit wakes the reader. That depends on the consumer position
/// (`bpf_ringbuf_commit` in `kernel/bpf/ringbuf.c`).
pub(crate) fn wakeup(snapshot: &Snapshot) -> Option<&'static str> {
    match (snapshot.mode, snapshot.records.first().map(|record| record.state)) {
        (Mode::User, _) => None,
        (_, None) if snapshot.fill_bytes == 0 => {
            Some("the reader has caught up: the next record wakes it, unless sent with BPF_RB_NO_WAKEUP")
        }
        (_, Some(State::Busy)) => {
            Some("the oldest record is busy: committing it wakes the reader, committing later ones does not")
        }
        _ => Some("the reader is behind: a record wakes it only if sent with BPF_RB_FORCE_WAKEUP"),
    }
}

fn records(
    snapshot: &Snapshot,
    payload: impl Fn(&UnreadRecord, &[u8]) -> String,
    decoded: bool,
    colored: bool,
) -> String {
    let shown =
        snapshot.records.iter().take_while(|record| record.payload.is_some() || record.state != State::Committed);
    let shown: Vec<_> = shown.take(snapshot.records.len()).collect();
    if shown.is_empty() {
        return String::new();
    }
    let (bold, plain) = if colored { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let last = if decoded { "VALUE" } else { "PAYLOAD" };
    let mut text = format!("\n{bold}{}  {last}{plain}\n", head(snapshot));
    for record in &shown {
        let line = format!("{}  {}", row(snapshot, record), content(record, &payload));
        // Lines are cut to the width of a terminal, but not in a file.
        let _ = writeln!(text, "{}", terminal::fit(&line));
    }
    let all = snapshot.waiting();
    let left = all - shown.len() as u64;
    if left > 0 {
        let _ = writeln!(text, "{:>width$} {left} more; --records {all} lists them all", "…", width = digits(snapshot));
    }
    text
}

/// Returns the width of a position in columns.
fn digits(snapshot: &Snapshot) -> usize {
    snapshot.producer_pos.to_string().len().max("POSITION".len())
}

/// Formats the heading above [`row`]s.
pub(crate) fn head(snapshot: &Snapshot) -> String {
    format!("{:>width$} {:>10} {:>7}  {:<9}", "POSITION", "OFFSET", "LENGTH", "STATE", width = digits(snapshot))
}

/// Formats a record without its payload.
pub(crate) fn row(snapshot: &Snapshot, record: &UnreadRecord) -> String {
    let (word, width) = (record.state.word(), digits(snapshot));
    format!("{:>width$} {:>#10x} {:>7}  {word:<9}", record.position, record.offset, record.length)
}

/// Says why the payload of a record was not requested, or why the record has none.
pub(crate) fn not_copied(record: &UnreadRecord) -> String {
    match record.state {
        State::Committed => "(not copied)".to_owned(),
        State::Busy | State::Discarded => content(record, |_, _| String::new()),
    }
}

/// Formats the payload of a record on one line, or says why there is none.
pub(crate) fn content(record: &UnreadRecord, payload: impl Fn(&UnreadRecord, &[u8]) -> String) -> String {
    match (&record.payload, record.state) {
        (Some(bytes), _) => terminal::one_line(&payload(record, bytes)),
        (None, State::Busy) => "(being written)".to_owned(),
        (None, State::Discarded) => "(discarded)".to_owned(),
        (None, State::Committed) => "(released meanwhile)".to_owned(),
    }
}
