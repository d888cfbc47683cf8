//! `cutaway run`: any object, running: loaded, attached, and its events as they come.
//!
//! ```text
//!     settings.rs   --set NAME=VALUE: text ──▶ the bytes of a global variable
//!     attach.rs     programs ──▶ links, by their sections' names and by the options
//!     sends.rs      what the programs' instructions say of the records that they send
//!     types.rs      which type a record is: by that, by its length, or by --type
//!     buffers.rs    all rings and perf event arrays, in one wait
//!     output.rs     record ──▶ line: table, JSON or hex
//!     state.rs      at the end: variables, and what the maps hold
//! ```
//!
//! One program that cannot run here does not keep the rest from running. Maps that an object wants to be pinned are not, unless
//! a folder is given: whoever runs an object to look at it must not read another process's events away.

mod attach;
mod buffers;
mod output;
mod sends;
mod settings;
mod state;
mod types;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use cutaway::{
    Loaded, MapSpec, MapType, Object, Pinning, Refused,
    btf::{Btf, kernel},
};

use self::{
    attach::{Attached, Places},
    buffers::{Buffers, Stop},
    output::Output,
    types::{Candidates, Records},
};
use crate::{
    command::{Process, Traced},
    diagnostics,
    failure::Failure,
    given::Given,
    signals, terminal,
};

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
    #[arg(long = "attach", value_name = "NAME=TARGET", value_parser = pair)]
    places: Vec<String>,

    /// The network device for programs on XDP and traffic control
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    /// The folder of the cgroup for programs on cgroups
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,

    /// How often programs on perf events run, on the clock of each CPU; 99 times a second unless told
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..))]
    frequency: Option<u64>,

    /// Attaches uprobes, USDT probes and perf events to this process alone, and ends when it does
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: Option<u32>,

    /// Gives a global variable a value before the object is loaded: 42, 0xff, text, true, an enumerator, 1,2,3, hex:0a0b
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    settings: Vec<String>,

    /// Reads the records of a map, or of all, as this type: a structure, union, typedef, enumeration or integer
    #[arg(long = "type", value_name = "[MAP=]TYPE")]
    types: Vec<String>,

    /// Bytes of each ring, and of each CPU's perf buffer (262144 unless told); rounded up to a power of two of pages
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    buffer: Option<u32>,

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

/// Runs until the command ends, a limit is reached, or a signal comes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (shown, mut object) = arguments.given.read()?;
    let section = object.btf();
    let own = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    choose(&mut object, arguments)?;
    settings::apply(&mut object, &arguments.settings, own.as_ref())?;

    // Types are found before anything is loaded: a name that is mistaken costs nothing then.
    let names: Vec<String> = object.maps().iter().filter(|map| is_buffer(map)).map(|map| map.name.clone()).collect();
    let kernel =
        types::asks_the_kernel(&arguments.types, own.as_ref()).then(|| kernel::Bytes::vmlinux().ok()).flatten();
    let kernel = kernel.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    let told = types::told(&arguments.types, &names, own.as_ref(), kernel.as_ref())?;
    let candidates = own.as_ref().map(|btf| Candidates::of(&object, btf)).unwrap_or_default();
    let sent = sends::of(&object);
    let specs = object.maps().to_vec();

    let process = arguments.pid.map(Process::open).transpose()?;
    let (loaded, refused) = object.load_what_runs()?;
    let mut buffers = Buffers::open(&loaded, arguments.buffer.unwrap_or(DEFAULT_BUFFER))?;
    let stop = buffers.stop();
    let by_signal = stop.clone();
    signals::on_stop(move || by_signal.stop()).map_err(|error| Failure::system("listen for signals", &error))?;
    let mut attached = attach::all(&loaded, &places(arguments));
    set_aside(&shown, &mut attached, refused)?;

    let records = buffers.sources().iter().map(|source| {
        let told = told.get(&source.name).copied();
        (Records::new(&source.name, source.is_padded(), told, &sent, &candidates), source.is_padded())
    });
    let records: Vec<_> = records.collect();
    for (source, (records, _)) in buffers.sources().iter().zip(&records) {
        diagnostics::say(&format!("`{}` ({}): {}", source.name, source.kind(), records.sentence()));
    }
    attached.tell();
    let mut stream = Stream {
        output: Output::new(arguments.format, &records),
        form: arguments.format,
        records: &records,
        received: 0,
        unreadable: 0,
        most: arguments.count,
        stop: stop.clone(),
        closed: false,
    };
    let outcome = stream.whole(&mut buffers, attached, process, arguments);
    let outcome = outcome.and_then(|()| stream.state(&loaded, &specs, own.as_ref(), arguments));
    let lost = buffers.lost()? + stream.unreadable;
    let received = stream.received;
    drop((buffers, loaded));
    if lost > stream.unreadable {
        diagnostics::say(&format!(
            "{} lost for want of room in a perf buffer: make it larger with --buffer",
            lost - stream.unreadable
        ));
    }
    diagnostics::say(&format!("received {received}, lost {lost}"));
    outcome
}

