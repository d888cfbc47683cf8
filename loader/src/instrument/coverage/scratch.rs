//! A stack slot that a function does not use, for a register that a mark saves.

use cutaway_sys::{Helper, Instruction, instruction::opcode};

use super::{
    blocks::Block,
    liveness::{Effects, Liveness, Registers},
};
use crate::instrument::code::{by_slot, calls_back};

/// The frame pointer.
const R10: u8 = 10;
/// `MAX_BPF_STACK`: the size of the stack in bytes.
const MAX_STACK: i64 = 512;
/// `BPF_ALU64 | BPF_MOV | BPF_X`
const MOVE: u8 = opcode::ALU64 | opcode::MOV | opcode::X;
/// `BPF_ALU64 | BPF_ADD | BPF_K`
const ADD: u8 = opcode::ALU64 | opcode::ADD | opcode::K;

/// Returns the offset from r10 of 8 bytes on the stack that the function does not use. Returns `None` if the stack is
/// full, or if it is unknown which part the function uses.
///
/// The part is known if all addresses on the stack have a constant offset from r10, and end in accesses or as arguments
/// of helpers and kfuncs. These access nothing below the address. A subprogram may do so, and a callback to which a
/// helper passes the address. The function may have the callback's address as a parameter.
pub(super) fn free_slot(code: &[Instruction], blocks: &[Block], liveness: &Liveness) -> Option<i16> {
    let takes_callback = |insn: Instruction| insn.is_load_imm64() && insn.src() == opcode::PSEUDO_FUNC;
    if by_slot(code).any(|(_, insn)| takes_callback(insn)) {
        return None;
    }
    let mut lowest = 0;
    let mut left = by_slot(code).peekable();
    for block in blocks {
        let mut addresses = Addresses::default();
        while let Some((_, insn)) = left.next_if(|(slot, _)| *slot < block.end) {
            lowest = addresses.step(insn)?.map_or(lowest, |used| used.min(lowest));
        }
        let starts = block.successors.iter().filter_map(|&index| blocks.get(index));
        if starts.into_iter().any(|next| addresses.are_in(liveness.before(next.start))) {
            return None;
        }
    }
    let slot = lowest.div_euclid(8) * 8 - 8;
    i16::try_from(slot).ok().filter(|_| slot >= -MAX_STACK)
}

/// The registers that hold an address on the stack, each with its offset from r10.
#[derive(Default)]
struct Addresses([Option<i64>; R10 as usize]);

impl Addresses {
    fn get(&self, register: u8) -> Option<i64> {
        if register == R10 { Some(0) } else { self.0.get(usize::from(register)).copied().flatten() }
    }

    fn set(&mut self, register: u8, address: Option<i64>) {
        if let Some(known) = self.0.get_mut(usize::from(register)) {
            *known = address;
        }
    }

    /// Returns whether one of these registers holds an address.
    fn are_in(&self, registers: Registers) -> bool {
        (0..R10).any(|register| registers.has(register) && self.get(register).is_some())
    }

