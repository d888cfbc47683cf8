//! The registers whose value no later instruction reads: a mark can overwrite them.
//!
//! A register is *live* at an instruction if its value may be read there or later, before it is written. All others are
//! *dead*. The analysis goes backward from the exits until nothing changes. When in doubt it calls a register live.
//!
//! Kernel: `compute_insn_live_regs` in `kernel/bpf/verifier.c` (Linux 6.16) makes the same analysis to compare states.

use std::mem;

use cutaway_sys::{Instruction, instruction::opcode};

use super::blocks::{Block, predecessors};
use crate::instrument::code::by_slot;

/// A set of registers, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::instrument) struct Registers(u16);

impl Registers {
    pub(in crate::instrument) const NONE: Self = Self(0);
    const ALL: Self = Self(0xffff);
    /// The arguments of a call.
    pub(in crate::instrument) const ARGUMENTS: Self = Self(0b11_1110);
    /// The registers that a call overwrites.
    pub(in crate::instrument) const CALLER_SAVED: Self = Self(0b11_1111);

    pub(in crate::instrument) const fn of(register: u8) -> Self {
        Self(1 << (register & 0xf))
    }

    pub(in crate::instrument) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(in crate::instrument) const fn has(self, register: u8) -> bool {
        self.0 & Self::of(register).0 != 0
    }
}

/// The registers that one instruction reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::instrument) struct Effects {
    /// Includes all that it may read.
    pub(in crate::instrument) reads: Registers,
    /// Only those that it overwrites for certain. All bits of a register are overwritten: 32-bit operations clear the
    /// upper half.
    pub(in crate::instrument) writes: Registers,
}

impl Effects {
    /// Returns what an instruction reads and writes. An unknown instruction reads everything.
    ///
    /// A call reads all five arguments, because the number of arguments is unknown. So it does in a `bpf_fastcall`
    /// pattern, where the compiler saves the arguments around the call itself.
    pub(in crate::instrument) fn of(insn: Instruction) -> Self {
        let (dst, src) = (Registers::of(insn.dst()), Registers::of(insn.src()));
        let (none, r0) = (Registers::NONE, Registers::of(0));
        let known = |reads, writes| Self { reads, writes };
        let unknown = Self { reads: Registers::ALL, writes: none };
        let operand = if insn.code & opcode::X == 0 { none } else { src };
        match (insn.class(), insn.code & 0xe0, insn.code & 0xf0) {
            (opcode::LD, ..) if insn.is_load_imm64() => known(none, dst),
            // The context is in r6. The loaded value is in r0, as after a call.
            (opcode::LD, opcode::ABS, _) => known(Registers::of(6), Registers::CALLER_SAVED),
            (opcode::LD, opcode::IND, _) => known(Registers::of(6).and(src), Registers::CALLER_SAVED),
            (opcode::LDX, opcode::MEM | opcode::MEMSX, _) => known(src, dst),
            (opcode::ST, opcode::MEM, _) => known(dst, none),
            (opcode::STX, opcode::MEM, _) => known(dst.and(src), none),
            (opcode::STX, opcode::ATOMIC, _) => match insn.imm {
                opcode::LOAD_ACQ => known(src, dst),
                opcode::CMPXCHG => known(dst.and(src).and(r0), r0),
                opcode::STORE_REL => known(dst.and(src), none),
                // ADD, OR, AND and XOR with and without FETCH, and XCHG.
                imm if matches!(imm & !opcode::FETCH, 0x00 | 0x40 | 0x50 | 0xa0) || imm == opcode::XCHG => {
                    known(dst.and(src), if imm & opcode::FETCH == 0 { none } else { src })
                }
                _ => unknown,
            },
            // Also sign extensions and `addr_space_cast`, which the offset distinguishes.
            (opcode::ALU | opcode::ALU64, _, opcode::MOV) => known(operand, dst),
            // The source bit of a byte swap is the byte order.
            (opcode::ALU | opcode::ALU64, _, opcode::NEG | opcode::END) => known(dst, dst),
            (opcode::ALU | opcode::ALU64, _, ..=0xc0) => known(dst.and(operand), dst),
            (opcode::JMP, ..) if insn.is_call() => known(Registers::ARGUMENTS, Registers::CALLER_SAVED),
            (opcode::JMP, _, opcode::EXIT) => known(r0, none),
            (opcode::JMP | opcode::JMP32, _, opcode::JA) | (opcode::JMP, _, opcode::JCOND) => {
                if insn.code & opcode::X == 0 { known(none, none) } else { unknown }
            }
            (opcode::JMP | opcode::JMP32, _, 0x10..=0x70 | 0xa0..=0xd0) => known(dst.and(operand), none),
            _ => unknown,
        }
    }

