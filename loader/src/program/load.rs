//! Loads a program: the verifier checks it, the kernel compiles it (`BPF_PROG_LOAD`).

use std::os::fd::AsFd;

use log::debug;

use cutaway_sys::AttachType;

use super::{Program, Shared, private_stack, verify};
use crate::{
    Error, features,
    link::Linked,
    object::ProgramSpec,
    sys::bpf::{self, BtfTarget, Info},
    token::Tokens,
};

/// `BPF_F_SLEEPABLE`
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`
const XDP_HAS_FRAGS: u32 = 1 << 5;

impl Program {
    /// Loads a program. `replaced` is the function of another program that it replaces, if any.
    pub(crate) fn load(
        spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
    ) -> Result<Self, Error> {
        Self::load_in(spec, linked, shared, replaced, true)
    }

    /// Loads a program into which this crate has inserted instructions. The verifier is asked once: a refusal names its
    /// reason, but not where, because the caller loads the program without the insertions next.
    #[cfg(feature = "instrument")]
    pub(crate) fn load_once(
        spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
    ) -> Result<Self, Error> {
        Self::load_in(spec, linked, shared, replaced, false)
    }

    fn load_in(
        mut spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
        explains: bool,
    ) -> Result<Self, Error> {
        choose_attach_method(&mut spec, shared.tokens);
        let target = match shared.resolved.struct_ops.member(spec.entry) {
            Some(member) => {
                // For struct_ops programs, `expected_attach_type` is the index of the member.
                spec.section.expected_attach_type = AttachType(member.index);
                BtfTarget { id: member.structure, of: member.module.as_ref().map(|module| module.as_fd()) }
            }
            None => replaced.map_or_else(|| shared.resolved.targets.of(&spec), Ok)?,
        };
        let prefixed = private_stack::prefixed(spec.section.program_type, linked);
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
        if let Some(prefixed) = &prefixed {
            (asked.instructions, asked.btf) = (&prefixed.instructions, info(shared, prefixed));
        }
        let program = match verify::first(&asked, shared.tokens) {
            Ok(program) => program,
            Err(refusal) if cfg!(feature = "instrument") && !explains => {
                return Err(refusal.without_location(&plain, shared));
            }
            Err(refusal) => {
                // The error is about the program as its author wrote it, which is the one of the second load.
                let program = refusal.explain(&plain, shared, prefixed.is_some())?;
                if prefixed.is_some() {
                    private_stack::allow_unprefixed(&spec, &refusal.without_location(&plain, shared))?;
                }
                program
            }
        };
        Ok(Self::new(
            spec,
            program,
            #[cfg(feature = "usdt")]
            shared.usdt.clone(),
        ))
    }
}

/// Chooses how a program will be attached to many functions. For a single link it must be loaded with that attach type.
/// On kernels without such links it is loaded as an ordinary probe, which takes a perf event for each function.
fn choose_attach_method(spec: &mut ProgramSpec, tokens: &Tokens<'_>) {
    let kind = &mut spec.section.expected_attach_type;
    let answer = match *kind {
        AttachType::TRACE_KPROBE_MULTI => features::kprobe_multi_with(tokens).or_since(5, 18),
        // USDT probes are often restricted to one process.
        AttachType::TRACE_UPROBE_MULTI if is_usdt(&spec.section_name) => {
            features::uprobe_multi_pid_with(tokens).or_since(6, 10)
        }
        AttachType::TRACE_UPROBE_MULTI => features::uprobe_multi_with(tokens).or_since(6, 6),
        _ => return,
    };
    if !answer.is_yes() {
        debug!("`{}` is loaded as an ordinary probe: links on many attach points at once are {answer}", spec.name);
        *kind = AttachType::default();
    }
}

fn is_usdt(section_name: &str) -> bool {
    section_name.trim_start_matches('?').starts_with("usdt")
}

/// Returns the func_info and line_info of a program, if the kernel has the object's BTF.
fn info<'a>(shared: &Shared<'a>, linked: &'a Linked) -> Option<Info<'a>> {
    shared.btf.map(|fd| Info { fd, func_info: &linked.func_info, line_info: &linked.line_info })
}
