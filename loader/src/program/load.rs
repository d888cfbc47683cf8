//! Loads a program: the verifier checks it, the kernel compiles it (`BPF_PROG_LOAD`).

use std::os::fd::AsFd;

use log::debug;

use cutaway_sys::AttachType;

#[cfg(feature = "load-options")]
use super::LogLevel;
use super::{Program, Shared, Warnings, private_stack, verify};
use crate::{
    Error,
    features::{self, Support},
    link::Linked,
    object::ProgramSpec,
    sys::bpf::{self, BtfTarget, Info, SLEEPABLE},
    token::Tokens,
};

/// `BPF_F_XDP_HAS_FRAGS`
const XDP_HAS_FRAGS: u32 = 1 << 5;

impl Program {
    /// Loads a program. `replaced` is the function of another program that it replaces, if any. `warnings` gets the
    /// messages for the log: the caller logs them in the order of the programs, whichever thread has loaded them.
    pub(crate) fn load(
        spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
        warnings: &mut Warnings,
    ) -> Result<Self, Error> {
        Self::load_in(spec, linked, shared, replaced, Some(warnings))
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
        Self::load_in(spec, linked, shared, replaced, None)
    }

    fn load_in(
        mut spec: ProgramSpec,
        linked: &Linked,
        shared: &Shared<'_>,
        replaced: Option<BtfTarget<'_>>,
        warnings: Option<&mut Warnings>,
    ) -> Result<Self, Error> {
        let target = match shared.resolved.struct_ops.member(spec.entry) {
            Some(member) => {
                // For struct_ops programs, `expected_attach_type` is the index of the member.
                spec.section.expected_attach_type = AttachType(member.index);
                BtfTarget { id: member.structure, of: member.module.as_ref().map(|module| module.as_fd()) }
            }
            None => replaced.map_or_else(|| shared.resolved.targets.of(&spec), Ok)?,
        };
        let prefixed = private_stack::prefixed(spec.section.program_type, linked);
        #[cfg_attr(not(feature = "load-options"), expect(unused_mut, reason = "no maps are bound"))]
        let mut plain = bpf::Program {
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
            #[cfg(feature = "load-options")]
            bound: shared.bound,
        };
        let mut asked = plain;
        if let Some(prefixed) = &prefixed {
            (asked.instructions, asked.btf) = (&prefixed.instructions, info(shared, prefixed));
        }
        #[cfg(feature = "load-options")]
        let level = shared.log.map_or(bpf::LogLevel::Reason, LogLevel::kernels);
        #[cfg(not(feature = "load-options"))]
        let level = bpf::LogLevel::Reason;
        let accepted = match verify::first(&mut asked, level, shared.tokens) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                #[cfg(feature = "load-options")]
                {
                    plain.bound = asked.bound;
                }
                let Some(warnings) = warnings else { return Err(refusal.without_location(&plain, shared)) };
                // The error is about the program as its author wrote it, which is the one of the second load.
                let accepted = refusal.explain(&plain, shared, prefixed.is_some())?;
                if prefixed.is_some() {
                    private_stack::allow_unprefixed(&spec, &refusal.without_location(&plain, shared), warnings)?;
                }
                accepted
            }
        };
        // The kernel takes such maps while it loads a program only since 6.14.
        #[cfg(feature = "load-options")]
        let binds = !shared.bound.is_empty() && asked.bound.is_empty();
        let loaded = Self::new(
            spec,
            accepted.program,
            #[cfg(feature = "usdt")]
            shared.usdt.clone(),
        );
        #[cfg(feature = "load-options")]
        if binds {
            loaded.bind(shared.bound)?;
        }
        #[cfg(feature = "load-options")]
        if shared.log.is_some() {
            return Ok(loaded.with_log(accepted.log));
        }
        Ok(loaded)
    }
}

/// Chooses how a program will be attached to many functions. For a single link it must be loaded with that attach type.
/// On kernels without such links it is loaded as an ordinary probe, which takes a perf event for each function.
pub(crate) fn choose_attach_method(spec: &mut ProgramSpec, tokens: &Tokens<'_>) {
    let kind = &mut spec.section.expected_attach_type;
    let answer = match *kind {
        AttachType::TRACE_KPROBE_MULTI => Support::probed_or_since(|| features::kprobe_multi_with(tokens), 5, 18),
        // USDT probes are often restricted to one process.
        AttachType::TRACE_UPROBE_MULTI if is_usdt(&spec.section_name) => {
            Support::probed_or_since(|| features::uprobe_multi_pid_with(tokens), 6, 10)
        }
        AttachType::TRACE_UPROBE_MULTI => Support::probed_or_since(|| features::uprobe_multi_with(tokens), 6, 6),
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
