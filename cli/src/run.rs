//! `cutaway run`: any object, running: loaded, attached, and its events as they come.
//!
//! ```text
//!     settings.rs   --set NAME=VALUE: text ──▶ the bytes of a global variable
//!     attach.rs     programs ──▶ links, by their sections' names and by the options
//!     sends.rs      what the programs' instructions say of the records that they send
//!     types.rs      which type a record is: by that, by its length, or by --type
//!     candidates.rs which types there are to choose from
//!     buffers.rs    all rings and perf event arrays, in one wait
//!     losses.rs     what is known of losses and of other readers
//!     stream.rs     from the first record to the last
//!     output.rs     record ──▶ line: table, JSON or hex
//!     state.rs      at the end: variables, and what the maps hold
//!     summary.rs    what has come and what was lost
//!     choices.rs    what the options change in the object before it is loaded
//!     effects.rs    options that would have no effect
//!     skipped.rs    the programs that do not run, each with the reason
//! ```
//!
//! One program that cannot run here does not keep the rest from running. Maps that an object wants to be pinned are not, unless
//! a folder is given: whoever runs an object to look at it must not read another process's events away.

mod attach;
mod buffers;
mod candidates;
mod choices;
mod effects;
mod losses;
mod mapped;
mod output;
mod record_type;
mod sends;
mod settings;
mod skipped;
mod state;
mod stream;
mod summary;
mod types;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use cutaway::{
    MapSpec, MapType,
    btf::{Btf, kernel},
};

use self::{
    attach::Places, buffers::Buffers, candidates::Candidates, skipped::Skipped, stream::Stream, types::Records,
};
use crate::{command::Process, diagnostics, failure::Failure, given::Given, signals};

/// Bytes of each CPU's perf buffer unless told otherwise.
const DEFAULT_BUFFER: u32 = 256 * 1024;

const EXAMPLES: &str = "\
Examples:
  cutaway run program.o                              whatever it sends, until Ctrl-C
  cutaway run program.o --type events=event -- ls    the records of the map `events` are `event`; ends with the command
  cutaway run program.o --set 'limit=10' --duration 5 --variables --maps
  cutaway run program.o --interface lo --count 3 --format json

  Without an object at hand, one of those that cutaway itself loads, as root:
  cutaway run --built-in ring -- getent ahosts localhost";

/// The arguments of `cutaway run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    given: Given,

    /// Runs this program alone (may be given more than once), even if its section begins with `?`
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,

    /// Where to attach a program: what would stand behind the slash of its section's name, an interface, or a path
    ///
    /// For uprobes TARGET is LIBRARY:SYMBOL, LIBRARY:SYMBOL+OFFSET, LIBRARY:ADDRESS (hexadecimal, as nm prints it), or
    /// LIBRARY:SYMBOL@ADDRESS for one of several functions of the same name; for USDT probes LIBRARY:PROVIDER:NAME. LIBRARY
    /// is a path, which is given to the kernel as it is, or a name, which is looked up as the dynamic loader would, with
    /// --pid as that process sees it. A text with several colons is split behind the longest file that is there, so symbols
    /// may have colons.
    #[arg(long = "attach", value_name = "NAME=TARGET", value_parser = pair)]
    places: Vec<String>,

    /// Take a function for a program of this section
    ///
    /// In the words of SEC("…"), e.g. tracepoint/syscalls/sys_enter_openat: for a function whose own section's name
    /// says nothing.
    #[arg(long = "section", value_name = "NAME=SECTION", value_parser = pair)]
    sections: Vec<String>,

    /// The network device for programs on XDP and traffic control
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    /// The folder of the cgroup for programs on cgroups
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,

    /// How often programs on perf events run, on the clock of each CPU; 99 times a second unless told
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..))]
    frequency: Option<u64>,

    /// Attach uprobes, USDT probes and perf events to this process alone, and end when it does
    ///
    /// Iterators over tasks show this process alone (Linux 6.1). The kernel attaches programs of other kinds to all
    /// processes: those are named, and if there are no others, it is an error.
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: Option<u32>,

    /// Gives a global variable a value before the object is loaded: 42, 0xff, text, true, an enumerator, 1,2,3, hex:0a0b
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<String>,

    /// Reads the records of a map, or of all, as this type: a structure, union, typedef, enumeration or integer
    #[arg(long = "type", value_name = "[MAP=]TYPE")]
    types: Vec<String>,

    /// Size of each ring and of each CPU's perf buffer, in bytes
    ///
    /// Rounded up to a power of two of pages. Without it a ring has the size that the object gives it, and a perf
    /// buffer has 262144 bytes for each CPU.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    buffer: Option<u32>,

    /// Set how many elements a map has
    ///
    /// Needed where the object has 0, for user space to set. In bytes for a ring.
    #[arg(long = "max-entries", value_name = "MAP=N", value_parser = entries)]
    max_entries: Vec<String>,

    /// Pins and shares the maps that the object wants pinned in this folder of a BPF file system; without it none is pinned
    #[arg(long, value_name = "FOLDER")]
    pins: Option<PathBuf>,

    /// Ends after so many records; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Ends after so many seconds, fractions allowed; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "SECS", value_parser = crate::seconds)]
    duration: Option<Duration>,

    /// Prints the global variables at the end
    #[arg(long)]
    variables: bool,

    /// Prints what hashes and arrays hold at the end
    #[arg(long)]
    maps: bool,

    /// Print received and lost records of each map at the end
    ///
    /// On stdout. Losses that are not counted are unknown, in JSON null.
    #[arg(long)]
    summary: bool,

    /// How records are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Form,

    /// Runs this command once all is attached, and ends when it does; its output goes to stderr
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// One JSON object a line
    Json,
    /// The bytes of each record, whatever they mean
    Hex,
}