fn is_buffer(map: &MapSpec) -> bool {
    matches!(map.map_type, MapType::RINGBUF | MapType::PERF_EVENT_ARRAY)
}

/// Which programs, how large the buffers, where pins go.
fn choose(object: &mut Object, arguments: &Arguments) -> Result<(), Failure> {
    let all: Vec<String> = object.programs().iter().map(|program| program.name.clone()).collect();
    for name in &arguments.programs {
        object.program_mut(name)?.section.wanted = true;
    }
    for name in all.iter().filter(|name| !arguments.programs.is_empty() && !arguments.programs.contains(name)) {
        object.program_mut(name)?.section.wanted = false;
    }
    for place in &arguments.places {
        let (name, target) = place.split_once('=').unwrap_or((place, ""));
        let program = object.program_mut(name)?;
        if !attach::takes_a_place(program.section.program_type) {
            program.aim(target)?;
        }
    }
    let names: Vec<String> = object.maps().iter().map(|map| map.name.clone()).collect();
    for name in names {
        let map = object.map_mut(&name)?;
        if arguments.pins.is_none() {
            map.pinning = Pinning::None;
        }
        if let (Some(bytes), MapType::RINGBUF) = (arguments.buffer, map.map_type) {
            map.max_entries = bytes;
        }
    }
    if let Some(folder) = &arguments.pins {
        object.set_pins(folder);
    }
    Ok(())
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

/// Says which programs do not run, each with the reason; it is a failure if none does.
fn set_aside(shown: &str, attached: &mut Attached, refused: Vec<Refused>) -> Result<(), Failure> {
    let refused = refused.into_iter().map(|refused| (refused.name, refused.why));
    let none = attached.waiting.is_empty() && attached.iterators.is_empty() && attached.ran.is_empty();
    let mut details = None;
    for (name, why) in refused {
        details = details.or_else(|| why.verifier_log().map(str::to_owned));
        attached.aside.push((name, why.to_string()));
    }
    if !none {
        for (name, why) in &attached.aside {
            diagnostics::say(&format!("cutaway: `{name}` is set aside: {why}"));
        }
        return Ok(());
    }
    Err(match attached.aside.as_slice() {
        [] => Failure::new(format!("`{shown}` has no program to run"))
            .advise("one whose section begins with `?` is run if it is named: --program NAME"),
        [(name, why)] => Failure::new(format!("the only program of `{shown}`, `{name}`, does not run here: {why}")),
        [(name, why), rest @ ..] => {
            let others: Vec<_> = rest.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
            Failure::new(format!("no program of `{shown}` runs here; `{name}`: {why}; {}", others.join("; ")))
        }
    }
    .with_details(details))
}

/// What has been seen so far, and where to stop.
struct Stream<'a, 'b> {
    output: Output<'b>,
    form: Form,
    records: &'a [(Records<'b>, bool)],
    received: u64,
    /// Records that came and could not be read.
    unreadable: u64,
    most: Option<u64>,
    stop: Stop,
    /// Nobody reads stdout any more.
    closed: bool,
}