    /// Follows one instruction. Returns the lowest address that it uses if it uses any. Returns `None` if an address is
    /// used otherwise.
    #[expect(clippy::option_option, reason = "unknown use and no use differ")]
    fn step(&mut self, insn: Instruction) -> Option<Option<i64>> {
        let effects = Effects::of(insn);
        match insn.code {
            MOVE if insn.offset == 0 && insn.imm == 0 => {
                self.set(insn.dst(), self.get(insn.src()));
                return Some(None);
            }
            ADD if self.get(insn.dst()).is_some() => {
                self.set(insn.dst(), self.get(insn.dst()).map(|address| address + i64::from(insn.imm)));
                return Some(None);
            }
            opcode::JMP_CALL if insn.src() != opcode::PSEUDO_CALL => {
                let used = (1..=5).filter_map(|register| self.get(register)).min();
                // The effects of a helper without a name are unknown.
                let may_call_back = insn.src() == 0 && Helper::from_id(insn.imm).is_none_or(calls_back);
                if used.is_some() && may_call_back {
                    return None;
                }
                (0..=5).for_each(|register| self.set(register, None));
                return Some(used);
            }
            _ => {}
        }
        let (base, value) = match insn.class() {
            opcode::LDX => (Some(insn.src()), None),
            opcode::ST => (Some(insn.dst()), None),
            opcode::STX if insn.code & 0xe0 == opcode::ATOMIC && insn.imm == opcode::LOAD_ACQ => {
                (Some(insn.src()), None)
            }
            // The stored value must not be an address.
            opcode::STX => (Some(insn.dst()), Some(insn.src())),
            _ => (None, None),
        };
        let is_address = |register| self.get(register).is_some();
        if value.is_some_and(is_address) {
            return None;
        }
        let read = (0..=R10).filter(|&register| effects.reads.has(register) && Some(register) != base);
        if read.into_iter().any(is_address) {
            return None;
        }
        let used = base.and_then(|base| self.get(base)).map(|address| address + i64::from(insn.offset));
        (0..R10).filter(|&register| effects.writes.has(register)).for_each(|register| self.set(register, None));
        Some(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::coverage::blocks::blocks;

    const EXIT: Instruction = insn(0x95, 0, 0, 0, 0);

    const fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Instruction {
        Instruction::new(code, dst, src, offset, imm)
    }

    /// Returns the free slot of a function with these instructions and an exit.
    fn free(code: &[Instruction]) -> Option<i16> {
        let code = [code, &[insn(0xb7, 0, 0, 0, 0), EXIT]].concat();
        let blocks = blocks(&code).unwrap();
        free_slot(&code, &blocks, &Liveness::of(&code, &blocks))
    }

    /// r2 = r10; r2 += `offset`
    const fn address(offset: i32) -> [Instruction; 2] {
        [insn(0xbf, 2, 10, 0, 0), insn(0x07, 2, 0, 0, offset)]
    }

    #[test]
    fn free_slot_is_below_all_that_the_function_uses() {
        let [copy, add] = address(-40);
        let call = insn(0x85, 0, 0, 0, 1);
        for (code, expected) in [
            (vec![], -8),
            (vec![insn(0x7b, 10, 1, -8, 0)], -16),
            (vec![insn(0x72, 10, 0, -9, 0)], -24),
            (vec![insn(0x71, 1, 10, -17, 0)], -32),
            (vec![insn(0xdb, 10, 1, -24, 0)], -32),
            (vec![insn(0xdb, 1, 10, -24, 0x100)], -32),
            (vec![copy, add, call], -48),
            (vec![copy, call], -8),
            // A helper that calls back gets no address of this frame.
            (vec![insn(0x85, 0, 0, 0, Helper::bpf_loop.id())], -8),
            (vec![copy, add, insn(0x7b, 2, 1, -8, 0)], -56),
            (vec![copy, add, insn(0xbf, 3, 2, 0, 0), insn(0x07, 3, 0, 0, -20), call], -72),
            (vec![copy, add, insn(0x85, 0, 2, 0, 1)], -48),
            (vec![insn(0x7b, 10, 1, -504, 0)], -512),
            // The address is overwritten before another block begins.
            (vec![copy, add, insn(0xb7, 2, 0, 0, 0), insn(0x15, 2, 0, 0, 0)], -8),
        ] {
            assert_eq!(free(&code), Some(expected), "{code:?}");
        }
    }

    #[test]
    fn no_slot_is_free_if_the_use_of_the_stack_is_unknown() {
        let [copy, add] = address(-8);
        let [callback, second] = Instruction::load_imm64(2, opcode::PSEUDO_FUNC, 0);
        let call = |helper| insn(0x85, 0, 0, 0, helper);
        for code in [
            // The stack is full.
            vec![insn(0x7b, 10, 1, -512, 0)],
            // The address is stored, subtracted from, compared, and combined with another register.
            vec![copy, add, insn(0x7b, 10, 2, -16, 0)],
            vec![insn(0xdb, 1, 10, 0, 0x01)],
            vec![insn(0x7b, 1, 10, 0, 0)],
            vec![copy, insn(0x17, 2, 0, 0, 8)],
            vec![copy, add, insn(0x15, 2, 0, 0, 0)],
            vec![copy, add, insn(0x0f, 2, 3, 0, 0)],
            vec![copy, add, insn(0x0f, 3, 2, 0, 0)],
            // The lower half of the address.
            vec![insn(0xbc, 2, 10, 0, 0)],
            // It is passed to a subprogram, in a register and on the stack (r11), or to one whose address is computed.
            vec![copy, add, insn(0x85, 0, 1, 0, 0)],
            vec![copy, add, insn(0x7b, 11, 2, -8, 0), insn(0x85, 0, 1, 0, 0)],
            vec![copy, add, insn(0x8d, 3, 0, 0, 0)],
            // It is passed to a callback, which this function loads or has as a parameter, or to an unknown helper.
            vec![callback, second],
            vec![copy, add, call(Helper::bpf_for_each_map_elem.id())],
            vec![copy, add, call(Helper::bpf_find_vma.id())],
            vec![copy, add, call(Helper::bpf_loop.id())],
            vec![copy, add, call(Helper::bpf_user_ringbuf_drain.id())],
            vec![copy, add, call(9999)],
            // It is read in another block.
            vec![copy, add, insn(0x15, 3, 0, 0, 0), insn(0x79, 1, 2, 0, 0)],
            // An unknown instruction.
            vec![insn(0xe7, 1, 0, 0, 0)],
        ] {
            assert_eq!(free(&code), None, "{code:?}");
        }
    }
}
