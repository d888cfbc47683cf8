//! `cutaway run`: any object, running: loaded, attached, and its events as they come.
//!
//! ```text
//!     arguments.rs        the options, as clap reads them
//!     globals.rs          --set NAME=VALUE: text ──▶ the bytes of a global variable
//!     choices.rs          what the options change in the object before it is loaded
//!     effects.rs          options that would have no effect
//!     attach.rs           programs ──▶ links, by their sections' names and by the options
//!     skipped.rs          the programs that do not run, each with the reason
//!     record_type.rs      which type a record is: by the instructions, by its length, or by --type
//!     submit_sites.rs     what the programs' instructions say of the records that they send
//!     type_candidates.rs  which types there are to choose from, and the choice
//!     type_choice.rs      the type that was found, and how it is known
//!     buffers.rs          all rings and perf event arrays, in one wait
//!     losses.rs           what is known of losses and of other readers
//!     stream.rs           from the first record to the last
//!     output.rs           record ──▶ line: table, JSON or hex
//!     dump.rs             at the end: variables, and what the maps hold
//!     summary.rs          what has come and what was lost
//! ```
//!
//! One program that cannot run here does not keep the rest from running. Maps that an object wants to be pinned are
//! not, unless a directory is given: a run that only looks at an object must not consume another process's events.

mod arguments;
mod attach;
mod buffers;
mod choices;
mod dump;
mod effects;
mod globals;
mod losses;
mod output;
mod record_type;
mod skipped;
mod stream;
mod submit_sites;
mod summary;
mod type_candidates;
mod type_choice;

use cutaway::{
    MapSpec, MapType, ReaderComparison,
    btf::{Btf, kernel},
    compare_readers_on_host,
};

pub(crate) use self::arguments::Arguments;
use self::{
    arguments::Form,
    attach::AttachArgs,
    buffers::{Buffers, Source},
    losses::Losses,
    record_type::Records,
    skipped::Skipped,
    stream::Stream,
    submit_sites::SubmitSites,
    type_candidates::Candidates,
};
use crate::{child::Process, diagnostics, error::CliError, object_arg::ReadObject, object_reader::Reader, signals};

/// Bytes of each CPU's perf buffer unless told otherwise.
const DEFAULT_BUFFER: u32 = 256 * 1024;

/// Runs until the command ends, a limit is reached, or a signal comes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let ReadObject { shown, bytes, mut object } = arguments.object.read(arguments.reader)?;
    if arguments.reader == Reader::AyaObj {
        warn_of_difference(&shown, &bytes)?;
    }
    drop(bytes);
    let section = object.btf();
    let own = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    choices::make(&mut object, arguments)?;
    globals::apply(&mut object, &arguments.settings, own.as_ref())?;

    // Types are found before anything is loaded: a name that is mistaken costs nothing then.
    let names: Vec<String> = object.maps().iter().filter(|map| is_buffer(map)).map(|map| map.name.clone()).collect();
    let kernel =
        record_type::asks_the_kernel(&arguments.types, own.as_ref()).then(|| kernel::Bytes::vmlinux().ok()).flatten();
    let kernel = kernel.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let told = record_type::told(&arguments.types, &names, own.as_ref(), kernel.as_ref())?;
    let guessed = names.iter().any(|name| !told.contains_key(name));
    let own_types = own.as_ref().filter(|_| guessed);
    let candidates = own_types.map(|btf| Candidates::of(&object, btf)).unwrap_or_default();
    let sends = submit_sites::of(&object);
    let specs = object.maps().to_vec();

    let process = arguments.pid.map(Process::open).transpose()?;
    let (loaded, refused) = object.load_partial()?;
    let mut buffers = Buffers::open(&loaded, arguments.buffer.unwrap_or(DEFAULT_BUFFER))?;
    let stop = buffers.stopper();
    let by_signal = stop.clone();
    signals::on_stop(move || by_signal.stop()).map_err(|error| CliError::system("listen for signals", &error))?;
    let mut attached = attach::all(&loaded, &AttachArgs::of(arguments));
    let mut skipped = Skipped::of(&loaded, refused, &arguments.programs);
    skipped.add(std::mem::take(&mut attached.skipped));
    skipped.tell(&shown, attached.is_empty())?;

    let records = buffers.sources().iter().map(|source| {
        let told = told.get(&source.name).copied();
        Records::new(&source.name, source.is_padded(), told, &sends.sent, &candidates)
    });
    let records: Vec<_> = records.collect();
    describe(buffers.sources(), &records, &sends);
    warn_of_inner_buffers(&specs);
    attached.tell();
    let mut stream = Stream::new(arguments, &records, stop);
    let outcome = stream.whole(&mut buffers, attached, process);
    let outcome = outcome.and_then(|()| stream.state(&loaded, &specs, own.as_ref()));
    let lost = losses(&buffers, &sends)?;
    let summary = stream.summary(buffers.sources(), &lost);
    let outcome = outcome.and_then(|()| stream.sum_up(&summary));
    let (line, without_room) = (summary.text(), summary.without_room());
    drop((buffers, loaded));
    if without_room > 0 {
        diagnostics::say(&format!(
            "{without_room} lost for want of room in a perf buffer: make it larger with --buffer"
        ));
    }
    diagnostics::say(&line);
    outcome
}

