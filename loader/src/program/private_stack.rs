//! Keeps a uprobe's program off the stack that it would share with itself.
//!
//! Since Linux 6.13 the x86 JIT (arm64's since 6.17) gives a program of this type, if it uses 64 bytes of stack or
//! more, a stack of its own for each CPU, counting on it that such a program never runs twice at once on one CPU. That
//! is true of kprobes. A uprobe's program can be preempted, and another thread then runs the same program on the same
//! stack: keys and arguments of one call become those of another, without an error. On a preemptible 7.3 with eight
//! threads it is one call in fifty.
//!
//! Programs with tail calls get no such stack (`check_max_stack_depth` in kernel/bpf/verifier.c), and the kernel looks
//! for them before it throws out what cannot be reached. So there is one in front that cannot be:
//!
//! ```text
//!     r5 = 0
//!     if r5 == 0 goto +1
//!     call bpf_tail_call
//!     …                      the program
//! ```
//!
//! The verifier never walks the call and removes it; what is left of this in the machine code is one instruction.
//! Register 5 is the one that a program is least likely to read by mistake before it writes it, which the verifier
//! cannot notice any more.
//!
//! There may be programs that the verifier takes as they are and refuses behind this front. (None is known: exceptions,
//! which do not go with tail calls everywhere, cannot be thrown from a probe.) Where the kernel is known to interrupt
//! them they are refused, since one that mixes up its calls is worse than none; anywhere else they are loaded as they
//! are.

use std::{fs, io};

use log::warn;

use cutaway_sys::Instruction;
#[cfg(feature = "uprobe")]
use cutaway_sys::mount;

use crate::{Error, ProgramType, link::Linked, object::ProgramSpec, sys::process};

/// The first kernel with stacks for each CPU.
const SINCE: u32 = 6 << 16 | 13 << 8;

/// The program as it must be loaded, if it must be another one.
pub(super) fn kept(program_type: ProgramType, linked: &Linked) -> Option<Linked> {
    let shares = program_type == ProgramType::KPROBE && process::kernel_version().is_ok_and(|version| version >= SINCE);
    shares.then(|| behind_a_tail_call(linked))
}

/// For a program that was refused behind the front, by `refusal`, and is taken without it: whether it may run like
/// that.
pub(super) fn may_do_without(spec: &ProgramSpec, refusal: &Error) -> Result<(), Error> {
    // A kprobe program is never interrupted by itself.
    if !["uprobe", "uretprobe", "usdt"].iter().any(|kind| spec.section_name.trim_start_matches('?').starts_with(kind)) {
        return Ok(());
    }
    let has_such_stacks = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    // A build that cannot attach to uprobes does not look closer.
    let interrupted = spec.section.sleepable
        || !cfg!(feature = "uprobe")
        || is_preemptible(&process::build().unwrap_or_default(), &preemption());
    if !has_such_stacks || !interrupted {
        warn!("`{}` may share its stack with itself, if this kernel interrupts it in the middle", spec.name);
        return Ok(());
    }
    Err(Error::Invalid {
        operation: format!("load the program `{}` ({})", spec.name, spec.section.program_type),
        why: format!(
            "this kernel may interrupt it and run it for another thread on the same stack, so that the values of one call become \
             those of the other; what this loader does against that is refused here ({refusal}): let the program make a tail \
             call, or keep its values in a map"
        ),
    })
}

/// Returns what the kernel says of its preemption, from debugfs; empty if it cannot be read.
fn preemption() -> String {
    fs::read_to_string("/sys/kernel/debug/sched/preempt").or_else(|_| unmounted_preemption()).unwrap_or_default()
}

