//! `cutaway inspect`: what is in an object, and what loading it will do.
//!
//! ```text
//!     report.rs     what is told: a plain value, the same for text and JSON
//!     listing.rs    instructions before and after linking, with lines of source
//!     lacks.rs      what this machine would refuse
//!     show.rs       the report as text
//! ```
//!
//! Nothing is loaded and no privileges are needed: loading is *rehearsed*, against the running kernel's types or those of a
//! file. What cannot be worked out here is said beside what can.

mod lacks;
mod listing;
mod report;
mod show;

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use cutaway::{Object, btf::Btf};
use cutaway_programs::getaddrinfo::Transport;

use self::report::{Against, Report};
use crate::{Format, failure::Failure, terminal};

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
    /// The object file, as clang, rustc or this project's assembler writes it
    #[arg(required_unless_present = "built_in", conflicts_with = "built_in")]
    object: Option<PathBuf>,

    /// One of the objects that `cutaway trace` loads
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    built_in: Option<BuiltIn>,

    /// Tells of this program alone (may be given more than once)
    #[arg(long = "program", value_name = "NAME")]
    programs: Vec<String>,

    /// Adapts the programs to the kernel whose types are in this file, instead of the running one; a kernel shows its own as
    /// /sys/kernel/btf/vmlinux
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,

    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The objects that are built in, by the way their events take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuiltIn {
    /// A BPF ring buffer
    Ring,
    /// A perf buffer, from a per-CPU array
    PerfHeap,
    /// A perf buffer, from the stack
    PerfStack,
}

impl Arguments {
    /// The object's bytes, and what it is called.
    fn read(&self) -> Result<(String, Vec<u8>), Failure> {
        if let Some(path) = &self.object {
            let shown = path.display().to_string();
            let bytes = fs::read(path).map_err(|error| Failure::system(&format!("read `{shown}`"), &error))?;
            return Ok((shown, bytes));
        }
        let (name, transport) = match self.built_in {
            None | Some(BuiltIn::Ring) => ("ring", Transport::Ring),
            Some(BuiltIn::PerfHeap) => ("perf-heap", Transport::PerfHeap),
            Some(BuiltIn::PerfStack) => ("perf-stack", Transport::PerfStack),
        };
        let bytes = transport.object().map_err(|error| Failure::new(format!("cannot build the object: {error}")))?;
        Ok((format!("built-in {name}"), bytes))
    }
}

/// Reads, rehearses, and tells.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (path, bytes) = arguments.read()?;
    let object = Object::parse(&bytes).map_err(|error| Failure::new(format!("cannot read `{path}`: {error}")))?;
    for name in &arguments.programs {
        let mut names = object.programs().iter().map(|program| program.name.as_str());
        if !names.any(|known| known == name) {
            let names: Vec<_> = object.programs().iter().map(|program| format!("`{}`", program.name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Failure::new(format!("`{path}` has no program `{name}`; it has {names}")));
        }
    }
    let btf = arguments.btf.as_ref().map(|file| {
        let shown = file.display();
        let bytes = fs::read(file).map_err(|error| Failure::system(&format!("read `{shown}`"), &error))?;
        // An object has types, too.
        let types = Object::parse(&bytes).ok().and_then(|object| object.btf()).unwrap_or(bytes);
        match Btf::parse(&types) {
            Ok(_) => Ok(types),
            Err(why) => Err(Failure::new(format!("`{shown}` holds no BTF that can be read: {why}"))
                .advise("give it what a kernel shows as /sys/kernel/btf/vmlinux")),
        }
    });
    let btf = btf.transpose()?;
    let against = btf.as_deref().map_or(Against::Running, Against::Given);
    let report = Report::new(&path, object, against, &arguments.programs);
    terminal::print(&match arguments.format {
        Format::Table => terminal::clean(&show::text(&report)).into_owned(),
        Format::Json => {
            serde_json::to_string(&report).map_err(|error| Failure::new(format!("cannot write JSON: {error}")))? + "\n"
        }
    })
}
