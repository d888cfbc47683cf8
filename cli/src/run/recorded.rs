//! A recording of a run: its begin, and its replay.
//!
//! A recording has the object, from which the types of records are found again, and each record as it was received. So
//! a replay formats records as the run does, by other options if they are given.

use std::{borrow::Cow, io};

use cutaway::{Object, btf::Btf};
use cutaway_recording::{Buffer, Entry, Kind};

use super::{
    Format,
    buffers::{Record, Source},
    output::Output,
    record_type::{self, Records},
    selection::Selection,
    submit_sites,
    type_candidates::Candidates,
};
use crate::{
    diagnostics,
    error::CliError,
    moment::Moment,
    recorder::{NewRecording, Recorder},
    replay::{Definitions, Recording, ReplayArguments, Show, safe, say_other_format},
};

/// The names of blobs and facts.
const OBJECT: &str = "object";
const KERNEL_BTF: &str = "kernel-btf";
const TYPES: &str = "types";

/// Begins the recording of a run.
pub(super) fn begin(
    new: NewRecording,
    types: &[String],
    (shown, object): (&str, &[u8]),
    kernel_btf: Option<&[u8]>,
    sources: &[Source],
) -> Result<Recorder, CliError> {
    let types = serde_json::to_string(types).unwrap_or_default();
    let mut facts = vec![(OBJECT, shown.to_owned()), (TYPES, types)];
    facts.extend(Definitions::count(1 + usize::from(kernel_btf.is_some()), sources.len()));
    let mut recorder = new.begin("run", facts)?;
    recorder.add(&Entry::Blob { name: OBJECT.into(), bytes: object })?;
    if let Some(bytes) = kernel_btf {
        recorder.add(&Entry::Blob { name: KERNEL_BTF.into(), bytes })?;
    }
    for (index, source) in sources.iter().enumerate() {
        recorder.add(&Entry::Buffer(Buffer {
            index: index as u32,
            name: source.name.as_str().into(),
            kind: if source.is_ring() { Kind::Ring } else { Kind::Perf },
            bytes: source.bytes(),
            notes: Cow::Borrowed(""),
        }))?;
    }
    recorder.pass_on()?;
    Ok(recorder)
}

/// Prints the records of a recording.
pub(crate) fn replay(recording: Recording, arguments: &ReplayArguments) -> Result<(), CliError> {
    let mut recording = recording;
    let definitions = recording.definitions()?;
    let object = definitions.blob(OBJECT).ok_or_else(|| recording.lacks("the object"))?;
    let object = Object::parse(object).map_err(|error| recording.failure(&error.to_string()))?;
    let section = object.btf();
    let own = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let kernel = definitions.blob(KERNEL_BTF).and_then(|bytes| Btf::parse(bytes).ok());
    let names: Vec<String> = definitions.buffers.iter().map(|buffer| buffer.name.to_string()).collect();
    let recorded: Vec<String> =
        recording.fact(TYPES).and_then(|types| serde_json::from_str(types).ok()).unwrap_or_default();
    // A ring that was not read has no records.
    let is_read = |option: &String| option.split_once('=').is_none_or(|(map, _)| names.iter().any(|name| name == map));
    let recorded: Vec<String> = recorded.into_iter().filter(is_read).collect();
    let types = if arguments.types.is_empty() { &recorded } else { &arguments.types };
    let given = record_type::given(types, &names, own.as_ref(), kernel.as_ref())?;
    let candidates = own.as_ref().map(|btf| Candidates::of(&object, btf)).unwrap_or_default();
    let sites = submit_sites::of(&object);
    let records = definitions.buffers.iter().map(|buffer| {
        let given = given.get(&*buffer.name).copied();
        Records::new(&buffer.name, buffer.kind == Kind::Perf, given, &sites.submits, &candidates)
    });
    let records: Vec<_> = records.collect();
    let mut replay = Replay {
        format: arguments.format,
        output: Output::new(arguments.format, arguments.timestamps, &records),
        selection: Selection::new(arguments.filter.as_ref(), None, &records)?,
        records: &records,
        printed: 0,
        most: arguments.count.unwrap_or(u64::MAX),
        other_format: 0,
    };
    let printed = recording.each(arguments.speed, &mut replay);
    let flushed = replay.flush();
    replay.selection.sentence().iter().for_each(|sentence| diagnostics::say(sentence));
    say_other_format(replay.other_format, replay.format == Format::Json);
    printed?;
    flushed?;
    recording.say_end(replay.printed);
    Ok(())
}

/// The state of a replay.
struct Replay<'b> {
    format: Format,
    output: Output<'b>,
    selection: Selection<'b>,
    /// The types of the records of each buffer.
    records: &'b [Records<'b>],
    printed: u64,
    /// The number of records after which the replay ends.
    most: u64,
    /// Lines in another format than that of the replay.
    other_format: u64,
}

impl Show for Replay<'_> {
    fn show(&mut self, entry: Entry<'_>) -> Result<bool, CliError> {
        let written = match &entry {
            Entry::Clock { monotonic_ns, wall_ns } => {
                // The records before were received together.
                let flushed = self.output.flush();
                self.output.receive(Moment { monotonic_ns: *monotonic_ns, wall_ns: *wall_ns });
                flushed
            }
            Entry::Record(record) => self.record(record)?,
            Entry::Lines { json, text, .. } => {
                let (lines, others) = if self.format == Format::Json { (json, text) } else { (text, json) };
                self.other_format += if lines.is_empty() { others.len() as u64 } else { 0 };
                lines.iter().try_for_each(|line| self.output.line(&safe(line)))
            }
            _ => Ok(()),
        };
        written.map_err(|error| write_failed(&error))?;
        Ok(self.printed < self.most)
    }

    fn flush(&mut self) -> Result<(), CliError> {
        self.output.flush().map_err(|error| write_failed(&error))
    }
}

fn write_failed(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::broken_pipe(),
        _ => CliError::system("write to stdout", error),
    }
}

impl Replay<'_> {
    fn record(&mut self, record: &cutaway_recording::Record<'_>) -> Result<io::Result<()>, CliError> {
        let source = record.buffer as usize;
        let Some(records) = self.records.get(source) else { return Ok(Ok(())) };
        if !self.selection.admits(record.bytes, records)? {
            return Ok(Ok(()));
        }
        self.printed += 1;
        let record = Record { source, cpu: record.cpu, time_ns: record.time_ns, bytes: record.bytes };
        Ok(self.output.record(&record, records))
    }
}
