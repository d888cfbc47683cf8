//! The perf buffers of other processes.
//!
//! A `PERF_EVENT_ARRAY` does not tell which events are in it, and an event does not tell which array it is in: so it is by
//! process that they are found. Each of its perf events that runs no program is borrowed, and those that have a ring are
//! looked at. Events that write into the ring of another one are told by the memory that they share.

use std::{
    fmt::Write as _,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use cutaway::{
    census::{self, Held, Holder},
    perf_reader::{Look, Peek, Waiting},
};
use serde::Serialize;

use super::{Arguments, show, types::Types, watch};
use crate::{Format, decode, diagnostics, failure::Failure, terminal};

/// Columns of the bar that shows how full a ring is.
const BAR: usize = 40;

/// `PERF_RECORD_SAMPLE` and `PERF_RECORD_LOST`.
const SAMPLE: u32 = 9;
const LOST: u32 = 2;

/// A ring of a process, opened.
struct Buffer {
    holder: Holder,
    peek: Peek,
    /// Descriptors whose events write into it as well.
    others: Vec<u32>,
    /// What tells one ring from another.
    identity: Option<u64>,
}

/// Looks at the perf buffers of these processes: once, or again and again.
pub(crate) fn run(pids: &[u32], arguments: &Arguments) -> Result<(), Failure> {
    if arguments.draw.is_some() {
        return Err(Failure::new("cannot draw perf buffers: only rings can be drawn").advise("leave --draw away"));
    }
    let types = match &arguments.decode_as {
        Some(name) => Some(Types::find(name, arguments.btf.as_deref(), None)?),
        None => None,
    };
    let buffers = open(pids)?;
    let stopped = watch::stopped()?;
    let (begun, mut looks) = (Instant::now(), 0_u64);
    loop {
        let text: Result<Vec<_>, _> =
            buffers.iter().map(|buffer| buffer.show(arguments, types.as_ref(), begun.elapsed())).collect();
        terminal::print(&text?.concat())?;
        looks += 1;
        if !arguments.watch || arguments.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        let next = Instant::now() + arguments.interval;
        while Instant::now() < next {
            // ATOMICS: see `watch::stopped`.
            if stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20).min(next.saturating_duration_since(Instant::now())));
        }
    }
}

