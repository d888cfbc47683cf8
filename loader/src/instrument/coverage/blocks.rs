//! The basic blocks of a function: runs of instructions that control enters only at the first.
//!
//! If the first instruction of a block runs, the others run too, with one exception: an instruction can end the
//! program. Such an instruction ends its block, so that a mark on the next block shows whether control came back.
//!
//! ```text
//!     0: r6 = r1               block 0
//!     1: call 14
//!     2: if r0 == 0 goto +2
//!     ─────────────────────────────────
//!     3: r1 = r6               block 1      a called function may throw an exception
//!     4: call +9
//!     ─────────────────────────────────
//!     5: r6 += 8               block 2
//!     ─────────────────────────────────
//!     6: r0 = 0                block 3      the target of the jump at 2
//!     7: exit
//! ```

use cutaway_sys::{Instruction, instruction::opcode};

use crate::instrument::code::{Flow, by_slot, flow};

/// `BPF_FUNC_tail_call`: does not return if it succeeds.
const TAIL_CALL: i32 = 12;

/// A basic block. Slots are counted from the function's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::instrument) struct Block {
    /// The slot of the first instruction.
    pub(in crate::instrument) start: usize,
    /// The slot after the last instruction.
    pub(in crate::instrument) end: usize,
    /// The indices of the blocks that can run next, ascending, each once.
    pub(in crate::instrument) successors: Vec<usize>,
    /// Control may leave the function here without reaching a successor: by a return, a tail call, an exception or the
    /// end of the program.
    pub(in crate::instrument) leaves: bool,
}

/// Returns the basic blocks of a function, ascending, or the reason why they are unknown. The first block is the entry.
pub(super) fn blocks(code: &[Instruction]) -> Result<Vec<Block>, String> {
    let flows: Vec<_> = by_slot(code).map(|(slot, insn)| (slot, insn, flow(slot, insn))).collect();
    let starts = starts(code, &flows)?;
    let index_of = |slot: usize| starts.binary_search(&slot).map_err(|_| outside(slot, slot as i64));
    let mut blocks: Vec<_> = starts
        .iter()
        .zip(starts.iter().skip(1).copied().chain([code.len()]))
        .map(|(&start, end)| Block { start, end, successors: Vec::new(), leaves: false })
        .collect();
    let mut left = flows.into_iter().peekable();
    for (index, block) in blocks.iter_mut().enumerate() {
        let mut last = None;
        while let Some(next) = left.next_if(|(slot, ..)| *slot < block.end) {
            last = Some(next);
        }
        let Some((slot, insn, flow)) = last else { continue };
        block.leaves = can_leave(insn);
        let falls_through = !matches!(flow, Flow::Jump(_) | Flow::Exit);
        if falls_through {
            if block.end == code.len() {
                return Err(format!("control runs past its last instruction, {slot}"));
            }
            block.successors.push(index + 1);
        }
        if let Flow::Jump(target) | Flow::Branch(target) = flow {
            block.successors.push(index_of(usize::try_from(target).map_err(|_| outside(slot, target))?)?);
        }
        block.successors.sort_unstable();
        block.successors.dedup();
    }
    Ok(blocks)
}

/// Returns for each block the blocks after which it can run, ascending.
pub(super) fn predecessors(blocks: &[Block]) -> Vec<Vec<usize>> {
    let mut predecessors = vec![Vec::new(); blocks.len()];
    for (index, block) in blocks.iter().enumerate() {
        for &successor in &block.successors {
            if let Some(predecessors) = predecessors.get_mut(successor) {
                predecessors.push(index);
            }
        }
    }
    predecessors
}

