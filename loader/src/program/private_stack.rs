//! Prevents a uprobe's program from sharing a private stack with itself.
//!
//! Since Linux 6.13 the x86 JIT (arm64's since 6.17) gives a program of this type a private stack on each CPU, if it
//! uses 64 bytes of stack or more. The JIT assumes that such a program never runs twice at once on one CPU, which is
//! true for kprobes. A uprobe's program can be preempted, and another thread then runs the same program on the same
//! stack. Keys and arguments of one call then overwrite those of another, without an error. On a preemptible 7.3 with
//! eight threads this affects one call in fifty.
//!
//! Programs with tail calls get no private stack (`check_max_stack_depth` in `kernel/bpf/verifier.c`), and the kernel
//! checks for tail calls before it removes unreachable code. So the program is prefixed with an unreachable tail call:
//!
//! ```text
//!     r5 = 0
//!     if r5 == 0 goto +1
//!     call bpf_tail_call
//!     …                      the program
//! ```
//!
//! The verifier never reaches the call and removes it; one instruction of the prefix remains in the machine code. With
//! the prefix the verifier cannot detect a read of the uninitialized register 5, which a program is least likely to
//! read by mistake.
//!
//! The verifier may refuse a program with this prefix that it accepts without. (No such program is known: exceptions,
//! which cannot be combined with tail calls everywhere, cannot be thrown from a probe.) If the kernel is known to
//! preempt programs, such a program is refused, because mixing up calls is worse than not running. Otherwise it is
//! loaded without the prefix.

use std::{fs, io};

use cutaway_sys::Instruction;
#[cfg(feature = "uprobe")]
use cutaway_sys::mount;

use super::shared::Warnings;
use crate::{Error, ProgramType, link::Linked, object::ProgramSpec, sys::process};

/// The first kernel with private stacks.
const SINCE: u32 = 6 << 16 | 13 << 8;

/// Returns the program with the prefix, if it must be loaded with it.
pub(super) fn prefixed(program_type: ProgramType, linked: &Linked) -> Option<Linked> {
    let shares = program_type == ProgramType::KPROBE && process::kernel_version().is_ok_and(|version| version >= SINCE);
    shares.then(|| with_unreachable_tail_call(linked))
}

/// Decides whether a program may run without the prefix, after it was refused with the prefix (`refusal`) and accepted
/// without. Adds a warning to `warnings` if it may share its stack.
pub(super) fn allow_unprefixed(spec: &ProgramSpec, refusal: &Error, warnings: &mut Warnings) -> Result<(), Error> {
    // A kprobe's program is never preempted by itself.
    if !["uprobe", "uretprobe", "usdt"].iter().any(|kind| spec.section_name.trim_start_matches('?').starts_with(kind)) {
        return Ok(());
    }
    let has_such_stacks = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    // A build that cannot attach to uprobes does not check further.
    let interrupted = spec.section.sleepable
        || !cfg!(feature = "uprobe")
        || is_preemptible(&process::build().unwrap_or_default(), &preemption());
    if !has_such_stacks || !interrupted {
        warnings.add(format_args!(
            "`{}` may share its stack with itself, if this kernel interrupts it in the middle",
            spec.name
        ));
        return Ok(());
    }
    Err(Error::Invalid {
        operation: format!("load the program `{}` ({})", spec.name, spec.section.program_type),
        why: format!(
            "this kernel may interrupt it and run it for another thread on the same stack, so that the values of one call become \
             those of the other; the loader's work-around is refused here ({refusal}): let the program make a tail \
             call, or keep its values in a map"
        ),
    })
}

/// Returns the kernel's preemption mode from debugfs; empty if it cannot be read.
fn preemption() -> String {
    fs::read_to_string("/sys/kernel/debug/sched/preempt").or_else(|_| unmounted_preemption()).unwrap_or_default()
}

/// Does the same if debugfs is not mounted.
#[cfg(feature = "uprobe")]
fn unmounted_preemption() -> io::Result<String> {
    mount::read(c"debugfs", c"sched/preempt", "reads whether this kernel preempts programs")
}

