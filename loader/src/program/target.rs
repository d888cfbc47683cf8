//! Programs that hang on something by its number in the kernel's BTF: functions, hooks, iterators, tracepoints with types.
//!
//! The number must be known when the program is loaded, since the verifier checks the program against the function's own
//! parameters. The kernel marks what a program may hang on by a prefix of the name: a hook's function is `bpf_lsm_NAME`, an
//! iterator's `bpf_iter_NAME`, a tracepoint is the type `btf_trace_NAME`; functions have their own names. One walk over the
//! kernel's types finds all that an object asks for; only what it leaves open is looked for in the modules' types, whose
//! numbers count on from the kernel's.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use log::debug;

use crate::{
    Error, ProgramType, Target,
    btf::{Btf, Kind, kernel},
    object::ProgramSpec,
    sys::{
        bpf::BtfTarget,
        btf,
        link::attach_type::{LSM_CGROUP, LSM_MAC, TRACE_ITER, TRACE_RAW_TP},
    },
};

/// What the programs of an object hang on in BTF.
#[derive(Debug, Default)]
pub(crate) struct Targets(Vec<Wanted>);

#[derive(Debug)]
struct Wanted {
    kind: Kind,
    /// With the prefix.
    name: Vec<u8>,
    found: Option<Found>,
}

#[derive(Debug)]
struct Found {
    id: u32,
    /// The BTF of the module that the number counts in; `None` for the kernel's own.
    module: Option<OwnedFd>,
}

impl Targets {
    /// Finds what these programs hang on. The kernel's BTF is not touched if none does.
    pub(crate) fn find<'s>(programs: impl Iterator<Item = &'s ProgramSpec>) -> Result<Self, Error> {
        let mut wanted: Vec<_> = programs.filter_map(Wanted::by).collect();
        let Some(first) = wanted.first() else { return Ok(Self::default()) };
        let attempt = format!("find `{}` in the kernel's BTF", String::from_utf8_lossy(&first.name));
        let unfit = |why: String| Error::Unfit { attempt: attempt.clone(), why };
        let bytes = kernel::Bytes::vmlinux().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                unfit("this kernel has none: it needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF".to_owned())
            }
            _ => Error::kernel(attempt.clone(), &error),
        })?;
        let vmlinux = Btf::parse_watching(&bytes, None, |names, seen| {
            look(&mut wanted, seen.kind, seen.id, || names.at(seen.name));
        })
        .map_err(|error| unfit(error.to_string()))?;
        for module in kernel::modules() {
            if wanted.iter().all(|wanted| wanted.found.is_some()) {
                break;
            }
            if let Err(error) = in_module(&mut wanted, &module, &vmlinux) {
                debug!("the types of the module {module} are passed over: {error}");
            }
        }
        Ok(Self(wanted))
    }

    /// What this program hangs on; nothing for most kinds.
    pub(crate) fn of(&self, program: &ProgramSpec) -> Result<BtfTarget<'_>, Error> {
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
                    why: "it replaces a function of another program, and this loader has no way to say of which one"
                        .to_owned(),
                }),
                _ => Ok(BtfTarget::default()),
            };
        };
        let found = self.0.iter().find(|wanted| wanted.kind == mine.kind && wanted.name == mine.name);
        match found.and_then(|wanted| wanted.found.as_ref()) {
            Some(found) => Ok(BtfTarget { id: found.id, of: found.module.as_ref().map(AsFd::as_fd) }),
            None => Err(Error::Unfit {
                attempt: format!("load the program `{}` (`{}`)", program.name, program.section_name),
                why: format!(
                    "neither the kernel's BTF nor its modules' has {} `{}`",
                    if mine.kind == Kind::Func { "a function" } else { "a type" },
                    String::from_utf8_lossy(&mine.name)
                ),
            }),
        }
    }
}

impl Wanted {
    fn by(program: &ProgramSpec) -> Option<Self> {
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

/// Takes down the number of a type that is wanted. Of several of one name the first counts.
fn look<'n>(wanted: &mut [Wanted], kind: Kind, id: u32, name: impl Fn() -> &'n [u8]) -> bool {
    if !matches!(kind, Kind::Func | Kind::Typedef) {
        return false;
    }
    let mut any = false;
    for wanted in wanted.iter_mut().filter(|wanted| wanted.kind == kind && wanted.found.is_none()) {
        if wanted.name == name() {
            wanted.found = Some(Found { id, module: None });
            any = true;
        }
    }
    any
}

fn in_module(wanted: &mut [Wanted], module: &str, vmlinux: &Btf<'_>) -> io::Result<()> {
    let bytes = kernel::Bytes::module(module)?;
    let mut found = Vec::new();
    Btf::parse_watching(&bytes, Some(vmlinux), |names, seen| {
        for (index, wanted) in wanted.iter().enumerate() {
            if wanted.found.is_none() && wanted.kind == seen.kind && wanted.name == names.at(seen.name) {
                found.push((index, seen.id));
            }
        }
    })
    .map_err(|error| io::Error::other(error.to_string()))?;
    for (index, id) in found {
        let module = btf::of_module(module)?;
        if let Some(wanted) = wanted.get_mut(index).filter(|wanted| wanted.found.is_none()) {
            wanted.found = Some(Found { id, module: Some(module) });
        }
    }
    Ok(())
}
