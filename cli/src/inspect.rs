//! `cutaway inspect`: shows the contents of an object and what loading it would do.
//!
//! ```text
//!     report.rs        the report: a plain value, the same for text and JSON
//!     aya_obj.rs       whether aya-obj accepts the object and reads it the same
//!     listing.rs       instructions before and after linking, with lines of source
//!     requirements.rs  kernel features that the object requires, and those that this machine lacks
//!     verify.rs        the verifier's verdicts, with --verify
//!     show.rs          the report as text
//!     summary.rs       the report in a few lines
//! ```
//!
//! Without --verify nothing is loaded and no privileges are needed: a *dry run* links the programs against the running
//! kernel's types or those of a file. A result that cannot be found here is reported as unknown or with the reason,
//! beside the others. An object for machines of the other byte order is described without a dry run.

mod aya_obj;
mod listing;
mod report;
mod requirements;
mod show;
mod summary;
mod verify;

use std::{convert::Infallible, path::PathBuf};

use clap::Args;
use cutaway::{Object, btf::Btf};
use log::warn;

use self::{
    aya_obj::AyaObj,
    report::{Against, Report},
    summary::Summary,
};
use crate::{
    args::Format,
    error::{CliError, listed},
    object_arg::{ObjectArg, ReadObject, USE_OWN_READER, read_whole},
    object_reader::{self, Reader},
    pattern::Pattern,
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway inspect program.o                  contents, and what loading would do
  cutaway inspect program.o --summary        what it has, needs and lacks here
  cutaway inspect program.o --program enter  one program only
  cutaway inspect program.o --verify --no-code
      load it, and print the verifier's figures of each program (as root)
  cutaway inspect program.o --btf other.btf  linked for the kernel of this BTF
  cutaway inspect program.o --count-losses   with what `run` inserts
  cutaway inspect program.o --format json    the same as JSON, for scripts

  Without an object file, a built-in object:
  cutaway inspect --built-in ring";

/// The arguments of `cutaway inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    object: ObjectArg,

    #[arg(long, value_enum, default_value = "cutaway", value_name = "READER", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    reader: Reader,

    /// Show only this program (repeatable)
    ///
    /// NAME can be a pattern: `*` is any text, `?` any character. Put a
    /// pattern in quotes.
    #[arg(long = "program", alias = "programs", value_name = "NAME", verbatim_doc_comment)]
    #[arg(value_parser = parse_pattern)]
    programs: Vec<Pattern>,

    /// Show a summary: programs, maps, requirements
    #[arg(long, short)]
    summary: bool,

    /// Show no instructions
    #[arg(long, conflicts_with_all = ["summary", "count_losses", "cover"])]
    no_code: bool,

    /// Load the programs, and show the verifier's figures
    ///
    /// Loads them without attaching them, and prints for each the number of
    /// instructions that the verifier processed, its states, and the stack
    /// depth; or the reason why the kernel refuses it. Needs the privileges
    /// of `cutaway run`. Pins no map.
    #[arg(long, conflicts_with = "btf", verbatim_doc_comment)]
    verify: bool,

    /// Apply CO-RE relocations against this BTF
    ///
    /// FILE is a copy of a kernel's /sys/kernel/btf/vmlinux, a .btf file of
    /// BTFHub or bpftool, or an ELF file with that kernel's types: vmlinux or
    /// an object. Default: the running kernel's BTF.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    btf: Option<PathBuf>,

    /// Show the instructions that count lost records
    ///
    /// `cutaway run` inserts them when it loads the object: after each call
    /// that sends a record to a ring or perf buffer. Their lines begin with
    /// `+`. Jumps and slot numbers are those without them.
    #[arg(long, verbatim_doc_comment)]
    count_losses: bool,

    /// Show the instructions that mark the code that runs
    ///
    /// `cutaway cover` inserts them when it loads the object. Their lines
    /// begin with `+`. Jumps and slot numbers are those without them.
    #[arg(long, verbatim_doc_comment)]
    cover: bool,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    #[arg(verbatim_doc_comment)]
    format: Format,
}

fn parse_pattern(text: &str) -> Result<Pattern, Infallible> {
    Ok(Pattern::new(text))
}

/// Reads the object, links it in a dry run, and prints the report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let ReadObject { shown: path, bytes, mut object } = arguments.object.read_any_endian(arguments.reader)?;
    let chosen = chosen(&object, &path, &arguments.programs)?;
    let btf = arguments.btf.as_ref().map(|file| {
        let shown = file.display();
        let bytes = read_whole(file, &format!("read `{shown}`"))?;
        match Btf::in_file(&bytes).and_then(|types| Btf::parse(types).map(|_| types.to_vec())) {
            Ok(types) => Ok(types),
            Err(why) => Err(CliError::new(format!("cannot read BTF from `{shown}`: {why}"))
                .advise("pass a copy of a kernel's /sys/kernel/btf/vmlinux")),
        }
    });
    let btf = btf.transpose()?;
    let against = btf.as_deref().map_or(Against::Running, Against::Btf);
    let aya_obj = AyaObj::compare(&bytes, &object, btf.as_deref());
    if let (Reader::AyaObj, Some(difference)) = (arguments.reader, &aya_obj.difference) {
        warn!("aya-obj reads `{path}` differently: {difference}");
    }
    if arguments.count_losses {
        object.count_losses();
    }
    if arguments.cover {
        object.cover();
    }
    let loaded = arguments.verify.then(|| object.clone());
    let mut report = Report::new(&path, object, against, &chosen, aya_obj);
    if let Some(why) = report.panic().filter(|_| arguments.reader == Reader::AyaObj) {
        return Err(CliError::new(format!("cannot inspect `{path}`: {why}")).advise(USE_OWN_READER));
    }
    if report.foreign && arguments.btf.is_some() {
        warn!("--btf has no effect: the object is for machines of the other byte order, so there is no dry run");
    }
    if let Some(object) = loaded {
        if report.foreign {
            let why = "it is for machines of the other byte order, which this kernel does not load";
            return Err(CliError::new(format!("cannot verify `{path}`: {why}")).advise("omit --verify"));
        }
        report.verifier = Some(verify::verdicts(&path, object, &chosen)?);
    }
    if arguments.no_code {
        report.drop_code();
    }
    terminal::print(&match (arguments.format, arguments.summary) {
        (Format::Table, false) => terminal::clean(&show::text(&report)).into_owned(),
        (Format::Table, true) => terminal::clean(&Summary::of(&report).text()).into_owned(),
        (Format::Json, false) => terminal::json(&report)? + "\n",
        (Format::Json, true) => terminal::json(&Summary::of(&report))? + "\n",
    })
}

/// Returns the names of the programs that match one of the patterns; none if there is no pattern. A pattern that
/// matches no program is an error.
fn chosen(object: &Object, path: &str, patterns: &[Pattern]) -> Result<Vec<String>, CliError> {
    let names = || object.programs().iter().map(|program| &program.name);
    for wanted in patterns {
        if !names().any(|name| wanted.matches(name)) {
            let known: Vec<_> = names().map(|name| format!("`{name}`")).collect();
            return Err(CliError::new(format!("`{path}` has no program `{wanted}`; it has {}", listed(&known))));
        }
    }
    let is_wanted = |name: &&String| patterns.iter().any(|wanted| wanted.matches(name));
    Ok(names().filter(is_wanted).cloned().collect())
}