/// Returns an error: the smallest builds cannot attach to probes.
#[cfg(not(feature = "uprobe"))]
fn unmounted_preemption() -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

/// Returns true if the kernel is known to preempt a program for another thread. `kernel` is the output of `uname -v`.
/// `setting` is the current mode of kernels with several modes, e.g. `none voluntary (full) lazy`.
fn is_preemptible(kernel: &str, setting: &str) -> bool {
    let chosen = setting.contains("(full)") || setting.contains("(lazy)");
    kernel.contains("PREEMPT") && (chosen || !kernel.contains("PREEMPT_DYNAMIC"))
}

fn with_unreachable_tail_call(linked: &Linked) -> Linked {
    /// `BPF_ALU64 | BPF_MOV | BPF_K`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_JMP | BPF_CALL`
    const PREFIX: [(u8, u8, i16, i32); 3] = [(0xb7, 5, 0, 0), (0x15, 5, 1, 0), (0x85, 0, 0, BPF_FUNC_TAIL_CALL)];
    const BPF_FUNC_TAIL_CALL: i32 = 12;
    let mut instructions =
        PREFIX.map(|(code, register, off, imm)| Instruction::new(code, register, 0, off, imm)).to_vec();
    instructions.extend_from_slice(&linked.instructions);
    let (func_info, line_info) = (linked.func_info.clone(), linked.line_info.clone());
    let mut prefixed = Linked { instructions, func_info, line_info, functions: linked.functions.clone() };
    // Entries for the program's first instruction (0) now mean the prefix; distances between instructions do not
    // change.
    let infos = prefixed.func_info.iter_mut().map(|info| &mut info.insn_off);
    let lines = prefixed.line_info.iter_mut().map(|info| &mut info.insn_off);
    for index in infos.chain(lines).filter(|index| **index != 0) {
        *index += PREFIX.len() as u32;
    }
    for (_, index) in prefixed.functions.iter_mut().filter(|(_, index)| *index != 0) {
        *index += PREFIX.len();
    }
    prefixed
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
    fn preemptible_kernels_are_recognized() {
        assert!(is_preemptible("#1 SMP PREEMPT Debian 6.13", ""));
        assert!(is_preemptible("#1 SMP PREEMPT_RT 6.13", "(full)"));
        assert!(is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "none voluntary (full) lazy\n"));
        assert!(is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "full (lazy)\n"));
        assert!(!is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", "none (voluntary) full\n"));
        assert!(!is_preemptible("#1 SMP PREEMPT_DYNAMIC @0", ""));
        assert!(!is_preemptible("#1 SMP @0", ""));
    }

    #[test]
    fn prefix_is_first_and_the_rest_unchanged() {
        let exit = Instruction::new(0x95, 0, 0, 0, 0);
        let line = |insn_off| bpf_line_info { insn_off, file_name_off: 1, line_off: 2, line_col: 3 };
        let linked = Linked {
            instructions: vec![exit; 2],
            func_info: vec![bpf_func_info { insn_off: 0, type_id: 7 }, bpf_func_info { insn_off: 1, type_id: 8 }],
            line_info: vec![line(0), line(1)],
            functions: vec![((FIRST, 0), 0), ((SECOND, 0), 1)],
        };
        let prefixed = with_unreachable_tail_call(&linked);
        let codes: Vec<_> = prefixed.instructions.iter().map(|insn| (insn.code, insn.offset, insn.imm)).collect();
        assert_eq!(codes, [(0xb7, 0, 0), (0x15, 1, 0), (0x85, 0, 12), (0x95, 0, 0), (0x95, 0, 0)]);
        assert_eq!(
            prefixed.func_info.iter().map(|info| (info.insn_off, info.type_id)).collect::<Vec<_>>(),
            [(0, 7), (4, 8)]
        );
        assert_eq!(prefixed.line_info.iter().map(|info| info.insn_off).collect::<Vec<_>>(), [0, 4]);
        assert_eq!(prefixed.functions, [((FIRST, 0), 0), ((SECOND, 0), 4)]);
    }
}
