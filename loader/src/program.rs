//! Programs: through the verifier into the kernel.

mod own_stack;
#[cfg(feature = "tracing")]
mod replace;
mod run;
mod statistics;
mod target;
mod verifier;

pub use run::{Outcome, Run};
pub use statistics::{RunStatistics, Runs};
pub(crate) use target::Targets;

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use log::debug;

#[cfg(feature = "usdt")]
use crate::attach::Specs;
use crate::{
    Error,
    attach::pin,
    btf::shown,
    core_relo::{Applied, unresolved},
    externs::Resolved,
    object::{ProgramSpec, link::Linked},
    privileges,
    probe::{self, charged},
    sys::{
        Errno,
        bpf::{self, Info},
        link::attach_type,
    },
};

/// A program in the kernel, verified and compiled, not yet attached to anything.
#[derive(Debug)]
pub struct Program {
    spec: ProgramSpec,
    program: OwnedFd,
    #[cfg(feature = "usdt")]
    usdt: Option<Arc<Specs>>,
}

/// What all programs of an object share.
pub(crate) struct Shared<'a> {
    pub(crate) license: &'a CStr,
    pub(crate) kernel_version: u32,
    /// What CO-RE made of the instructions, to explain a refusal by it.
    pub(crate) relocated: &'a [Applied],
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// Where in the kernel's BTF those are that hang on something there.
    pub(crate) targets: &'a Targets,
    /// Where programs on USDT find their arguments.
    #[cfg(feature = "usdt")]
    pub(crate) usdt: Option<Arc<Specs>>,
    /// What it has of what programs take from it by name.
    pub(crate) externs: &'a Resolved,
}

