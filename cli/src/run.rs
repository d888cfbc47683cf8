//! `cutaway run`: loads any object, attaches its programs, and prints the records that they send.
//!
//! ```text
//!     arguments.rs        the options, as clap reads them
//!     program_args.rs     those of the options that `cutaway cover` has too
//!     globals.rs          --set NAME=VALUE: text ──▶ the bytes of a global variable
//!     choices.rs          changes that the options make to the object before it is loaded
//!     effects.rs          options that would have no effect
//!     attach.rs           programs ──▶ links, by their sections' names and by the options
//!     skipped.rs          the programs that do not run, each with the reason
//!     record_type.rs      the type of a record: by --type, by the instructions, or by its length
//!     submit_sites.rs     sizes, flags and slots that the programs' instructions submit records with
//!     type_candidates.rs  the types that records can have, and the choice
//!     type_choice.rs      the chosen type, and how it is known
//!     buffers.rs          all rings and perf event arrays, polled together
//!     losses.rs           counted and uncounted losses, and other readers
//!     counted.rs          the losses of each buffer, as the programs count them and as the kernel reports them
//!     stream.rs           the loop that prints records until the run ends
//!     selection.rs        the records that --filter and --only-command select
//!     filter.rs           the expression of --filter
//!     command_tree.rs     the processes of --only-command
//!     timestamps.rs       the wall-clock time of records
//!     progress.rs         received records and their rate, if stdout is no terminal
//!     verifier_log.rs     the verifier's logs
//!     output.rs           record ──▶ line: table, JSON or hex
//!     recorded.rs         --record, and the replay of a recording
//!     maps.rs             the elements of maps
//!     unset.rs            the hint that a variable is not set, if no record arrived
//!     variables.rs        at the end: the values of variables
//!     prints.rs           texts that programs print
//!     tick.rs             a timer of the loop
//!     summary.rs          received and lost records
//! ```
//!
//! A program that cannot run here is skipped, and the others run. Without `--pins` no map is pinned, even if the object
//! pins it by name: a run to try an object must not consume another process's events.

mod arguments;
mod attach;
mod buffers;
mod choices;
mod command_tree;
mod counted;
mod effects;
mod filter;
mod globals;
mod losses;
mod maps;
mod output;
mod prints;
mod program_args;
mod progress;
mod record_type;
mod recorded;
mod selection;
mod skipped;
mod stream;
mod submit_sites;
mod summary;
mod tick;
mod timestamps;
mod type_candidates;
mod type_choice;
mod unset;
mod variables;
mod verifier_log;

use std::path::Path;

use cutaway::{
    FailedProgram, Loaded, LogLevel, MapSpec, MapType, Object, ReaderComparison,
    btf::{Btf, kernel},
    compare_readers, compare_readers_on_host,
};

pub(crate) use self::{
    arguments::{Arguments, Format},
    attach::{AttachArgs, Attached, all_except as attach_except},
    buffers::Buffers,
    choices::apply_unpinned,
    filter::Filter,
    globals::apply as set_globals,
    program_args::{ProgramArgs, TokenChoice},
    recorded::replay,
    skipped::Skipped,
};
// The search for the type of a record, which `cutaway peek` uses too.
use self::{
    buffers::Source,
    command_tree::CommandTree,
    maps::MapPrinter,
    prints::{Printing, Prints},
    selection::Selection,
    stream::{Extras, Stream},
    verifier_log::VerifierLog,
};
pub(crate) use self::{
    record_type::Records,
    submit_sites::{Code, SubmitSites},
    type_candidates::{Candidates, MapTypes},
    type_choice::{Basis, Choice},
};
use crate::{
    child::Process, diagnostics, error::CliError, object_arg::ReadObject, object_reader::Reader,
    recorder::NewRecording, signals,
};

/// Default size of each CPU's perf buffer in bytes.
pub(crate) const DEFAULT_BUFFER: u32 = 256 * 1024;