    /// Returns the live registers before the instruction, given those after it.
    const fn before(self, after: Registers) -> Registers {
        after.without(self.writes).and(self.reads)
    }
}

/// The live registers of a function.
#[derive(Debug)]
pub(in crate::instrument) struct Liveness {
    /// For each slot the registers that are live before its instruction.
    before: Vec<Registers>,
}

impl Liveness {
    /// Analyzes a function by its basic blocks.
    pub(in crate::instrument) fn of(code: &[Instruction], blocks: &[Block]) -> Self {
        let effects: Vec<_> = by_slot(code).map(|(slot, insn)| (slot, Effects::of(insn))).collect();
        let of_block = |block: &Block| {
            let end = effects.partition_point(|(slot, _)| *slot < block.end);
            let from = effects.partition_point(|(slot, _)| *slot < block.start);
            effects.get(from..end).unwrap_or_default()
        };
        let through = |block: &Block, after| {
            of_block(block).iter().rev().fold(after, |after, (_, effects)| effects.before(after))
        };
        // Both of these let one step pass a whole block: the live registers before it are
        // `read`, and those after it that are not `written`.
        let summaries: Vec<_> = blocks
            .iter()
            .map(|block| {
                let reads = through(block, Registers::NONE);
                Effects { reads, writes: Registers::ALL.without(through(block, Registers::ALL)) }
            })
            .collect();
        let mut at_starts = vec![Registers::NONE; blocks.len()];
        let after = |block: &Block, at_starts: &[Registers]| {
            let next = block.successors.iter().filter_map(|&index| at_starts.get(index));
            next.fold(Registers::NONE, |live, &next| live.and(next))
        };
        // The sets only grow, so each block is read again at most once for each register of each successor.
        let predecessors = predecessors(blocks);
        let (mut open, mut is_open): (Vec<_>, _) = ((0..blocks.len()).collect(), vec![true; blocks.len()]);
        while let Some(index) = open.pop() {
            let (Some(block), Some(summary)) = (blocks.get(index), summaries.get(index)) else { continue };
            let live = summary.before(after(block, &at_starts));
            if let Some(is_open) = is_open.get_mut(index) {
                *is_open = false;
            }
            let Some(known) = at_starts.get_mut(index).filter(|known| **known != live) else { continue };
            *known = live;
            for &previous in predecessors.get(index).into_iter().flatten() {
                if is_open.get_mut(previous).is_some_and(|is_open| !mem::replace(is_open, true)) {
                    open.push(previous);
                }
            }
        }
        let mut before = vec![Registers::ALL; code.len()];
        for block in blocks {
            let mut live = after(block, &at_starts);
            for &(slot, effects) in of_block(block).iter().rev() {
                live = effects.before(live);
                if let Some(before) = before.get_mut(slot) {
                    *before = live;
                }
            }
        }
        Self { before }
    }

