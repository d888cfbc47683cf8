//! A recording of a trace: its begin, its records, and its replay.
//!
//! A recording has each event as the program sent it, with the library and cgroup of the call. So a replay formats
//! events as the trace does, by other options if they are given.

use std::{collections::HashMap, io};

use cutaway_programs::getaddrinfo::{DecodedEvent, Filter, Transport};
use cutaway_recording::{Buffer, Entry, Kind, Record};
use log::warn;

use super::{
    args::SummaryArg,
    origin::{Origin, container},
    output::Output,
    summary::{OfRecording, write_failed},
};
use crate::{
    args::Format,
    error::CliError,
    moment::Moment,
    recorder::{NewRecording, Recorder},
    replay::{Definitions, Recording, ReplayArguments, Show, safe, say_other_format},
};

/// The names of facts.
const TRANSPORT: &str = "transport";
const EVENT_BYTES: &str = "event-bytes";
const BYTE_ORDER: &str = "byte-order";

/// Origins that are kept, at most.
const MOST_ORIGINS: usize = 4096;

/// The recording of a trace.
#[derive(Debug)]
pub(super) struct TraceRecorder {
    recorder: Recorder,
    /// The numbers of the origins that have been recorded.
    origins: HashMap<Origin, u32>,
}

impl TraceRecorder {
    /// Begins the recording. `bytes` is the size of the ring, or of each CPU's perf buffer.
    pub(super) fn begin(new: NewRecording, transport: Transport, bytes: u64) -> Result<Self, CliError> {
        let mut facts = vec![
            (TRANSPORT, transport.name().to_owned()),
            (EVENT_BYTES, transport.event_size().to_string()),
            (BYTE_ORDER, own_byte_order().to_owned()),
        ];
        facts.extend(Definitions::count(0, 1));
        let mut recorder = new.begin("trace", facts)?;
        let kind = if transport == Transport::Ring { Kind::Ring } else { Kind::Perf };
        recorder.add(&Entry::Buffer(Buffer { index: 0, name: "events".into(), kind, bytes, notes: "".into() }))?;
        recorder.pass_on()?;
        Ok(Self { recorder, origins: HashMap::new() })
    }

    /// Records by which clock the times of the events that follow are converted.
    pub(super) fn clock(&mut self, moment: Moment) -> Result<(), CliError> {
        self.recorder.clock(moment)
    }

    /// Records an event.
    pub(super) fn event(&mut self, bytes: &[u8], origin: &Origin) -> Result<(), CliError> {
        let label = match self.origins.get(origin) {
            Some(label) => *label,
            None => {
                if self.origins.len() >= MOST_ORIGINS {
                    // Numbers that are used again replace their labels.
                    self.origins.clear();
                }
                let index = self.origins.len() as u32;
                // The container is a part of the cgroup's path.
                let texts = [&origin.library, &origin.cgroup].map(|text| text.as_deref().map(Into::into)).into();
                self.recorder.add(&Entry::Label { index, texts })?;
                self.origins.insert(origin.clone(), index);
                index
            }
        };
        self.recorder.add(&Entry::Record(Record { buffer: 0, cpu: None, time_ns: None, label: Some(label), bytes }))
    }

    /// Records lines that are no events.
    pub(super) fn lines(&mut self, text: &str, format: Format) -> Result<(), CliError> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        self.recorder.lines("summary", &lines, format == Format::Json)?;
        self.recorder.pass_on()
    }

    /// Passes the entries so far to the thread that writes them.
    pub(super) fn pass_on(&mut self) -> Result<(), CliError> {
        self.recorder.pass_on()
    }

    /// Ends the recording.
    pub(super) fn finish(mut self, received: u64, lost: u64, quiet: bool) -> Result<(), CliError> {
        self.recorder.clock(Moment::now())?;
        self.recorder.finish(received, Some(lost), quiet)
    }
}

/// Prints the events of a recording.
pub(crate) fn replay(mut recording: Recording, arguments: &ReplayArguments) -> Result<(), CliError> {
    recording.definitions()?;
    let transport: Transport = recording
        .fact(TRANSPORT)
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| recording.failure("its transport is unknown to this version of cutaway"))?;
    if recording.fact(EVENT_BYTES) != Some(&transport.event_size().to_string()) {
        let program = &recording.start().program;
        return Err(recording.failure(&format!("its events have the layout of {program}; replay it with that version")));
    }
    if recording.fact(BYTE_ORDER) != Some(own_byte_order()) {
        let machine = &recording.start().machine;
        return Err(
            recording.failure(&format!("its events have the byte order of {machine}; replay it on such a machine"))
        );
    }
    let began = recording.start().monotonic_ns;
    let mut replay = Replay {
        transport,
        output: Output::new(arguments.format(), arguments.containers, arguments.wide),
        filter: filter(arguments),
        pids: &arguments.pid,
        origins: HashMap::new(),
        lines: arguments.summary != Some(SummaryArg::Only),
        summary: arguments.summary.map(|_| OfRecording::new(began)),
        printed: 0,
        lost: None,
        time_ns: began,
        most: arguments.count.unwrap_or(u64::MAX),
        other_format: 0,
    };
    let shown = recording.each(arguments.speed, &mut replay);
    let ended = replay.end();
    say_other_format(replay.other_format, replay.output.format() == Format::Json);
    shown.and(ended)?;
    recording.say_end(replay.printed);
    Ok(())
}

