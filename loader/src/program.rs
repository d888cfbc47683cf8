//! Programs: through the verifier into the kernel.

mod explain;
mod private_stack;
mod run;
mod statistics;
mod verifier;
mod verify;

pub use run::{Outcome, Run};
pub use statistics::{RunStatistics, Runs};

#[cfg(feature = "usdt")]
use std::sync::Arc;
use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use log::debug;

use cutaway_sys::AttachType;

#[cfg(feature = "usdt")]
use crate::attach::Specs;
use crate::{
    Error,
    attach::pin,
    features,
    link::Linked,
    object::ProgramSpec,
    resolve::Resolved,
    sys::bpf::{self, BtfTarget, Info},
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
    /// Why the kernel does not take the license for GPL, to explain a refusal by it.
    pub(crate) license_fault: Option<String>,
    pub(crate) kernel_version: u32,
    /// What the kernel has for the object.
    pub(crate) resolved: &'a Resolved,
    pub(crate) btf: Option<BorrowedFd<'a>>,
    /// Where programs on USDT find their arguments.
    #[cfg(feature = "usdt")]
    pub(crate) usdt: Option<Arc<Specs>>,
}

/// `BPF_F_SLEEPABLE`
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`
const XDP_HAS_FRAGS: u32 = 1 << 5;

impl Program {
    /// Loads a program; `replaced` is the function of another program that it replaces, if it replaces one.
    pub(crate) fn load(
        mut spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
    ) -> Result<Self, Error> {
        one_by_one_where_need_be(&mut spec);
        let target = match shared.resolved.struct_ops.member(spec.entry) {
            Some(member) => {
                // The kernel takes the member's index in this place.
                spec.section.expected_attach_type = AttachType(member.index);
                BtfTarget { id: member.structure, of: member.module.as_ref().map(|module| module.as_fd()) }
            }
            None => replaced.map_or_else(|| shared.resolved.targets.of(&spec), Ok)?,
        };
        let kept = private_stack::kept(spec.section.program_type, linked);
        let plain = bpf::Program {
            program_type: spec.section.program_type,
            expected_attach_type: spec.section.expected_attach_type,
            flags: if spec.section.sleepable { SLEEPABLE } else { 0 }
                | if spec.section.fragments { XDP_HAS_FRAGS } else { 0 },
            name: &spec.name,
            instructions: &linked.instructions,
            license: shared.license,
            kernel_version: shared.kernel_version,
            btf: info(shared, linked),
            target,
            modules: &shared.resolved.externs.modules,
        };
        let mut asked = plain;
        if let Some(kept) = &kept {
            (asked.instructions, asked.btf) = (&kept.instructions, info(shared, kept));
        }
        let program = match verify::first(&asked) {
            Ok(program) => program,
            Err(refusal) => {
                // A refusal is told of the program as its author wrote it: that is the one of the second walk.
                let program = refusal.explain(&plain, shared, kept.is_some())?;
                if kept.is_some() {
                    private_stack::may_do_without(&spec, &refusal.told(&plain, shared))?;
                }
                program
            }
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
        AttachType::TRACE_KPROBE_MULTI => features::kprobe_multi(),
        // A USDT probe is often wanted in one process.
        AttachType::TRACE_UPROBE_MULTI if is_usdt(&spec.section_name) => features::uprobe_multi_pid(),
        AttachType::TRACE_UPROBE_MULTI => features::uprobe_multi(),
        _ => return,
    };
    if !answer.is_yes() {
        debug!("`{}` is loaded as an ordinary probe: links on many places at once are {answer}", spec.name);
        *kind = AttachType::default();
    }
}

fn is_usdt(section_name: &str) -> bool {
    section_name.trim_start_matches('?').starts_with("usdt")
}

/// The infos of a program's functions and lines, if the kernel has the object's BTF.
fn info<'a>(shared: &Shared<'a>, linked: &'a Linked) -> Option<Info<'a>> {
    shared.btf.map(|fd| Info { fd, func_info: &linked.func_info, line_info: &linked.line_info })
}