/// Runs the object until the command exits, a limit is reached, or a signal arrives.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let ReadObject { shown, bytes, mut object } = arguments.object.read(arguments.reader)?;
    if arguments.reader == Reader::AyaObj {
        warn_if_readers_differ(&shown, &bytes, arguments.program.btf.as_deref())?;
    }
    let new_recording = arguments.record.as_deref().map(|path| NewRecording::create(path, false)).transpose()?;
    let bytes = if new_recording.is_some() { bytes } else { Vec::new() };
    let section = object.btf();
    let own = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    choices::apply(&mut object, arguments)?;
    globals::apply(&mut object, &arguments.program.settings, own.as_ref())?;

    // Types are found before anything is loaded, so that a wrong name fails early.
    let names: Vec<String> = object.maps().iter().filter(|map| is_buffer(map)).map(|map| map.name.clone()).collect();
    let kernel =
        record_type::needs_kernel_btf(&arguments.types, own.as_ref()).then(|| kernel::Bytes::vmlinux().ok()).flatten();
    let kernel_bytes = kernel;
    let kernel = kernel_bytes.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let given = record_type::given(&arguments.types, &names, own.as_ref(), kernel.as_ref())?;
    let needs_candidates = names.iter().any(|name| !given.contains_key(name));
    let own_types = own.as_ref().filter(|_| needs_candidates);
    let candidates = own_types.map(|btf| Candidates::of(&object, btf)).unwrap_or_default();
    let (sites, printing) = (submit_sites::of(&object), Printing::of(&object));
    let specs = object.maps().to_vec();

    let process = arguments.program.pid.map(Process::open).transpose()?;
    let inputs: Vec<&Path> = arguments.object.path().into_iter().chain(arguments.record.as_deref()).collect();
    let log = arguments.verifier_log.as_ref().map(|path| VerifierLog::open(path, &inputs)).transpose()?;
    let (loaded, refused) = load(object, arguments, log)?;
    let mut buffers = Buffers::open(&loaded, arguments.buffer.unwrap_or(DEFAULT_BUFFER))?;
    let tree = arguments.only_command.then(CommandTree::start).transpose()?;
    let records = buffers.sources().iter().map(|source| {
        let given = given.get(&source.name).copied();
        Records::new(&source.name, source.is_padded(), given, &sites.submits, &candidates)
    });
    let records: Vec<_> = records.collect();
    let selection = Selection::new(arguments.filter.as_ref(), tree.as_ref(), &records)?;
    let prints = Prints::start(printing, &loaded);
    let stop = buffers.stopper();
    let by_signal = stop.clone();
    signals::on_stop(move || by_signal.stop()).map_err(|error| CliError::system("listen for signals", &error))?;
    let attached = attach_programs(&loaded, refused, arguments, &shown, &buffers)?;
    report_buffers(buffers.sources(), &records, &sites, arguments.quiet);
    warn_of_inner_buffers(&specs);
    attached.report(arguments.quiet);
    let maps = MapPrinter::new(&loaded, &specs, own.as_ref(), arguments.format, &arguments.maps);
    let maps = Some(&maps).filter(|_| !arguments.maps.is_empty());
    let recorder = new_recording.map(|new| {
        recorded::begin(new, &arguments.types, (&shown, &bytes), kernel_bytes.as_deref(), buffers.sources())
    });
    let extras = Extras { tree: tree.as_ref(), maps, prints, recorder: recorder.transpose()? };
    let mut stream = Stream::new(arguments, &records, selection, extras, stop);
    let outcome = stream.run(&mut buffers, attached, process);
    let outcome = outcome.and_then(|()| stream.print_state(&loaded, own.as_ref()));
    let lost = counted::losses(&loaded, &buffers, &specs, &sites)?;
    let summary = stream.summary(buffers.sources(), lost);
    let outcome = outcome.and_then(|()| stream.print_summary(&summary));
    let outcome = outcome.and(stream.finish_recording(summary.lost_records()));
    let (lines, line) = (summary.reasons(), summary.text());
    let is_line_needed = !arguments.quiet || !summary.is_lossless();
    let hint = if summary.has_received_nothing() { unset::hint(&loaded, &arguments.program.settings)? } else { None };
    let strict = if arguments.strict { summary.check_strictly() } else { Ok(()) };
    drop((stream, buffers));
    drop(loaded);
    lines.iter().chain(&hint).for_each(|line| diagnostics::say(line));
    if is_line_needed {
        diagnostics::say(&line);
    }
    outcome.and(strict)
}

