//! `cutaway inspect`: what is in an object, and what loading it will do.
//!
//! ```text
//!     report.rs        what is told: a plain value, the same for text and JSON
//!     aya_obj.rs       whether aya-obj accepts the object and reads it the same
//!     listing.rs       instructions before and after linking, with lines of source
//!     requirements.rs  kernel features that the object requires and this machine lacks
//!     show.rs          the report as text
//! ```
//!
//! Nothing is loaded and no privileges are needed: a *dry run* links the programs against the running kernel's types or
//! those of a file. What cannot be worked out here is said beside what can. An object for machines of the other byte
//! order is described without a dry run.

mod aya_obj;
mod listing;
mod report;
mod requirements;
mod show;

use std::path::PathBuf;

use clap::Args;
use cutaway::{Object, btf::Btf};
use log::warn;

use self::{
    aya_obj::AyaObj,
    report::{Against, Report},
};
use crate::{
    args::Format,
    error::{CliError, listed},
    object_arg::{ObjectArg, ReadObject, read_whole},
    object_reader::{self, Reader},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway inspect program.o                    what is in it, and what loading it here would do
  cutaway inspect program.o --program enter    one program alone
  cutaway inspect program.o --btf other.btf    the same for the kernel that this BTF is from
  cutaway inspect program.o --format json      the same for other programs

  Without an object at hand, one of those that cutaway itself loads:
  cutaway inspect --built-in ring";

/// The arguments of `cutaway inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    object: ObjectArg,

    #[arg(long, value_enum, default_value = "cutaway", value_name = "READER", hide_possible_values = true)]
    #[arg(help = object_reader::HELP, long_help = object_reader::LONG_HELP)]
    reader: Reader,

    /// Tells of this program alone (may be given more than once)
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,

    /// Adapts the programs to the kernel whose types are in this file, instead of the running one; a kernel shows its
    /// own as /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,

    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Reads the object, links it in a dry run, and prints the report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let ReadObject { shown: path, bytes, object } = arguments.object.read_any_endian(arguments.reader)?;
    for name in &arguments.programs {
        let mut names = object.programs().iter().map(|program| program.name.as_str());
        if !names.any(|known| known == name) {
            let names: Vec<_> = object.programs().iter().map(|program| format!("`{}`", program.name)).collect();
            return Err(CliError::new(format!("`{path}` has no program `{name}`; it has {}", listed(&names))));
        }
    }
    let btf = arguments.btf.as_ref().map(|file| {
        let shown = file.display();
        let bytes = read_whole(file, &format!("read `{shown}`"))?;
        // An object has types, too.
        let types = Object::parse(&bytes).ok().and_then(|object| object.btf()).unwrap_or(bytes);
        match Btf::parse(&types) {
            Ok(_) => Ok(types),
            Err(why) => Err(CliError::new(format!("`{shown}` holds no BTF that can be read: {why}"))
                .advise("give it what a kernel shows as /sys/kernel/btf/vmlinux")),
        }
    });
    let btf = btf.transpose()?;
    let against = btf.as_deref().map_or(Against::Running, Against::Btf);
    let aya_obj = AyaObj::compare(&bytes, &object, btf.as_deref());
    if let (Reader::AyaObj, Some(difference)) = (arguments.reader, &aya_obj.difference) {
        warn!("aya-obj reads `{path}` differently: {difference}");
    }
    let report = Report::new(&path, object, against, &arguments.programs, aya_obj);
    if let Some(why) = report.panic().filter(|_| arguments.reader == Reader::AyaObj) {
        return Err(CliError::new(format!("cannot inspect `{path}`: {why}")).advise("read it with --reader cutaway"));
    }
    if report.foreign && arguments.btf.is_some() {
        warn!("--btf has no effect: the object is for machines of the other byte order, so there is no dry run");
    }
    terminal::print(&match arguments.format {
        Format::Table => terminal::clean(&show::text(&report)).into_owned(),
        Format::Json => terminal::json(&report)? + "\n",
    })
}