/// The same where debugfs is not mounted.
#[cfg(feature = "uprobe")]
fn unmounted_preemption() -> io::Result<String> {
    use std::{io::Read, os::fd::AsFd};
    let directory = mount::private(c"debugfs", "opens debugfs, which is not mounted, by a mount of our own")?;
    let mut text = String::new();
    let why = "asks whether this kernel interrupts programs";
    mount::open_below(directory.as_fd(), c"sched/preempt", why)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The smallest builds have no probes to ask for.
#[cfg(not(feature = "uprobe"))]
fn unmounted_preemption() -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

/// Whether the kernel is known to interrupt a program in the middle for another thread. `kernel` is what `uname -v`
/// prints; `setting` says for those that can do both what they do, e.g. `none voluntary (full) lazy`.
fn is_preemptible(kernel: &str, setting: &str) -> bool {
    let chosen = setting.contains("(full)") || setting.contains("(lazy)");
    kernel.contains("PREEMPT") && (chosen || !kernel.contains("PREEMPT_DYNAMIC"))
}

fn behind_a_tail_call(linked: &Linked) -> Linked {
    /// `BPF_ALU64 | BPF_MOV | BPF_K`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_JMP | BPF_CALL`
    const FRONT: [(u8, u8, i16, i32); 3] = [(0xb7, 5, 0, 0), (0x15, 5, 1, 0), (0x85, 0, 0, BPF_FUNC_TAIL_CALL)];
    const BPF_FUNC_TAIL_CALL: i32 = 12;
    let mut instructions =
        FRONT.map(|(code, register, off, imm)| Instruction::new(code, register, 0, off, imm)).to_vec();
    instructions.extend_from_slice(&linked.instructions);
    let (func_info, line_info) = (linked.func_info.clone(), linked.line_info.clone());
    let mut kept = Linked { instructions, func_info, line_info, functions: linked.functions.clone() };
    // What says where the program itself starts says so of the front; distances between instructions stay what they
    // are.
    let infos = kept.func_info.iter_mut().map(|info| &mut info.insn_off);
    let lines = kept.line_info.iter_mut().map(|info| &mut info.insn_off);
    for index in infos.chain(lines).filter(|index| **index != 0) {
        *index += FRONT.len() as u32;
    }
    for (_, index) in kept.functions.iter_mut().filter(|(_, index)| *index != 0) {
        *index += FRONT.len();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        elf::SectionIndex,
        sys::func_info::{bpf_func_info, bpf_line_info},
    };

    const FIRST: SectionIndex = SectionIndex::in_no_file(1);
    const SECOND: SectionIndex = SectionIndex::in_no_file(2);

    #[test]
    fn a_kernel_that_does_not_interrupt_programs_is_told_by_what_it_says_of_itself() {
        assert!(is_preemptible("#1 SMP PREEMPT Debian 6.13", ""));
        assert!(is_preemptible("#1 SMP PREEMPT_RT 6.13", "(full)"));
        assert!(is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "none voluntary (full) lazy\n"));
        assert!(is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "full (lazy)\n"));
        assert!(!is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "none (voluntary) full\n"));
        assert!(!is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", ""));
        assert!(!is_preemptible("#1 SMP @0", ""));
    }

    #[test]
    fn the_front_is_first_and_the_rest_as_it_was() {
        let exit = Instruction::new(0x95, 0, 0, 0, 0);
        let line = |insn_off| bpf_line_info { insn_off, file_name_off: 1, line_off: 2, line_col: 3 };
        let linked = Linked {
            instructions: vec![exit; 2],
            func_info: vec![bpf_func_info { insn_off: 0, type_id: 7 }, bpf_func_info { insn_off: 1, type_id: 8 }],
            line_info: vec![line(0), line(1)],
            functions: vec![((FIRST, 0), 0), ((SECOND, 0), 1)],
        };
        let kept = behind_a_tail_call(&linked);
        let codes: Vec<_> = kept.instructions.iter().map(|insn| (insn.code, insn.offset, insn.imm)).collect();
        assert_eq!(codes, [(0xb7, 0, 0), (0x15, 1, 0), (0x85, 0, 12), (0x95, 0, 0), (0x95, 0, 0)]);
        assert_eq!(
            kept.func_info.iter().map(|info| (info.insn_off, info.type_id)).collect::<Vec<_>>(),
            [(0, 7), (4, 8)]
        );
        assert_eq!(kept.line_info.iter().map(|info| info.insn_off).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(kept.functions, [((FIRST, 0), 0), ((SECOND, 0), 4)]);
    }
}
