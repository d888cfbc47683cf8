//! The arguments of `cutaway run`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    object_arg::ObjectArg,
    object_reader::{self, Reader},
};

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
    pub(super) object: ObjectArg,

    #[arg(long, value_enum, default_value = "cutaway", value_name = "READER", hide_possible_values = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    pub(super) reader: Reader,

    /// Runs this program alone (may be given more than once), even if its section begins with `?`
    #[arg(long = "program", value_name = "NAME")]
    pub(super) programs: Vec<String>,

    /// Where to attach a program: what would stand behind the slash of its section's name, an interface, or a path
    ///
    /// For uprobes TARGET is LIBRARY:SYMBOL, LIBRARY:SYMBOL+OFFSET, LIBRARY:ADDRESS (hexadecimal, as nm prints it), or
    /// LIBRARY:SYMBOL@ADDRESS for one of several functions of the same name; for USDT probes LIBRARY:PROVIDER:NAME.
    /// LIBRARY is a path, which is given to the kernel as it is, or a name, which is looked up as the dynamic loader
    /// would, with --pid as that process sees it. A text with several colons is split behind the longest file that is
    /// there, so symbols may have colons.
    #[arg(long = "attach", value_name = "NAME=TARGET", value_parser = pair)]
    pub(super) targets: Vec<String>,

    /// Take a function for a program of this section
    ///
    /// In the words of SEC("…"), e.g. tracepoint/syscalls/sys_enter_openat: for a function whose own section's name
    /// says nothing.
    #[arg(long = "section", value_name = "NAME=SECTION", value_parser = pair)]
    pub(super) sections: Vec<String>,

    /// The network device for programs on XDP and traffic control
    #[arg(long, value_name = "NAME")]
    pub(super) interface: Option<String>,

    /// The directory of the cgroup for programs on cgroups
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<String>,

    /// How often programs on perf events run, on the clock of each CPU; 99 times a second unless told
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) frequency: Option<u64>,

    /// Attach uprobes, USDT probes and perf events to this process alone, and end when it does
    ///
    /// Iterators over tasks show this process alone (Linux 6.1). The kernel attaches programs of other kinds to all
    /// processes: those are named, and if there are no others, it is an error.
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(super) pid: Option<u32>,

    /// Gives a global variable a value before the object is loaded: 42, 0xff, text, true, an enumerator, 1,2,3,
    /// hex:0a0b
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) settings: Vec<String>,

    /// Reads the records of a map, or of all, as this type: a structure, union, typedef, enumeration or integer
    #[arg(long = "type", value_name = "[MAP=]TYPE")]
    pub(super) types: Vec<String>,

    /// Size of each ring and of each CPU's perf buffer, in bytes
    ///
    /// Rounded up to a power of two of pages. Without it a ring has the size that the object gives it, and a perf
    /// buffer has 262144 bytes for each CPU.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(super) buffer: Option<u32>,

    /// Set how many elements a map has
    ///
    /// Needed where the object has 0, for user space to set. In bytes for a ring.
    #[arg(long = "max-entries", value_name = "MAP=N", value_parser = entries)]
    pub(super) max_entries: Vec<String>,

    /// Pins and shares the maps that the object wants pinned in this directory of a BPF file system; without it none is
    /// pinned
    #[arg(long, value_name = "FOLDER")]
    pub(super) pins: Option<PathBuf>,

    /// Ends after so many records; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Ends after so many seconds, fractions allowed; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "SECS", value_parser = crate::args::seconds)]
    pub(super) duration: Option<Duration>,

    /// Prints the global variables at the end
    #[arg(long)]
    pub(super) variables: bool,

    /// Prints what hashes and arrays hold at the end
    #[arg(long)]
    pub(super) maps: bool,

    /// Print received and lost records of each map at the end
    ///
    /// On stdout. Losses that are not counted are unknown, in JSON null.
    #[arg(long)]
    pub(super) summary: bool,

    /// How records are printed
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Form,

    /// Runs this command once all is attached, and ends when it does; its output goes to stderr
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
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

/// Splits each `NAME=VALUE`, whose form is checked when the arguments are parsed.
pub(super) fn pairs(options: &[String]) -> impl Iterator<Item = (&str, &str)> {
    options.iter().map(|option| option.split_once('=').unwrap_or((option, "")))
}