/// Borrows what these processes have.
fn open(pids: &[u32]) -> Result<Vec<Buffer>, Failure> {
    let holders = census::holders()?;
    let events: Vec<_> = holders
        .found
        .into_iter()
        .filter(|holder| pids.contains(&holder.pid) && holder.held == Held::PerfEvent)
        .collect();
    let who = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    if events.is_empty() {
        return Err(Failure::new(format!("process {who} has no perf event that can be seen"))
            .advise("is it the right one, and are you root?"));
    }
    let (mut buffers, mut refused): (Vec<Buffer>, Vec<String>) = (Vec::new(), Vec::new());
    for holder in events {
        if holder.runs_a_program() == Some(true) {
            continue;
        }
        match Peek::of_process(holder.pid, holder.fd) {
            Ok(None) => {}
            Ok(Some(peek)) => {
                let identity = peek.ring_identity();
                match buffers.iter_mut().find(|buffer| identity.is_some() && buffer.identity == identity) {
                    Some(buffer) => buffer.others.push(holder.fd),
                    None => buffers.push(Buffer { holder, peek, others: Vec::new(), identity }),
                }
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    if buffers.is_empty() {
        let why = refused.first().map_or("none of its perf events has a ring", String::as_str);
        return Err(Failure::new(format!("cannot look at the perf buffers of process {who}: {why}"))
            .advise("it takes Linux 5.6 and the right to trace the process"));
    }
    for why in refused {
        diagnostics::say(&format!("cutaway: one buffer is missing: {why}"));
    }
    Ok(buffers)
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    time_ns: u64,
    pid: u32,
    comm: &'a str,
    fd: u32,
    /// Events that write into the same ring.
    shared_by_fds: &'a [u32],
    bytes: u64,
    data_head: u64,
    data_tail: u64,
    fill_bytes: u64,
    backward: bool,
    /// What the kernel counted, if its owner had it count.
    lost: Option<u64>,
    released_meanwhile: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrupt: Option<String>,
    records: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    position: u64,
    offset: u64,
    /// With its header.
    bytes: u64,
    kind: String,
    wraps: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_time_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    /// Of a sample that holds raw data alone, that, with up to 7 bytes of padding; of anything else all that follows the header.
    payload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<serde_json::Value>,
}

impl Buffer {
    fn show(&self, arguments: &Arguments, types: Option<&Types>, since: Duration) -> Result<String, Failure> {
        let look = self.peek.look();
        // An event whose owner has closed it can still be asked.
        let lost = self.peek.lost().ok().flatten();
        if arguments.format == Format::Json {
            let line = self.line(&look, lost, arguments.records, types);
            let line =
                serde_json::to_string(&line).map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
            return Ok(line + "\n");
        }
        let mut text = String::new();
        if arguments.watch {
            let _ = write!(text, "{:.2} s: ", since.as_secs_f64());
        }
        let comm = terminal::clean(&self.holder.comm).replace('\n', "\\n");
        let _ =
            writeln!(text, "perf buffer of {comm} ({}), fd {}, {} bytes", self.holder.pid, self.holder.fd, look.size);
        if !self.others.is_empty() {
            let fds: Vec<_> = self.others.iter().map(u32::to_string).collect();
            let _ = writeln!(text, "  written, too   by the event of fd {}", fds.join(", "));
        }
        let width = look.head.to_string().len().max(8);
        for (name, position) in [("data_tail", look.tail), ("data_head", look.head)] {
            let offset = position & look.size.wrapping_sub(1);
            let _ = writeln!(text, "  {name:<14} {position:>width$} at offset {offset:#x}");
        }
        numbers(&mut text, &look, lost);
        self.records(&mut text, &look, arguments.records, types, width);
        Ok(text + "\n")
    }

    fn records(&self, text: &mut String, look: &Look, most: usize, types: Option<&Types>, width: usize) {
        if look.records.is_empty() {
            return;
        }
        let last = if types.is_some() { "VALUE" } else { "PAYLOAD, with its padding" };
        let _ = writeln!(text, "\n{:>width$} {:>10} {:>7}  {:<10}  {last}", "POSITION", "OFFSET", "BYTES", "KIND");
        for record in look.records.iter().take(most) {
            let offset = record.position & look.size.wrapping_sub(1);
            let wraps = if record.wraps { "wraps; " } else { "" };
            let content = match (record.lost(), record.raw()) {
                (Some(lost), _) => format!("{lost} lost here"),
                (None, Some((time, raw))) => {
                    let time = time.map_or_else(String::new, |time| format!("at {time} ns: "));
                    let raw = types.map_or_else(|| show::bytes(raw), |types| types.padded(raw));
                    format!("{time}{raw}")
                }
                (None, None) => show::bytes(&record.body),
            };
            let line = format!(
                "{:>width$} {offset:>#10x} {:>7}  {:<10}  {wraps}{content}",
                record.position,
                record.space(),
                kind(record.kind)
            );
            let _ = writeln!(text, "{}", terminal::fit(&line));
        }
        let left = look.records.len().saturating_sub(most);
        if left > 0 {
            let _ = writeln!(text, "{:>width$} {left} more; --records {} lists them all", "…", look.records.len());
        }
    }

    fn line<'a>(&'a self, look: &Look, lost: Option<u64>, most: usize, types: Option<&Types>) -> Line<'a> {
        let row = |record: &Waiting| {
            let raw = record.raw();
            let payload = raw.map_or(record.body.as_slice(), |(_, raw)| raw);
            Row {
                position: record.position,
                offset: record.position & look.size.wrapping_sub(1),
                bytes: record.space(),
                kind: kind(record.kind),
                wraps: record.wraps,
                record_time_ns: raw.and_then(|(time, _)| time),
                lost: record.lost(),
                payload: decode::hex(payload),
                value: raw.and_then(|(_, raw)| Some(types?.json(raw))),
            }
        };
        Line {
            time_ns: crate::monotonic_ns(),
            pid: self.holder.pid,
            comm: &self.holder.comm,
            fd: self.holder.fd,
            shared_by_fds: &self.others,
            bytes: look.size,
            data_head: look.head,
            data_tail: look.tail,
            fill_bytes: look.fill(),
            backward: look.backward,
            lost,
            released_meanwhile: look.released_meanwhile,
            corrupt: look.corrupt.map(|corrupt| corrupt.to_string()),
            records: look.records.iter().take(most).map(row).collect(),
        }
    }
}

/// Fill, counts and losses.
fn numbers(text: &mut String, look: &Look, lost: Option<u64>) {
    let _ = writeln!(text, "  fill           {}", show::bar(look.fill(), look.size, BAR));
    if look.backward {
        let _ = writeln!(
            text,
            "  waiting        nothing: it is overwritten downward, and read when its owner has paused it"
        );
    } else {
        let count = |kind| look.records.iter().filter(|record| record.kind == kind).count();
        let (samples, notices) = (count(SAMPLE), count(LOST));
        let others = look.records.len() - samples - notices;
        let wrapped = look.records.iter().filter(|record| record.wraps).count();
        let _ = writeln!(
            text,
            "  waiting        {samples} samples, {notices} notices of losses, {others} other records; {wrapped} of them wrap"
        );
    }
    let announced: u64 = look.records.iter().filter_map(Waiting::lost).sum();
    let lost = match lost {
        Some(lost) => format!("{lost}, as the kernel counts (PERF_FORMAT_LOST)"),
        None => format!("{announced} announced by what waits; its owner has the kernel count no more than that"),
    };
    let _ = writeln!(text, "  lost           {lost}");
    if look.released_meanwhile > 0 {
        let _ = writeln!(
            text,
            "  moving         {} bytes were released while they were looked at",
            look.released_meanwhile
        );
    }
    if let Some(corrupt) = look.corrupt {
        let _ = writeln!(text, "  corrupt        {corrupt}");
    }
}

fn kind(kind: u32) -> String {
    match kind {
        SAMPLE => "sample".to_owned(),
        LOST => "lost".to_owned(),
        kind => format!("type {kind}"),
    }
}