/// `BPF_F_SLEEPABLE`
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`
const XDP_HAS_FRAGS: u32 = 1 << 5;

impl Program {
    pub(crate) fn load(mut spec: ProgramSpec, linked: &Linked, shared: &Shared<'_>) -> Result<Self, Error> {
        one_by_one_where_need_be(&mut spec);
        let target = shared.targets.of(&spec)?;
        let asked = |linked: &'_ Linked| -> Result<OwnedFd, Error> {
            let program = bpf::Program {
                program_type: spec.section.program_type,
                expected_attach_type: spec.section.expected_attach_type,
                flags: if spec.section.sleepable { SLEEPABLE } else { 0 }
                    | if spec.section.fragments { XDP_HAS_FRAGS } else { 0 },
                name: &spec.name,
                instructions: &linked.instructions,
                license: shared.license,
                kernel_version: shared.kernel_version,
                btf: shared.btf.map(|fd| Info { fd, func_info: &linked.func_info, line_info: &linked.line_info }),
                target,
                modules: &shared.externs.modules,
            };
            verify(&program, shared)
        };
        let program = match own_stack::kept(spec.section.program_type, linked) {
            Some(kept) => asked(&kept).or_else(|refusal| {
                // A refusal is told of the program as its author wrote it.
                let plain = asked(linked)?;
                own_stack::may_do_without(&spec, &refusal).map(|()| plain)
            })?,
            None => asked(linked)?,
        };
        Ok(Self {
            spec,
            program,
            #[cfg(feature = "usdt")]
            usdt: shared.usdt.clone(),
        })
    }

    /// The function's name in the source; the kernel keeps 15 bytes of it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Where it finds the arguments of a USDT probe, if its object has the maps for it.
    #[cfg(feature = "usdt")]
    pub(crate) fn usdt(&self) -> Option<&Arc<Specs>> {
        self.usdt.as_ref()
    }

    /// Gives the program a name in a BPF file system, such as `/sys/fs/bpf/NAME`, where other programs (`tc`, `ip route`) find
    /// it. It stays in the kernel as long as the file does.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if the kernel refuses: EEXIST if the name is taken, EINVAL or EPERM if the path is in no BPF file
    /// system.
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let attempt = format!("pin the program `{}` at {}", self.name(), path.as_ref().display());
        pin(self.program.as_fd(), path.as_ref(), attempt, "gives the program a name that keeps it alive without us")
    }

    /// How the object described it.
    #[must_use]
    pub fn spec(&self) -> &ProgramSpec {
        &self.spec
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// A program for many places at once hangs on one link, if the kernel has such links, and must be loaded for it. Where there
/// are none it hangs on a perf event for each place, as an ordinary probe.
fn one_by_one_where_need_be(spec: &mut ProgramSpec) {
    let kind = &mut spec.section.expected_attach_type;
    let answer = match *kind {
        attach_type::TRACE_KPROBE_MULTI => probe::kprobe_multi(),
        // A USDT probe is often wanted in one process.
        attach_type::TRACE_UPROBE_MULTI if is_usdt(&spec.section_name) => probe::uprobe_multi_pid(),
        attach_type::TRACE_UPROBE_MULTI => probe::uprobe_multi(),
        _ => return,
    };
    if !answer.is_yes() {
        debug!("`{}` is loaded as an ordinary probe: links on many places at once are {answer}", spec.name);
        *kind = 0;
    }
}

fn is_usdt(section_name: &str) -> bool {
    section_name.trim_start_matches('?').starts_with("usdt")
}

/// Loads a program: first without a log, which is quicker, and on refusal once more with one.
fn verify(program: &bpf::Program<'_>, shared: &Shared<'_>) -> Result<OwnedFd, Error> {
    let error = match charged(&mut || patiently(program, &mut [])) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EACCES | libc::EPERM | libc::E2BIG | libc::ENOENT)) {
        return Err(refused(program, &error));
    }
    let (second, log) = match with_log(program) {
        (Ok(fd), _) => return Ok(fd),
        (Err(error), log) => (error, log),
    };
    match verifier::sentence(&log) {
        Some(sentence) => {
            let relocation = if cfg!(feature = "core-relo") { unresolved(sentence, shared.relocated) } else { None };
            let sentence = match (relocation, shared.externs.missed(sentence)) {
                (Some(relocation), _) => format!("it needs what this kernel does not have: {relocation}"),
                (None, Some(function)) => {
                    format!("it calls the kernel's function `{function}`, which this kernel does not have")
                }
                (None, None) => {
                    let shown = || shown(sentence.as_bytes()).into_owned();
                    privileges::under_lockdown(sentence).unwrap_or_else(shown)
                }
            };
            Err(Error::Verifier { program: program.name.to_owned(), sentence, at: verifier::place(&log), log })
        }
        None => Err(refused(program, &second)),
    }
}

/// The verifier says EAGAIN when a signal interrupts it; a few more times are enough.
fn patiently(program: &bpf::Program<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    const TIMES: u32 = 5;
    let mut answer = bpf::prog_load(program, log, "loads a program: the verifier walks every path through it");
    for _ in 1..TIMES {
        match &answer {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                answer = bpf::prog_load(program, log, "loads the program again: a signal had interrupted the verifier");
            }
            _ => break,
        }
    }
    answer
}

/// Loads with a log, which is as large as it ever gets: the verifier may take seconds, so it must not be asked again for want
/// of room. Memory is only used as far as the kernel writes.
fn with_log(program: &bpf::Program<'_>) -> (io::Result<OwnedFd>, String) {
    const SIZE: usize = 16 << 20;
    let mut log = vec![0; SIZE];
    let answer = patiently(program, &mut log);
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    (answer, String::from_utf8_lossy(text).into_owned())
}

fn refused(program: &bpf::Program<'_>, error: &io::Error) -> Error {
    let attempt = format!("load the program `{}` ({})", program.name, program.program_type);
    let plain = Error::kernel(attempt, error);
    match Errno::of(error).raw() {
        libc::EINVAL => {
            plain.advise("the verifier gives no reason; perhaps this kernel does not know this kind of program")
        }
        libc::E2BIG => plain.advise("it has more instructions than the kernel takes"),
        _ => plain.wanting(privileges::to_load(program.program_type)),
    }
}
