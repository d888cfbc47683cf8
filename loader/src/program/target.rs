//! Programs that hang on something by its number in the kernel's BTF: functions, hooks, iterators, tracepoints with types.
//!
//! The number must be known when the program is loaded, since the verifier checks the program against the function's own
//! parameters. The kernel marks what a program may hang on by a prefix of the name: a hook's function is `bpf_lsm_NAME`, an
//! iterator's `bpf_iter_NAME`, a tracepoint is the type `btf_trace_NAME`; functions have their own names. One walk over the
//! kernel's types finds all that an object asks for; only what it leaves open is looked for in the modules' types, whose
//! numbers count on from the kernel's.

use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
};

use crate::{
    Error, ProgramType, Target,
    btf::{
        Kind, Names, Seen,
        search::{Absent, Seeker, Sources},
        shown,
    },
    object::ProgramSpec,
    sys::{
        bpf::BtfTarget,
        btf,
        link::attach_type::{LSM_CGROUP, LSM_MAC, TRACE_ITER, TRACE_RAW_TP},
    },
};

/// What the programs of an object hang on in BTF.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    wanted: Vec<Wanted>,
    /// Why there are no types to look at.
    absent: Option<Absent>,
}

#[derive(Debug)]
struct Wanted {
    kind: Kind,
    /// With the prefix.
    name: Vec<u8>,
    found: Option<Found>,
}

#[derive(Debug)]
struct Found {
    /// The place in the list of sources; 0 is the kernel itself.
    source: usize,
    id: u32,
    /// The BTF of the module that the number counts in; `None` for the kernel's own.
    module: Option<OwnedFd>,
}

impl Seeker for Targets {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.found.is_none())
    }

    /// Takes down the number of a type that is wanted. Of several of one name the first counts.
    fn see(&mut self, source: usize, names: Names<'_>, seen: Seen) -> bool {
        if !matches!(seen.kind, Kind::Func | Kind::Typedef) {
            return false;
        }
        let mut any = false;
        for wanted in self.wanted.iter_mut().filter(|wanted| wanted.kind == seen.kind && wanted.found.is_none()) {
            if names.is(seen.name, &wanted.name) {
                wanted.found = Some(Found { source, id: seen.id, module: None });
                any = true;
            }
        }
        any
    }
}

impl Targets {
    /// What these programs hang on, still to be found.
    pub(crate) fn of_all<'s>(programs: impl Iterator<Item = &'s ProgramSpec>) -> Self {
        Self { wanted: programs.filter_map(Wanted::by).collect(), absent: None }
    }

    /// After the search: opens the modules that something was found in.
    pub(crate) fn settle(&mut self, sources: Sources<'_, '_>) -> Result<(), Error> {
        let sources = match sources {
            Ok(sources) => sources,
            Err(absent) => {
                self.absent = Some(absent);
                return Ok(());
            }
        };
        for wanted in &mut self.wanted {
            let text = wanted.to_string();
            let Some(found) = wanted.found.as_mut().filter(|found| found.source != 0) else { continue };
            let module = sources.get(found.source).map(|source| source.name);
            let module = module.ok_or_else(|| Error::bug("a type was found in types that were not searched"))?;
            let module = btf::of_module(module).map_err(|error| {
                Error::kernel(format!("open the types of the module {module}, to find {text}"), &error)
            })?;
            found.module = Some(module);
        }
        Ok(())
    }

    /// What this program hangs on; nothing for most kinds.
    pub(crate) fn of<'t>(&'t self, program: &'t ProgramSpec) -> Result<BtfTarget<'t>, Error> {
        if let Some(known) = &program.known {
            return Ok(BtfTarget { id: known.id, of: known.of.as_ref().map(|fd| fd.as_fd()) });
        }
        let section = &program.section;
        let Some(mine) = Wanted::by(program) else {
            return match section.program_type {
                ProgramType::TRACING | ProgramType::LSM => Err(Error::Unfit {
                    attempt: format!("load the program `{}` ({})", program.name, section.program_type),
                    why: format!(
                        "its section `{}` does not name what it hangs on: set `section.target` before loading",
                        program.section_name
                    ),
                }),
                ProgramType::EXT => Err(Error::Unfit {
                    attempt: format!("load the program `{}` ({})", program.name, section.program_type),
                    why: "it replaces a function of another program: say of which one, with `ProgramSpec::replace`"
                        .to_owned(),
                }),
                _ => Ok(BtfTarget::default()),
            };
        };
        let found = self.wanted.iter().find(|wanted| wanted.kind == mine.kind && wanted.name == mine.name);
        match found.and_then(|wanted| wanted.found.as_ref()) {
            Some(found) => Ok(BtfTarget { id: found.id, of: found.module.as_ref().map(AsFd::as_fd) }),
            None => Err(Error::Unfit {
                attempt: format!("load the program `{}` (`{}`)", program.name, program.section_name),
                why: match &self.absent {
                    Some(absent) => format!("it needs the kernel's BTF: {absent}"),
                    None => format!("neither the kernel's BTF nor its modules' has {mine}"),
                },
            }),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Func { "a function" } else { "a type" };
        write!(f, "{kind} `{}`", shown(&self.name))
    }
}

impl Wanted {
    fn by(program: &ProgramSpec) -> Option<Self> {
        // Without the feature such programs have been refused already.
        if !cfg!(feature = "tracing") {
            return None;
        }
        let section = &program.section;
        let Some(Target::Btf { name }) = &section.target else { return None };
        let (kind, prefix) = match (section.program_type, section.expected_attach_type) {
            (ProgramType::LSM, LSM_MAC | LSM_CGROUP) => (Kind::Func, "bpf_lsm_"),
            (ProgramType::TRACING, TRACE_RAW_TP) => (Kind::Typedef, "btf_trace_"),
            (ProgramType::TRACING, TRACE_ITER) => (Kind::Func, "bpf_iter_"),
            (ProgramType::TRACING, _) => (Kind::Func, ""),
            _ => return None,
        };
        Some(Self { kind, name: format!("{prefix}{name}").into_bytes(), found: None })
    }
}