/// Loads the programs that the kernel accepts, and writes the verifier's logs if they are requested.
fn load(
    object: Object,
    arguments: &Arguments,
    log: Option<VerifierLog>,
) -> Result<(Loaded, Vec<FailedProgram>), CliError> {
    let token = TokenChoice::of(&arguments.program)?;
    let mut options = token.load_options();
    if log.is_some() {
        options.verifier_log(LogLevel::Instructions);
    }
    let (loaded, refused) = object.load_partial_with(&options)?;
    if let Some(mut log) = log {
        log.write(&loaded, &refused)?;
    }
    Ok((loaded, refused))
}

/// Attaches the programs, and prints what does not run or is not read. An error if nothing runs, or with `--strict` if
/// anything is skipped.
fn attach_programs(
    loaded: &Loaded,
    refused: Vec<FailedProgram>,
    arguments: &Arguments,
    shown: &str,
    buffers: &Buffers,
) -> Result<Attached, CliError> {
    let mut attached = attach::all(loaded, &AttachArgs::of(&arguments.program));
    let mut skipped = Skipped::of(loaded, refused, &arguments.program.programs);
    skipped.add(std::mem::take(&mut attached.skipped));
    if !arguments.strict || attached.is_empty() {
        skipped.report(shown, attached.is_empty())?;
        return Ok(attached);
    }
    skipped.refuse(shown)?;
    match buffers.unread() {
        [] => Ok(attached),
        [name, ..] => {
            Err(CliError::new(format!("--strict: the ring `{name}` overwrites its oldest records and is not read")))
        }
    }
}

/// Warns of an object that aya-obj reads differently. Known faults of aya-obj are corrected; the programs are linked by
/// aya-obj.
fn warn_if_readers_differ(shown: &str, bytes: &[u8], btf: Option<&Path>) -> Result<(), CliError> {
    let comparison = match btf {
        Some(file) => {
            let file = choices::read_btf(file)?;
            // `--btf` reports a file without BTF.
            Btf::in_file(&file).ok().map(|kernel| compare_readers(bytes, kernel)).transpose()?
        }
        None => Some(compare_readers_on_host(bytes)?),
    };
    if let Some(ReaderComparison::Different { what }) = comparison {
        log::warn!("aya-obj reads `{shown}` differently: {what}");
    }
    Ok(())
}

/// Prints the types of each buffer's records, unless `quiet`, and the settings and programs that delay or lose records.
fn report_buffers(sources: &[Source], records: &[Records<'_>], sites: &SubmitSites, quiet: bool) {
    for (source, records) in sources.iter().zip(records) {
        let name = &source.name;
        let mut subject = format!("`{name}` ({})", source.kind());
        for sentence in records.sentences().into_iter().filter(|_| !quiet) {
            diagnostics::say(&format!("{subject}: {sentence}"));
            subject = format!("`{name}`");
        }
        if let Some(slots) = source.required_slots() {
            diagnostics::say(&format!("`{name}`: give each CPU a slot with --max-entries '{name}={slots}'"));
        }
        if let Some(no_wakeup) = sites.no_wakeup_on(name).filter(|_| source.is_ring()) {
            diagnostics::say(&format!("`{name}`: {no_wakeup}; the ring is polled at least every 100 ms"));
        }
        if let Some(slot) = sites.slot_on(name).filter(|_| !source.is_ring()) {
            diagnostics::say(&format!(
                "`{name}`: a program sends to slot {slot} from every CPU; on other CPUs the kernel refuses the record \
                 (EOPNOTSUPP) and does not count it; send with BPF_F_CURRENT_CPU"
            ));
        }
    }
}

/// Warns of maps of buffers that are empty in the object.
fn warn_of_inner_buffers(specs: &[MapSpec]) {
    for map in specs.iter().filter(|map| map.inner.as_deref().is_some_and(is_buffer) && map.initial_entries.is_empty())
    {
        diagnostics::say(&format!(
            "`{}`: user space must add the buffers to this map; this command adds none and reads none",
            map.name
        ));
    }
}

fn is_buffer(map: &MapSpec) -> bool {
    matches!(map.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY)
}