    /// Returns the registers that are live before the instruction at `slot`; all if no instruction begins there.
    pub(in crate::instrument) fn before(&self, slot: usize) -> Registers {
        self.before.get(slot).copied().unwrap_or(Registers::ALL)
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

    fn registers(of: &[u8]) -> Registers {
        of.iter().fold(Registers::NONE, |all, &register| all.and(Registers::of(register)))
    }

    #[test]
    fn each_form_of_an_instruction_reads_and_writes_its_registers() {
        const CALLED: &[u8] = &[0, 1, 2, 3, 4, 5];
        let cases: &[(Instruction, &[u8], &[u8])] = &[
            // r6 = imm ll; legacy loads
            (insn(0x18, 6, 2, 0, 0), &[], &[6]),
            (insn(0x20, 0, 0, 0, 0), &[6], CALLED),
            (insn(0x48, 0, 7, 0, 0), &[6, 7], CALLED),
            // Loads and stores
            (insn(0x79, 3, 7, 0, 0), &[7], &[3]),
            (insn(0x91, 3, 7, 0, 0), &[7], &[3]),
            (insn(0x62, 3, 7, 0, 0), &[3], &[]),
            (insn(0x7b, 3, 7, 0, 0), &[3, 7], &[]),
            // Atomic operations
            (insn(0xdb, 3, 7, 0, 0x00), &[3, 7], &[]),
            (insn(0xc3, 3, 7, 0, 0x50), &[3, 7], &[]),
            (insn(0xdb, 3, 7, 0, 0x41), &[3, 7], &[7]),
            (insn(0xdb, 3, 7, 0, 0xe1), &[3, 7], &[7]),
            (insn(0xdb, 3, 7, 0, 0xf1), &[0, 3, 7], &[0]),
            (insn(0xd3, 3, 7, 0, 0x100), &[7], &[3]),
            (insn(0xd3, 3, 7, 0, 0x110), &[3, 7], &[]),
            // Arithmetic
            (insn(0x07, 3, 7, 0, 0), &[3], &[3]),
            (insn(0x0c, 3, 7, 0, 0), &[3, 7], &[3]),
            (insn(0xcf, 3, 7, 0, 0), &[3, 7], &[3]),
            (insn(0xb4, 3, 7, 0, 0), &[], &[3]),
            (insn(0xbf, 3, 7, 8, 0), &[7], &[3]),
            (insn(0xbf, 3, 7, 1, 0x10000), &[7], &[3]),
            (insn(0x87, 3, 7, 0, 0), &[3], &[3]),
            (insn(0xdc, 3, 7, 0, 64), &[3], &[3]),
            (insn(0xd7, 3, 7, 0, 64), &[3], &[3]),
            // Jumps
            (insn(0x05, 3, 7, 0, 0), &[], &[]),
            (insn(0x06, 3, 7, 0, 0), &[], &[]),
            (insn(0xe5, 3, 7, 0, 0), &[], &[]),
            (insn(0x15, 3, 7, 0, 0), &[3], &[]),
            (insn(0xde, 3, 7, 0, 0), &[3, 7], &[]),
            (EXIT, &[0], &[]),
            (insn(0x85, 0, 0, 0, 1), &[1, 2, 3, 4, 5], CALLED),
            (insn(0x85, 0, 1, 0, 1), &[1, 2, 3, 4, 5], CALLED),
            (insn(0x85, 0, 2, 0, 1), &[1, 2, 3, 4, 5], CALLED),
        ];
        for (insn, reads, writes) in cases {
            let expected = Effects { reads: registers(reads), writes: registers(writes) };
            assert_eq!(Effects::of(*insn), expected, "{insn:?}");
        }
    }

    #[test]
    fn unknown_instruction_reads_everything() {
        let unknown = Effects { reads: Registers::ALL, writes: Registers::NONE };
        // gotox, callx, conditions and operations without a meaning, other modes, other atomic operations.
        for (code, imm) in [
            (0x0d, 0),
            (0x8d, 0),
            (0x86, 0),
            (0x96, 0),
            (0xe6, 0),
            (0xf5, 0),
            (0xe7, 0),
            (0xf4, 0),
            (0x00, 0),
            (0xb8, 0),
            (0x19, 0),
            (0xf1, 0),
            (0x82, 0),
            (0x9b, 0),
            (0xdb, 0x10),
            (0xdb, 0xe0),
            (0xdb, 0x101),
        ] {
            assert_eq!(Effects::of(insn(code, 1, 2, 0, imm)), unknown, "{code:#x}");
        }
    }

    #[test]
    fn register_is_live_until_its_last_read_on_any_path() {
        let code = [
            insn(0xbf, 6, 1, 0, 0),  // 0: r6 = r1
            insn(0xb7, 7, 0, 0, 5),  // 1: r7 = 5
            insn(0x15, 6, 0, 2, 0),  // 2: if r6 == 0 goto 5
            insn(0x17, 7, 0, 0, 1),  // 3: r7 -= 1
            insn(0x55, 7, 0, -2, 0), // 4: if r7 != 0 goto 3
            insn(0xbf, 0, 8, 0, 0),  // 5: r0 = r8
            EXIT,
        ];
        let liveness = Liveness::of(&code, &blocks(&code).unwrap());
        let expected: [&[u8]; 7] = [&[1, 8], &[6, 8], &[6, 7, 8], &[7, 8], &[7, 8], &[8], &[0]];
        for (slot, live) in expected.into_iter().enumerate() {
            assert_eq!(liveness.before(slot), registers(live), "before {slot}");
        }
        assert_eq!(liveness.before(7), Registers::ALL);
    }

    #[test]
    fn second_slot_of_a_load_is_unknown() {
        let [first, second] = Instruction::load_imm64(0, 0, 7);
        let code = [first, second, EXIT];
        let liveness = Liveness::of(&code, &blocks(&code).unwrap());
        assert_eq!([0, 1, 2].map(|slot| liveness.before(slot)), [Registers::NONE, Registers::ALL, registers(&[0])]);
    }
}
