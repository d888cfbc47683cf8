//! The arguments of `cutaway run`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{filter::Filter, program_args::ProgramArgs};
use crate::{
    args::{buffer_size, count, duration},
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
  cutaway run - < program.o               read the object from stdin

  Run a built-in object (as root):
  cutaway run --built-in perf-heap --timestamps -- getent ahosts localhost
  cutaway run --built-in ring --filter 'call.comm == \"getent\"' -- \\
      getent ahosts localhost
  cutaway run --built-in ring --only-command -- getent ahosts localhost
  cutaway run --built-in ring --maps --interval 0.1 -- getent hosts localhost
  cutaway run --built-in ring --verifier-log=log.txt --strict -- true
  cutaway run --built-in ring --record r.rec -- getent ahosts localhost
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

    #[command(flatten)]
    pub(super) program: ProgramArgs,

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
    /// From 1 byte to 1 GiB, with an optional suffix: 65536, 64K, 4M. Rounded
    /// up to a power-of-two number of pages. For a ring, --max-entries has
    /// precedence. Default: the size in the object for a ring, 256K for each
    /// CPU's perf buffer.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "BYTES", value_parser = buffer_size)]
    pub(super) buffer: Option<u32>,

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
    #[arg(long, short = 'n', value_name = "N", value_parser = count)]
    pub(super) count: Option<u64>,

    /// Exit after this time: 5s, 500ms, 2m
    ///
    /// Without a unit, in seconds; fractions are allowed.
    ///
    /// If COMMAND still runs, it gets SIGTERM, and SIGKILL 2 seconds later.
    /// Default: no limit.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "DURATION", value_parser = duration)]
    pub(super) duration: Option<Duration>,

    /// Print the global variables at the end
    #[arg(long)]
    pub(super) variables: bool,

    /// Print the elements of all maps, or of map NAME
    ///
    /// At the end, and every --interval. Repeatable. Elements of hashes are
    /// sorted by value, the largest first; those of arrays by index. Per-CPU
    /// maps have the sum and the values of the CPUs.
    ///
    /// Counts of buckets are drawn as a histogram: an array with the word
    /// log2, linear or hist in its name, or a member `slots` of a value.
    /// Stacks have the names of functions. They are printed below elements
    /// with a member whose name contains `stack`. A map that cannot be read
    /// has a line with the reason.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) maps: Vec<String>,

    /// Print the maps at this interval, too: 1s, 100ms
    #[arg(long, short, value_name = "DURATION", value_parser = duration, requires = "maps")]
    pub(super) interval: Option<Duration>,

    /// Print counts of received and lost records
    ///
    /// At the end, on stdout, for each map, with the source lines that lost
    /// records. A count that is not exact is `at least N` or `unknown`, with
    /// the reason; in JSON, `lost` is then null, and `lost_at_least` is N.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short)]
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

    /// Print only records for which EXPRESSION is true
    ///
    /// EXPRESSION is written as in C, with the members of the record:
    ///
    ///   comm == "ls" && ret < 0      text, and a number
    ///   from.port != 80              a member of a structure
    ///   path[0].x > 1.5              an element of an array
    ///   to == "127.0.0.1"            an address
    ///   flags & O_CREAT              an enumerator, a bit
    ///   !(state == 'R' || late)      a character, a condition
    ///
    /// The operators, lowest precedence first: ||, &&, |, ^, &, == !=,
    /// < <= > >=, << >>, + -, * / %, and - ! ~ before a value. Numbers are
    /// compared by value, also if only one of them is signed. The name of a
    /// record that is not a structure is `value`.
    ///
    /// --count counts the printed records.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "EXPRESSION", value_parser = Filter::parse)]
    pub(super) filter: Option<Filter>,

    /// Print only records of COMMAND and its children
    ///
    /// By the member `pid` or `tgid` of the record. Records without such a
    /// member are not printed.
    #[arg(verbatim_doc_comment)]
    #[arg(long, requires = "command")]
    pub(super) only_command: bool,

    /// Print the wall-clock time of each record
    ///
    /// A record of a perf buffer has the time at which the kernel stored it.
    /// A record of a ring has no time: run prints when it received it.
    /// In JSON, the key `time` has the time, and `time_is` is `stored` or
    /// `received`.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) timestamps: bool,

    /// Print only problems and losses on stderr
    ///
    /// Omits the types of the records, the attached programs, the progress,
    /// and `received N, lost 0` at the end.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short)]
    pub(super) quiet: bool,

    /// Fail if a program, ring or record was skipped
    ///
    /// If a program cannot run or a ring cannot be read, run runs no program
    /// and exits with status 1. If a record is corrupt, it exits with status
    /// 1 at the end.
    #[arg(verbatim_doc_comment)]
    #[arg(long)]
    pub(super) strict: bool,

    /// Print the verifier's log of each program
    ///
    /// To stderr, or to FILE. The log has each instruction that the verifier
    /// processed, with the registers that it changed. It can have hundreds of
    /// thousands of lines, and loading takes several times as long.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "/dev/stderr")]
    pub(super) verifier_log: Option<PathBuf>,

    /// Record what is received in FILE
    ///
    /// `cutaway replay FILE` shows it again. The recording also has the
    /// object, and lines that are no records, as they are printed. With
    /// --filter or --only-command, it has only the selected records. FILE
    /// must not exist, or be a pipe; only its owner can read it.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

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
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON object per line
    Json,
    /// The bytes of each record, not decoded
    Hex,
}