/// `NAME=VALUE`
fn pair(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

/// `MAP=N`
fn entries(text: &str) -> Result<String, String> {
    let number = text.split_once('=').filter(|(name, _)| !name.is_empty()).map(|(_, number)| number);
    match number.ok_or("it has the form MAP=N")?.parse() {
        Ok(1..=u32::MAX) => Ok(text.to_owned()),
        Ok(0) | Err(_) => Err(format!("N is a number from 1 to {}", u32::MAX)),
    }
}

/// Runs until the command ends, a limit is reached, or a signal comes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (shown, mut object) = arguments.given.read()?;
    let section = object.btf();
    let own = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    choices::make(&mut object, arguments)?;
    settings::apply(&mut object, &arguments.settings, own.as_ref())?;

    // Types are found before anything is loaded: a name that is mistaken costs nothing then.
    let names: Vec<String> = object.maps().iter().filter(|map| is_buffer(map)).map(|map| map.name.clone()).collect();
    let kernel =
        types::asks_the_kernel(&arguments.types, own.as_ref()).then(|| kernel::Bytes::vmlinux().ok()).flatten();
    let kernel = kernel.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let told = types::told(&arguments.types, &names, own.as_ref(), kernel.as_ref())?;
    let guessed = names.iter().any(|name| !told.contains_key(name));
    let own_types = own.as_ref().filter(|_| guessed);
    let candidates = own_types.map(|btf| Candidates::of(&object, btf)).unwrap_or_default();
    let sends = sends::of(&object);
    let specs = object.maps().to_vec();

    let process = arguments.pid.map(Process::open).transpose()?;
    let (loaded, refused) = object.load_what_runs()?;
    let mut buffers = Buffers::open(&loaded, arguments.buffer.unwrap_or(DEFAULT_BUFFER))?;
    let stop = buffers.stop();
    let by_signal = stop.clone();
    signals::on_stop(move || by_signal.stop()).map_err(|error| Failure::system("listen for signals", &error))?;
    let mut attached = attach::all(&loaded, &places(arguments));
    let mut skipped = Skipped::of(&loaded, refused, &arguments.programs);
    skipped.add(std::mem::take(&mut attached.aside));
    skipped.tell(&shown, attached.is_empty())?;

    let records = buffers.sources().iter().map(|source| {
        let told = told.get(&source.name).copied();
        Records::new(&source.name, source.is_padded(), told, &sends.sent, &candidates)
    });
    let records: Vec<_> = records.collect();
    for (source, records) in buffers.sources().iter().zip(&records) {
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
    for map in specs.iter().filter(|map| map.inner.as_deref().is_some_and(is_buffer) && map.values.is_empty()) {
        diagnostics::say(&format!(
            "`{}`: the buffers that it will hold are put into it by user space: this command puts none, and reads none",
            map.name
        ));
    }
    attached.tell();
    let mut stream = Stream::new(arguments, &records, stop);
    let outcome = stream.whole(&mut buffers, attached, process);
    let outcome = outcome.and_then(|()| stream.state(&loaded, &specs, own.as_ref()));
    let mut lost = buffers.lost()?;
    for (source, lost) in buffers.sources().iter().zip(&mut lost) {
        if sends.slot_on(&source.name).is_some() {
            *lost = lost.in_doubt("what a program sends into the slot of another CPU is refused, and not counted");
        }
    }
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

fn is_buffer(map: &MapSpec) -> bool {
    matches!(map.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY)
}

fn places(arguments: &Arguments) -> Places {
    let each = arguments.places.iter().filter_map(|place| place.split_once('='));
    Places {
        interface: arguments.interface.clone(),
        cgroup: arguments.cgroup.clone(),
        frequency: arguments.frequency,
        pid: arguments.pid,
        each: each.map(|(name, target)| (name.to_owned(), target.to_owned())).collect::<BTreeMap<_, _>>(),
    }
}