/// Returns the first slots of all blocks, ascending.
fn starts(code: &[Instruction], flows: &[(usize, Instruction, Flow)]) -> Result<Vec<usize>, String> {
    if flows.is_empty() {
        return Err("it has no instructions".to_owned());
    }
    let mut starts = vec![0];
    for &(slot, insn, flow) in flows {
        let next = slot + insn.slots();
        if next > code.len() {
            return Err(format!("instruction {slot} is a 64-bit load without its second half"));
        }
        match flow {
            Flow::Table => return Err(format!("instruction {slot} jumps to an address from a table")),
            Flow::Next if !can_leave(insn) => continue,
            Flow::Next | Flow::Exit => {}
            Flow::Jump(target) | Flow::Branch(target) => {
                let known = usize::try_from(target).ok();
                let known = known.and_then(|target| flows.binary_search_by_key(&target, |(slot, ..)| *slot).ok());
                let (start, ..) = known.and_then(|index| flows.get(index)).ok_or_else(|| outside(slot, target))?;
                starts.push(*start);
            }
        }
        if next < code.len() {
            starts.push(next);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    Ok(starts)
}

fn outside(slot: usize, target: i64) -> String {
    format!("instruction {slot} jumps to {target}, where none of its instructions begins")
}

/// Returns whether the function may end at this instruction.
///
/// - A subprogram may throw an exception (Linux 6.7), also one whose address is in a register (`callx`). Any kfunc may
///   be `bpf_throw`: relocations name kfuncs, and an instruction alone does not.
/// - A legacy packet load ends the program if the packet is too short (`bpf_gen_ld_abs` in `net/core/filter.c`).
fn can_leave(insn: Instruction) -> bool {
    match insn.class() {
        opcode::JMP if insn.is_call() => insn.src() != 0 || insn.imm == TAIL_CALL,
        opcode::JMP => matches!(insn.code & 0xf0, opcode::EXIT | opcode::CALL),
        opcode::LD => matches!(insn.code & 0xe0, opcode::ABS | opcode::IND),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: Instruction = insn(0x95, 0, 0, 0);
    const MOVE: Instruction = insn(0xb7, 0, 0, 0);

    const fn insn(code: u8, src: u8, offset: i16, imm: i32) -> Instruction {
        Instruction::new(code, 0, src, offset, imm)
    }

    fn block(start: usize, end: usize, successors: &[usize], leaves: bool) -> Block {
        Block { start, end, successors: successors.to_vec(), leaves }
    }

    /// The function in the head comment of this file.
    #[test]
    fn blocks_begin_at_jump_targets_and_after_instructions_that_may_leave() {
        let [first, second] = [insn(0x15, 0, 2, 0), insn(0x85, 1, 0, 9)];
        let code = [MOVE, insn(0x85, 0, 0, 14), insn(0x15, 0, 3, 0), MOVE, second, MOVE, MOVE, EXIT];
        let expected = [block(0, 3, &[1, 3], false), block(3, 5, &[2], true), block(5, 6, &[3], false)];
        let all = blocks(&code).unwrap();
        assert_eq!(all[..3], expected);
        assert_eq!(all[3..], [block(6, 8, &[], true)]);
        let nearer = [MOVE, insn(0x85, 0, 0, 14), first, MOVE, EXIT, MOVE, EXIT];
        let expected = [block(0, 3, &[1, 2], false), block(3, 5, &[], true), block(5, 7, &[], true)];
        assert_eq!(blocks(&nearer).unwrap(), expected);
    }

    #[test]
    fn each_instruction_that_may_leave_ends_its_block() {
        for (last, leaves) in [
            (insn(0x85, 0, 0, 12), true),
            (insn(0x85, 0, 0, 13), false),
            (insn(0x85, 1, 0, 12), true),
            (insn(0x85, 2, 0, 12), true),
            (insn(0x8d, 0, 0, 0), true),
            (insn(0x20, 0, 0, 12), true),
            (insn(0x28, 0, 0, 12), true),
            (insn(0x50, 1, 0, 12), true),
            (insn(0xdb, 1, 0, 12), false),
        ] {
            let all = blocks(&[MOVE, last, EXIT]).unwrap();
            let expected = [block(0, 2, &[1], true), block(2, 3, &[], true)];
            assert_eq!(all, if leaves { expected.to_vec() } else { vec![block(0, 3, &[], true)] }, "{last:?}");
        }
    }

    #[test]
    fn both_ways_of_a_branch_may_lead_to_the_same_block() {
        let all = blocks(&[insn(0x15, 0, 0, 0), insn(0xe5, 0, -2, 0), EXIT]).unwrap();
        assert_eq!(all, [block(0, 1, &[1], false), block(1, 2, &[0, 2], false), block(2, 3, &[], true)]);
    }

    #[test]
    fn unreachable_code_is_a_block() {
        let all = blocks(&[insn(0x06, 0, 0, 1), MOVE, EXIT]).unwrap();
        assert_eq!(all, [block(0, 1, &[2], false), block(1, 2, &[2], false), block(2, 3, &[], true)]);
    }

    #[test]
    fn unknown_control_flow_has_a_reason() {
        let [first, second] = Instruction::load_imm64(0, 0, 7);
        for (code, reason) in [
            (vec![], "it has no instructions"),
            (vec![MOVE], "control runs past its last instruction, 0"),
            (vec![MOVE, first, second], "control runs past its last instruction, 1"),
            (vec![insn(0x15, 0, -1, 0)], "control runs past its last instruction, 0"),
            (vec![EXIT, first], "instruction 1 is a 64-bit load without its second half"),
            (vec![MOVE, insn(0x0d, 0, 0, 0), EXIT], "instruction 1 jumps to an address from a table"),
            (vec![insn(0x05, 0, 1, 0), EXIT], "instruction 0 jumps to 2, where none of its instructions begins"),
            (vec![insn(0x05, 0, -2, 0), EXIT], "instruction 0 jumps to -1, where none of its instructions begins"),
            (
                vec![insn(0x06, 0, 0, i32::MAX)],
                "instruction 0 jumps to 2147483648, where none of its instructions begins",
            ),
            (
                vec![insn(0x15, 0, 1, 0), first, second, EXIT],
                "instruction 0 jumps to 2, where none of its instructions begins",
            ),
        ] {
            assert_eq!(blocks(&code).unwrap_err(), reason, "{code:?}");
        }
    }
}