impl Stream<'_, '_> {
    /// From the first record to the last: what is attached is detached when it is time to end, and what was sent until then is
    /// printed.
    fn whole(
        &mut self,
        buffers: &mut Buffers,
        attached: Attached,
        process: Option<Process>,
        arguments: &Arguments,
    ) -> Result<(), Failure> {
        let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
        let stop = self.stop.clone();
        let command = match (arguments.command.split_first(), process) {
            (Some((program, rest)), _) => Some(Traced::start(program, rest, Stdio::inherit(), move || stop.stop())?),
            (None, Some(process)) => {
                process.at_end(move || stop.stop())?;
                None
            }
            (None, None) => None,
        };
        let outcome = self.iterate(&attached).and_then(|()| {
            // Programs that have run, and iterators that were read, are done; there is nothing to wait for.
            let idle =
                attached.waiting.is_empty() && command.is_none() && arguments.pid.is_none() && deadline.is_none();
            if idle { Ok(()) } else { self.follow(buffers, deadline) }
        });
        let command = command.map(Traced::end).transpose();
        drop(attached);
        let outcome = outcome.and_then(|()| self.drain(buffers));
        command?;
        outcome
    }

    /// Reads every iterator once: what its program writes is text, or bytes that only it knows.
    fn iterate(&mut self, attached: &Attached) -> Result<(), Failure> {
        for (name, link) in &attached.iterators {
            let mut written = Vec::new();
            link.read_iterator()?
                .read_to_end(&mut written)
                .map_err(|error| Failure::system(&format!("read the iterator `{name}`"), &error))?;
            let text = String::from_utf8_lossy(&written).into_owned();
            for line in text.lines() {
                let line = match self.form {
                    Form::Json => serde_json::json!({ "iterator": name, "line": line }).to_string(),
                    Form::Table | Form::Hex => terminal::clean(line).into_owned(),
                };
                let answer = self.output.line(&line);
                self.heard(answer)?;
            }
        }
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// Prints records as they come, until it is time to end.
    fn follow(&mut self, buffers: &mut Buffers, deadline: Option<Instant>) -> Result<(), Failure> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if self.full() || self.stop.is_stopped() || left == Some(Duration::ZERO) {
                return Ok(());
            }
            buffers.wait(left)?;
            self.drain(buffers)?;
        }
    }

    /// Prints what is there now.
    fn drain(&mut self, buffers: &mut Buffers) -> Result<(), Failure> {
        if self.full() {
            return Ok(());
        }
        let names: Vec<String> = buffers.sources().iter().map(|source| source.name.clone()).collect();
        let mut failed = Ok(());
        let unreadable = buffers.drain(|record| {
            let Some((name, (records, _))) = names.get(record.source).zip(self.records.get(record.source)) else {
                return true;
            };
            self.received += 1;
            let answer = self.output.record(name, record, records);
            failed = self.heard(answer);
            failed.is_ok() && !self.full()
        })?;
        self.unreadable += unreadable;
        failed?;
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// Variables and maps, if they are asked for.
    fn state(
        &mut self,
        loaded: &Loaded,
        specs: &[MapSpec],
        btf: Option<&Btf<'_>>,
        arguments: &Arguments,
    ) -> Result<(), Failure> {
        let mut lines = Vec::new();
        if arguments.variables {
            lines.extend(state::variables(loaded, btf, arguments.format)?);
        }
        if arguments.maps {
            lines.extend(state::maps(loaded, specs, btf, arguments.format)?);
        }
        for line in lines {
            let answer = self.output.line(&terminal::clean(&line));
            self.heard(answer)?;
        }
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// A reader who has gone is no failure, but a reason to end.
    fn heard(&mut self, answer: io::Result<()>) -> Result<(), Failure> {
        match answer {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::system("write to stdout", &error)),
            Ok(()) => Ok(()),
        }
    }

    /// As many records as were asked for, or nobody to show them to.
    fn full(&self) -> bool {
        self.closed || self.most.is_some_and(|most| self.received >= most)
    }
}
