//! Finds the BTF ids of attach targets (`attach_btf_id`): functions, LSM hooks, iterators, tracepoints with types.
//!
//! The id must be known when the program is loaded, since the verifier checks the program against the target's
//! parameters. The kernel marks attach targets by a prefix of the name: an LSM hook's function is `bpf_lsm_NAME`, an
//! iterator's `bpf_iter_NAME`, a tracepoint is the type `btf_trace_NAME`; functions have their own names. One walk over
//! vmlinux finds all targets of an object. Only the missing ones are searched for in modules, whose type ids continue
//! those of vmlinux.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    sync::OnceLock,
};

use crate::{
    AttachType, Error, ProgramType, Target,
    btf::{
        Kind, Names, TypeHeader, shown,
        visitor::{Absent, NameFilter, Sources, Visitor},
    },
    object::ProgramSpec,
    sorted::sort,
    sys::{bpf::BtfTarget, btf},
};

/// The BTF ids of the attach targets of an object's programs.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Sorted by name; each once.
    wanted: Vec<Wanted>,
    filter: NameFilter,
    /// The number of targets not found yet.
    missing: usize,
    /// Why there is no BTF to search.
    absent: Option<Absent>,
    /// The modules in which programs are attached to many functions, and their BTF when a program is loaded.
    modules: Vec<(String, OnceLock<io::Result<OwnedFd>>)>,
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
    /// The index of the source; 0 is vmlinux.
    source: usize,
    id: u32,
    /// The BTF of the module that the id belongs to, or why it cannot be opened; `None` for vmlinux.
    module: Option<Result<OwnedFd, Unopened>>,
}

/// The name of a module whose BTF cannot be opened, and the error.
#[derive(Debug)]
struct Unopened {
    name: String,
    error: io::Error,
}

impl Visitor for Targets {
    fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    fn is_missing_some(&self) -> bool {
        self.missing != 0
    }