/// Warns of an object that aya-obj reads differently. What aya-obj gets wrong is corrected as far as it is known, and
/// linking is aya-obj's.
fn warn_of_difference(shown: &str, bytes: &[u8]) -> Result<(), CliError> {
    if let ReaderComparison::Different { what } = compare_readers_on_host(bytes)? {
        log::warn!("aya-obj reads `{shown}` differently: {what}");
    }
    Ok(())
}

/// Says how the records of each buffer are read, and which settings and programs make that late or incomplete.
fn describe(sources: &[Source], records: &[Records<'_>], sends: &SubmitSites) {
    for (source, records) in sources.iter().zip(records) {
        let mut of = format!("`{}` ({})", source.name, source.kind());
        for sentence in records.sentences() {
            diagnostics::say(&format!("{of}: {sentence}"));
            of = format!("`{}`", source.name);
        }
        if let Some(slots) = source.wants_slots() {
            let name = &source.name;
            diagnostics::say(&format!("`{name}`: --max-entries '{name}={slots}' gives each CPU a slot"));
        }
        if let Some(quiet) = sends.quiet_on(&source.name).filter(|_| source.is_ring()) {
            diagnostics::say(&format!("`{}`: {quiet}: it is looked at every 100 ms at the latest", source.name));
        }
        if let Some(slot) = sends.slot_on(&source.name).filter(|_| !source.is_ring()) {
            diagnostics::say(&format!(
                "`{}`: a program sends into slot {slot}, whatever CPU it runs on: on other CPUs that is refused \
                 (EOPNOTSUPP), and not counted; send with BPF_F_CURRENT_CPU",
                source.name
            ));
        }
    }
}

/// Warns of maps that hold buffers which the object does not put there.
fn warn_of_inner_buffers(specs: &[MapSpec]) {
    for map in specs.iter().filter(|map| map.inner.as_deref().is_some_and(is_buffer) && map.initial_entries.is_empty())
    {
        diagnostics::say(&format!(
            "`{}`: the buffers that it will hold are put into it by user space: this command puts none, and reads none",
            map.name
        ));
    }
}

/// Returns the lost records of each buffer; their number is in doubt where the kernel refuses records uncounted.
fn losses(buffers: &Buffers, sends: &SubmitSites) -> Result<Vec<Losses>, CliError> {
    let mut lost = buffers.lost()?;
    for (source, lost) in buffers.sources().iter().zip(&mut lost) {
        if sends.slot_on(&source.name).is_some() {
            *lost = lost.in_doubt("what a program sends into the slot of another CPU is refused, and not counted");
        }
    }
    Ok(lost)
}

fn is_buffer(map: &MapSpec) -> bool {
    matches!(map.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY)
}