fn own_byte_order() -> &'static str {
    if cfg!(target_endian = "little") { "little" } else { "big" }
}

/// Returns the filter of the arguments: the one that the programs of a trace would have.
fn filter(arguments: &ReplayArguments) -> Filter {
    let min_latency = arguments.min_latency.unwrap_or_default().as_nanos();
    Filter {
        uids: arguments.uid.clone(),
        comms: arguments.comm.iter().map(|name| Filter::comm(name.as_bytes())).collect(),
        failures: arguments.errors,
        min_latency_ns: u64::try_from(min_latency).unwrap_or(u64::MAX),
        host: arguments.host.clone(),
    }
}

/// The state of a replay.
struct Replay<'a> {
    transport: Transport,
    output: Output,
    filter: Filter,
    pids: &'a [u32],
    /// The libraries and cgroups by number.
    origins: HashMap<u32, Origin>,
    /// Whether each event has a line.
    lines: bool,
    summary: Option<OfRecording>,
    printed: u64,
    lost: Option<u64>,
    /// The time of the last entry.
    time_ns: u64,
    /// The number of events after which the replay ends.
    most: u64,
    /// Lines in another format than that of the replay.
    other_format: u64,
}

impl Show for Replay<'_> {
    fn show(&mut self, entry: Entry<'_>) -> Result<bool, CliError> {
        match &entry {
            Entry::Clock { monotonic_ns, wall_ns } => {
                self.time_ns = *monotonic_ns;
                self.output.flush_at(Moment { monotonic_ns: *monotonic_ns, wall_ns: *wall_ns })
            }
            Entry::Label { index, texts } => {
                let text = |index: usize| texts.get(index).and_then(Option::as_deref).map(str::to_owned);
                let (library, cgroup) = (text(0), text(1));
                let container = cgroup.as_deref().and_then(container);
                self.origins.insert(*index, Origin { library, cgroup, container });
                Ok(())
            }
            Entry::Record(record) => self.record(record),
            Entry::Lines { json, text, .. } if self.summary.is_none() => {
                let is_json = self.output.format() == Format::Json;
                let (lines, others) = if is_json { (json, text) } else { (text, json) };
                self.other_format += if lines.is_empty() { others.len() as u64 } else { 0 };
                let text: String = lines.iter().map(|line| safe(line) + "\n").collect();
                if text.is_empty() { Ok(()) } else { self.output.lines(&text) }
            }
            Entry::End { lost, .. } => {
                self.lost = *lost;
                Ok(())
            }
            _ => Ok(()),
        }
        .map_err(|error| write_failed(&error))?;
        Ok(self.printed < self.most)
    }

    fn flush(&mut self) -> Result<(), CliError> {
        // The clock stays that of the recording.
        self.output.flush_at(self.output.moment()).map_err(|error| write_failed(&error))
    }
}

impl Replay<'_> {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let event = match self.transport.read(record.bytes) {
            Ok(event) => event,
            Err(error) => {
                warn!("{error}");
                return Ok(());
            }
        };
        if !self.admits(&event) {
            return Ok(());
        }
        self.printed += 1;
        self.summary.iter_mut().for_each(|summary| summary.add(&event));
        if !self.lines {
            return Ok(());
        }
        let origin = record.label.and_then(|label| self.origins.get(&label)).cloned().unwrap_or_default();
        self.output.event(&event, self.transport, origin)
    }

    fn admits(&self, event: &DecodedEvent<'_>) -> bool {
        (self.pids.is_empty() || self.pids.contains(&event.call.pid)) && self.filter.admits(event)
    }

    /// Prints the summary, and what is left in memory.
    fn end(&mut self) -> Result<(), CliError> {
        if let Some(summary) = &self.summary {
            let time = (self.time_ns, self.output.utc(self.time_ns));
            let text = summary.text(self.lost, self.output.format(), time)?;
            self.output.lines(&text).map_err(|error| write_failed(&error))?;
        }
        self.output.flush().map_err(|error| write_failed(&error))
    }
}