    /// Records the id of a type that is a target. If several types have one name, the first counts.
    fn visit(&mut self, source: usize, names: Names<'_>, ty: TypeHeader) -> bool {
        let is_sought = matches!(ty.kind, Kind::Func | Kind::Typedef) && self.filter.may_contain(names.from(ty.name));
        if !is_sought || self.missing == 0 {
            return false;
        }
        let wanted = self.index(ty.kind, names.at(ty.name)).and_then(|index| self.wanted.get_mut(index));
        match wanted {
            Some(wanted) if wanted.found.is_none() => {
                wanted.found = Some(Found { source, id: ty.id, module: None });
                self.missing -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Targets {
    /// Collects the attach targets of these programs.
    pub(crate) fn of_all<'s>(programs: impl Iterator<Item = &'s ProgramSpec>) -> Self {
        let (mut wanted, mut modules) = (Vec::new(), Vec::new());
        for program in programs {
            wanted.extend(Wanted::by(program));
            if cfg!(feature = "tracing")
                && let Some(Target::TracingMulti { module: Some(module), .. }) = &program.section.target
            {
                modules.push((module.clone(), OnceLock::new()));
            }
        }
        sort(&mut wanted, |one, other| one.key().cmp(&other.key()));
        wanted.dedup_by(|one, before| one.key() == before.key());
        let mut filter = NameFilter::default();
        for wanted in &wanted {
            filter.add(&wanted.name);
        }
        Self { missing: wanted.len(), wanted, filter, absent: None, modules }
    }

    /// Returns the index of the target of this kind and name.
    fn index(&self, kind: Kind, name: &[u8]) -> Option<usize> {
        let index = self.wanted.partition_point(|wanted| wanted.key() < (name, kind));
        self.wanted.get(index).is_some_and(|wanted| wanted.key() == (name, kind)).then_some(index)
    }

    /// Opens the BTF of the modules that have targets, after the search. A module that cannot be opened is an error for
    /// the programs that need it, but not for the others.
    pub(crate) fn settle(&mut self, sources: Sources<'_, '_>) -> Result<(), Error> {
        let sources = match sources {
            Ok(sources) => sources,
            Err(absent) => {
                self.absent = Some(absent);
                return Ok(());
            }
        };
        for wanted in &mut self.wanted {
            let Some(found) = wanted.found.as_mut().filter(|found| found.source != 0) else { continue };
            let module = sources.get(found.source).ok_or_else(|| Error::bug("a target has no source"))?.name;
            let opened = btf::of_module(module);
            found.module = Some(opened.map_err(|error| Unopened { name: module.to_owned(), error }));
        }
        Ok(())
    }

    /// Returns the error for this program if the BTF of its target's module cannot be opened.
    pub(crate) fn refusal(&self, program: &ProgramSpec) -> Option<Error> {
        let wanted = Wanted::by(program)?;
        let found = self.index(wanted.kind, &wanted.name).and_then(|index| self.wanted.get(index)?.found.as_ref())?;
        found.opened(&wanted).err()
    }

    /// Returns the attach target of this program; the default for most program types.
    pub(crate) fn of<'t>(&'t self, program: &'t ProgramSpec) -> Result<BtfTarget<'t>, Error> {
        let section = &program.section;
        let Some(mine) = Wanted::by(program) else {
            return match section.program_type {
                ProgramType::TRACING if cfg!(feature = "tracing") && section.is_tracing_multi() => {
                    self.of_many(program)
                }
                ProgramType::TRACING | ProgramType::LSM => Err(Error::Invalid {
                    operation: format!("load the program `{}` ({})", program.name, section.program_type),
                    why: format!(
                        "its section `{}` names no attach target: set `section.target` before loading",
                        program.section_name
                    ),
                }),
                ProgramType::EXT => Err(Error::Invalid {
                    operation: format!("load the program `{}` ({})", program.name, section.program_type),
                    why: "it replaces a function of another program: choose the program with `LoadOptions::replace`"
                        .to_owned(),
                }),
                _ => Ok(BtfTarget::default()),
            };
        };
        let found = self.index(mine.kind, &mine.name).and_then(|index| self.wanted.get(index));
        match found.and_then(|wanted| wanted.found.as_ref()) {
            Some(found) => found.opened(&mine),
            None => Err(Error::Invalid {
                operation: format!("load the program `{}` (`{}`)", program.name, program.section_name),
                why: match &self.absent {
                    Some(absent) => format!("it needs the kernel's BTF: {absent}"),
                    None => format!("neither the kernel's BTF nor its modules' has {mine}"),
                },
            }),
        }
    }
}

impl Targets {
    /// Returns the BTF whose functions a program can be attached to: the program is verified for any function of it.
    fn of_many(&self, program: &ProgramSpec) -> Result<BtfTarget<'_>, Error> {
        let Some(Target::TracingMulti { module: Some(module), .. }) = &program.section.target else {
            return Ok(BtfTarget::default());
        };
        let found = self.modules.iter().find(|(name, _)| name == module);
        let (_, opened) = found.ok_or_else(|| Error::bug("a module was not recorded"))?;
        match opened.get_or_init(|| btf::of_module(module)) {
            Ok(btf) => Ok(BtfTarget { id: 0, of: Some(btf.as_fd()) }),
            Err(error) => Err(Error::kernel(
                format!("open the types of the module {module}, for the program `{}`", program.name),
                error,
            )),
        }
    }
}

impl Found {
    fn opened(&self, wanted: &Wanted) -> Result<BtfTarget<'_>, Error> {
        match &self.module {
            None => Ok(BtfTarget { id: self.id, of: None }),
            Some(Ok(module)) => Ok(BtfTarget { id: self.id, of: Some(module.as_fd()) }),
            Some(Err(Unopened { name, error })) => {
                Err(Error::kernel(format!("open the types of the module {name}, to find {wanted}"), error))
            }
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
    fn key(&self) -> (&[u8], Kind) {
        (&self.name, self.kind)
    }

    fn by(program: &ProgramSpec) -> Option<Self> {
        // Without the feature `tracing` such programs have been refused already.
        if !cfg!(feature = "tracing") {
            return None;
        }
        let section = &program.section;
        let Some(Target::Btf { name }) = &section.target else { return None };
        let (kind, prefix) = match (section.program_type, section.expected_attach_type) {
            (ProgramType::LSM, AttachType::LSM_MAC | AttachType::LSM_CGROUP) => (Kind::Func, "bpf_lsm_"),
            (ProgramType::TRACING, AttachType::TRACE_RAW_TP) => (Kind::Typedef, "btf_trace_"),
            (ProgramType::TRACING, AttachType::TRACE_ITER) => (Kind::Func, "bpf_iter_"),
            (ProgramType::TRACING, _) => (Kind::Func, ""),
            _ => return None,
        };
        Some(Self { kind, name: format!("{prefix}{name}").into_bytes(), found: None })
    }
}
