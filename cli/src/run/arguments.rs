//! The arguments of `cutaway run`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    object_arg::ObjectArg,
    object_reader::{self, Reader},
};

const EXAMPLES: &str = "\
Examples:
  cutaway run program.o                   print all records until Ctrl-C
  cutaway run program.o --type events=event -- ls
      decode records of the map `events` as struct event; exit when ls exits
  cutaway run program.o --set 'limit=10' --duration 5 --variables --maps
  cutaway run program.o --interface lo --count 3 --format json

  Run a built-in object (as root):
  cutaway run --built-in ring -- getent ahosts localhost";

/// The arguments of `cutaway run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) object: ObjectArg,

    #[arg(long, value_enum, default_value = "cutaway", value_name = "READER", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    pub(super) reader: Reader,

    /// Run only this program (repeatable)
    ///
    /// Default: every program whose section does not begin with `?`. With
    /// --program, a program runs even if its section begins with `?`.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "program", value_name = "NAME")]
    pub(super) programs: Vec<String>,

    /// Attach the program NAME to TARGET (repeatable)
    ///
    /// TARGET is written as after the slash in SEC("type/TARGET"). For
    /// programs of these types it is something else:
    ///
    ///   XDP, traffic control, netkit
    ///                              a network interface
    ///   cgroup                     the path of a cgroup
    ///   sk_lookup, flow_dissector  the path of a network namespace
    ///
    /// For uprobes:
    ///
    ///   LIBRARY:SYMBOL, LIBRARY:SYMBOL+OFFSET
    ///   LIBRARY:ADDRESS         hexadecimal, as nm prints it
    ///   LIBRARY:SYMBOL@ADDRESS  if several functions have that name
    ///
    /// For USDT probes: LIBRARY:PROVIDER:NAME
    ///
    /// A LIBRARY that is a path is passed to the kernel unchanged.
    ///
    /// A name is looked up first among the files in cutaway's own memory
    /// (/proc/self/maps). After that, cutaway searches as the dynamic loader
    /// (ld.so) does. If the name has no `.so`, cutaway also searches PATH.
    ///
    /// With --pid, cutaway searches among the files in the memory of process
    /// PID (/proc/PID/maps). It uses the LD_LIBRARY_PATH, the PATH and the
    /// root directory of that process.
    ///
    /// LIBRARY and SYMBOL may contain colons. run tries the text before each
    /// colon, the longest first. LIBRARY is the first text that is an
    /// existing file, or the name of a library that run can find.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "attach", value_name = "NAME=TARGET", value_parser = pair)]
    pub(super) targets: Vec<String>,

    /// Load the function NAME as a program of SECTION
    ///
    /// For a function whose own section names no program type. SECTION is
    /// written as in SEC("SECTION"), such as
    /// tracepoint/syscalls/sys_enter_openat. Repeatable.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "section", value_name = "NAME=SECTION", value_parser = pair)]
    pub(super) sections: Vec<String>,

    /// Interface for XDP, tc and netkit programs
    ///
    /// Such a program is skipped if neither --interface nor --attach names
    /// its interface.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "NAME")]
    pub(super) interface: Option<String>,

    /// Directory of the cgroup for cgroup programs
    ///
    /// Such a program is skipped if neither --cgroup nor --attach names its
    /// cgroup.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<String>,

    /// Frequency of perf_event programs [default: 99]
    ///
    /// In Hz. On each CPU, the perf event cpu-clock runs the program at this
    /// frequency. With --pid, the program runs only while process PID runs.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) frequency: Option<u64>,

    /// Attach to this process only; exit when it exits
    ///
    /// Restricts uprobes, USDT probes and perf events. From Linux 6.1, also
    /// restricts programs of SEC("iter/task"), SEC("iter/task_file") and
    /// SEC("iter/task_vma").
    ///
    /// --pid does not restrict programs of other types. run prints the names
    /// of these programs on stderr. If --pid can restrict none of the
    /// programs, run fails. --pid and COMMAND exclude each other.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub(super) pid: Option<u32>,

    /// Set a global variable before loading
    ///
    /// Repeatable. The type of the variable determines the form of VALUE:
    ///
    ///   integer        42, -1, 0xff or 'x'
    ///   enumeration    an enumerator's name, or a number
    ///   bool           true or false
    ///   float, double  1.5
    ///   array of char  the text
    ///   other array    1,2,3 (the other elements are 0)
    ///   any type       hex:0a0b (its bytes)
    #[arg(verbatim_doc_comment)]
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) settings: Vec<String>,

    /// Decode all records, or those of MAP, as TYPE
    ///
    /// TYPE is a structure, union, typedef, enumeration or integer, from the
    /// BTF of the object or of the kernel. Repeatable.
    ///
    /// By default, run takes the type from the object's BTF, which also has
    /// source lines. It looks at the line that submits the record, at the
    /// types that global pointers point to, and at the value types of maps.
    /// If run finds no type there, it guesses the type by the size of the
    /// record, and marks the type as a guess.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "type", value_name = "[MAP=]TYPE")]
    pub(super) types: Vec<String>,

    /// Size of each ring and of each CPU's perf buffer
    ///
    /// In bytes: from 1 to 1073741824, rounded up to a power-of-two number of
    /// pages. Default: the size in the object for a ring, 262144 for each
    /// CPU's perf buffer.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(super) buffer: Option<u32>,

    /// Set the number of elements of a map (repeatable)
    ///
    /// For a ring, N is its size in bytes and has precedence over --buffer.
    /// Required for a hash, array or similar map if its max_entries is 0 in
    /// the object.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "max-entries", value_name = "MAP=N", value_parser = entries)]
    pub(super) max_entries: Vec<String>,

    /// Directory in a BPF file system for pinned maps
    ///
    /// run pins in DIR each map that the object declares with
    /// LIBBPF_PIN_BY_NAME. If the pin exists, run reuses the pinned map.
    /// Processes can thus share the maps. Default: no map is pinned.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "DIR")]
    pub(super) pins: Option<PathBuf>,

    /// Exit after N records
    ///
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Exit after SECS seconds, fractions allowed
    ///
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SECS", value_parser = crate::args::seconds)]
    pub(super) duration: Option<Duration>,

    /// Print the global variables at the end
    #[arg(long)]
    pub(super) variables: bool,

    /// Print elements of hash and array maps at the end
    #[arg(long)]
    pub(super) maps: bool,

    /// Print counts of received and lost records
    ///
    /// At the end, on stdout, for each map, with the source lines that lost
    /// records. A count that is not exact is `at least N` or `unknown`, with
    /// the reason; in JSON it is `null`.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) summary: bool,

    /// Do not count lost records in the programs
    ///
    /// By default, run inserts instructions into the programs when it loads
    /// them. They count the failed calls of the helpers that send records
    /// (bpf_ringbuf_reserve, bpf_perf_event_output and others). The kernel
    /// itself counts no losses of a ring.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) no_count_losses: bool,

    /// Output format: table (default), json or hex
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    /// hex: the bytes of each record in hexadecimal, not decoded
    #[arg(verbatim_doc_comment, hide_default_value = true, hide_possible_values = true)]
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: Format,

    /// Command to run; exit when it exits
    ///
    /// COMMAND starts when all programs are attached. Its stdout goes to
    /// stderr. Records that other processes cause are printed too.
    #[arg(verbatim_doc_comment)]
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// The format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people
    Table,
    /// One JSON object per line
    Json,
    /// The bytes of each record, not decoded
    Hex,
}

/// Checks the form `NAME=VALUE`.
fn pair(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Checks the form `MAP=N`.
fn entries(text: &str) -> Result<String, String> {
    let number = text.split_once('=').filter(|(name, _)| !name.is_empty()).map(|(_, number)| number);
    match number.ok_or("expected MAP=N")?.parse() {
        Ok(1..=u32::MAX) => Ok(text.to_owned()),
        Ok(0) | Err(_) => Err(format!("N must be a number from 1 to {}", u32::MAX)),
    }
}

/// Splits each `NAME=VALUE`. clap has checked the form.
pub(super) fn pairs(options: &[String]) -> impl Iterator<Item = (&str, &str)> {
    options.iter().map(|option| option.split_once('=').unwrap_or((option, "")))
}
