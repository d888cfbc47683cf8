//! The control flow of one instruction: where it jumps to, and how it encodes the distance.
//!
//! Kernel: `Documentation/bpf/standardization/instruction-set.rst`, `kernel/bpf/core.c` (`bpf_adj_branches`).

use cutaway_sys::{Helper, Instruction, instruction::opcode};

/// `BPF_JMP32 | BPF_JA`, the only jump with a distance of 32 bits.
pub(super) const LONG_JUMP: u8 = opcode::JMP32 | opcode::JA;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u8 = opcode::JMP | opcode::JA;
/// `BPF_JMP | BPF_JA | BPF_X`: `gotox`, which jumps to an address from a table (Linux 6.19).
const TABLE_JUMP: u8 = opcode::JMP | opcode::JA | opcode::X;
const EXIT: u8 = opcode::JMP | opcode::EXIT;

/// How an instruction encodes the distance to another instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// The offset field, 16 bits: all jumps but one, and `may_goto`.
    Offset,
    /// The immediate of a jump.
    Immediate,
    /// The immediate of a call of a subprogram (`BPF_PSEUDO_CALL`).
    Call,
    /// The immediate of the load of a subprogram's address (`BPF_PSEUDO_FUNC`).
    Address,
}

/// The next instructions to run after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next instruction.
    Next,
    /// The instruction at this slot.
    Jump(i64),
    /// The next instruction, or the one at this slot.
    Branch(i64),
    /// None: the function returns.
    Exit,
    /// An instruction that a table determines.
    Table,
}

/// Returns the slot that the instruction at `at` refers to, and how it encodes the distance. `None` if it refers to no
/// other instruction. The slot may lie outside the program if the program is malformed.
pub(super) fn reference(at: usize, insn: Instruction) -> Option<(i64, Encoding)> {
    let encoding = match (insn.class(), insn.code) {
        (_, LONG_JUMP) => Encoding::Immediate,
        (_, opcode::JMP_CALL) if insn.src() == opcode::PSEUDO_CALL => Encoding::Call,
        (_, opcode::LD_IMM64) if insn.src() == opcode::PSEUDO_FUNC => Encoding::Address,
        (_, EXIT | TABLE_JUMP) => return None,
        (opcode::JMP | opcode::JMP32, code) if code & 0xf0 != opcode::CALL => Encoding::Offset,
        _ => return None,
    };
    let distance = if encoding == Encoding::Offset { i64::from(insn.offset) } else { i64::from(insn.imm) };
    Some((at as i64 + 1 + distance, encoding))
}

/// Returns which instructions can run after the one at `at`.
pub(super) fn flow(at: usize, insn: Instruction) -> Flow {
    match (insn.code, reference(at, insn)) {
        (EXIT, _) => Flow::Exit,
        (TABLE_JUMP, _) => Flow::Table,
        (JUMP | LONG_JUMP, Some((target, _))) => Flow::Jump(target),
        (_, Some((target, Encoding::Offset))) => Flow::Branch(target),
        _ => Flow::Next,
    }
}

/// Returns whether a helper calls a function of the program while it runs, and passes it a pointer from the caller.
/// `bpf_timer_set_callback` passes none.
///
/// Kernel: `is_sync_callback_calling_function` in `kernel/bpf/verifier.c` (Linux 6.18). The only such kfunc,
/// `bpf_rbtree_add`, passes nodes of the tree.
pub(super) fn calls_back(helper: Helper) -> bool {
    matches!(
        helper,
        Helper::bpf_for_each_map_elem | Helper::bpf_find_vma | Helper::bpf_loop | Helper::bpf_user_ringbuf_drain
    )
}

/// Returns the instructions with their slots. The second slot of a 64-bit load is part of the first.
pub(super) fn by_slot(code: &[Instruction]) -> impl Iterator<Item = (usize, Instruction)> {
    let mut next = 0;
    code.iter().enumerate().filter_map(move |(slot, &insn)| {
        let starts = slot == next;
        if starts {
            next = slot + insn.slots();
        }
        starts.then_some((slot, insn))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn insn(code: u8, src: u8, offset: i16, imm: i32) -> Instruction {
        Instruction::new(code, 0, src, offset, imm)
    }

    #[test]
    fn each_form_of_a_jump_has_its_target() {
        for (given, flow_of, encoding) in [
            (insn(0x05, 0, -3, 9), Flow::Jump(8), Some(Encoding::Offset)),
            (insn(0x06, 0, 9, 70_000), Flow::Jump(70_011), Some(Encoding::Immediate)),
            (insn(0x15, 0, 4, 1), Flow::Branch(15), Some(Encoding::Offset)),
            (insn(0x1e, 1, 4, 1), Flow::Branch(15), Some(Encoding::Offset)),
            (insn(0xe5, 0, 4, 0), Flow::Branch(15), Some(Encoding::Offset)),
            (insn(0x0d, 0, 4, 0), Flow::Table, None),
            (insn(0x95, 0, 0, 0), Flow::Exit, None),
            (insn(0x85, 1, 0, 6), Flow::Next, Some(Encoding::Call)),
            (insn(0x85, 0, 0, 6), Flow::Next, None),
            (insn(0x85, 2, 0, 6), Flow::Next, None),
            (insn(0x18, 4, 0, 6), Flow::Next, Some(Encoding::Address)),
            (insn(0x18, 2, 0, 6), Flow::Next, None),
            (insn(0x07, 0, 5, 6), Flow::Next, None),
        ] {
            assert_eq!((flow(10, given), reference(10, given).map(|(_, form)| form)), (flow_of, encoding), "{given:?}");
        }
    }

    #[test]
    fn second_slot_of_a_load_is_no_instruction() {
        let [first, second] = Instruction::load_imm64(1, 0, 0x15);
        let slots: Vec<_> = by_slot(&[first, second, insn(0x95, 0, 0, 0)]).map(|(slot, _)| slot).collect();
        assert_eq!(slots, [0, 2]);
    }
}
