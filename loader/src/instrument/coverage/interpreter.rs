//! An interpreter of linked programs, to compare a program with its marked form.
//!
//! The outside world is a function of what the program can see: a helper's result is a hash of its arguments, and so
//! is whether a tail call succeeds or a kfunc throws. Values that a real program may not read are defined here too,
//! the same in each run: registers after a call, the stack before a store, memory that does not exist.

use std::collections::BTreeSet;

use cutaway_sys::{Instruction, instruction::opcode::*};

use crate::{
    instrument::code::{Flow, flow, reference},
    link::Linked,
};

/// The fd of the map that the programs store to.
pub(super) const DATA_FD: i32 = 7;
/// The fd of the map with the marks.
pub(super) const MARKS_FD: i32 = 9;
/// The size of the map that the programs store to, in bytes.
pub(super) const DATA_SIZE: usize = 64;
/// The size of a frame's stack in bytes.
const STACK: u64 = 512;
/// A run ends after so many jumps and calls. Marks have none, so both forms of a program end at the same one.
const FUEL: usize = 2_000;
const DATA_BASE: u64 = 0x1111 << 40;
const MARKS_BASE: u64 = 0x2222 << 40;
const STACK_BASE: u64 = 0x3333 << 40;
const FUNCTION_BASE: u64 = 0x4444 << 40;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The program returned r0.
    Returned(u64),
    /// A tail call or an exception ended the program.
    Left,
    /// The run was too long.
    OutOfFuel,
}

/// The outcome of a run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) end: End,
    /// The slots of the instructions that ran.
    pub(super) slots: BTreeSet<usize>,
    pub(super) data: Vec<u8>,
    pub(super) marks: Vec<u8>,
    /// The number of jumps and calls.
    pub(super) jumps: usize,
}

/// Runs a program with this value in its registers' hash.
pub(super) fn run(linked: &Linked, seed: u64, marks: usize) -> Run {
    run_until(linked, seed, marks, FUEL)
}

/// Runs a program until its end, or until this number of jumps and calls.
pub(super) fn run_until(linked: &Linked, seed: u64, marks: usize, jumps: usize) -> Run {
    let mut machine = Machine {
        linked,
        registers: [0; 11],
        stack: Vec::new(),
        callers: Vec::new(),
        may_goto: 6,
        run: Run {
            end: End::OutOfFuel,
            slots: BTreeSet::new(),
            data: vec![0; DATA_SIZE],
            marks: vec![0; marks],
            jumps: 0,
        },
    };
    machine.enter(seed);
    machine.registers[1] = hash(&[seed]);
    let mut at = 0;
    while let Some(next) = machine.step(at) {
        at = next;
        if machine.run.jumps >= jumps {
            break;
        }
    }
    machine.run
}

/// Returns a hash of these values (FNV-1a by words, and a final mix).
pub(super) fn hash(values: &[u64]) -> u64 {
    let folded = values
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, value| (hash ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(23));
    (folded ^ folded >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

struct Machine<'a> {
    linked: &'a Linked,
    registers: [u64; 11],
    stack: Vec<u8>,
    /// The return slot and the registers r6 to r10 of each caller.
    callers: Vec<(usize, [u64; 5])>,
    /// How often `may_goto` falls through.
    may_goto: usize,
    run: Run,
}

impl Machine<'_> {
    fn get(&self, register: u8) -> u64 {
        self.registers[usize::from(register)]
    }

    fn set(&mut self, register: u8, value: u64) {
        assert!(register < 10, "r{register} is written");
        self.registers[usize::from(register)] = value;
    }

    /// Begins a frame.
    fn enter(&mut self, seed: u64) {
        let depth = self.callers.len() as u64;
        let first = self.stack.len() as u64;
        self.stack.extend((0..STACK).map(|byte| hash(&[byte, depth]) as u8));
        self.registers[0] = hash(&[seed, depth]);
        for register in 6..10 {
            self.registers[register] = hash(&[seed, depth, register as u64]);
        }
        self.registers[10] = STACK_BASE + first + STACK;
    }

    /// Overwrites the registers that a call does not keep.
    fn clobber(&mut self, result: u64) {
        self.registers[0] = result;
        for register in 1..6 {
            self.registers[register] = hash(&[register as u64]);
        }
    }

    /// Ends a frame. Returns the slot to continue at.
    fn leave(&mut self) -> Option<usize> {
        let result = self.registers[0];
        self.stack.truncate(self.stack.len() - STACK as usize);
        let Some((slot, kept)) = self.callers.pop() else {
            return self.end(End::Returned(result));
        };
        self.registers[6..].copy_from_slice(&kept);
        self.clobber(result);
        Some(slot)
    }

    fn end(&mut self, end: End) -> Option<usize> {
        self.run.end = end;
        None
    }

    /// Runs the instruction at a slot. Returns the slot of the next one, or `None` if the program ended.
    fn step(&mut self, at: usize) -> Option<usize> {
        let insn = self.linked.instructions[at];
        self.run.slots.insert(at);
        self.run.jumps += usize::from(matches!(insn.class(), JMP | JMP32));
        match insn.class() {
            LD if insn.is_load_imm64() => {
                let value = self.immediate(at);
                self.set(insn.dst(), value);
                return Some(at + 2);
            }
            LD => return self.packet_load(at, insn),
            LDX => {
                let bits = bits(insn);
                let value = self.load(self.address(insn.src(), insn), bits);
                let value = if insn.code & 0xe0 == MEMSX { extended(value, bits) } else { value };
                self.set(insn.dst(), value);
            }
            ST => self.store(self.address(insn.dst(), insn), bits(insn), i64::from(insn.imm) as u64),
            STX if insn.code & 0xe0 == ATOMIC => self.atomic(insn),
            STX => self.store(self.address(insn.dst(), insn), bits(insn), self.get(insn.src())),
            ALU | ALU64 => {
                let value = arithmetic(insn, self.get(insn.dst()), self.operand(insn));
                self.set(insn.dst(), value);
            }
            _ if insn.is_call() => return self.call(at, insn),
            _ => return self.jump(at, insn),
        }
        Some(at + 1)
    }

    fn operand(&self, insn: Instruction) -> u64 {
        if insn.code & X == 0 { i64::from(insn.imm) as u64 } else { self.get(insn.src()) }
    }

    fn immediate(&self, at: usize) -> u64 {
        let (insn, second) = (self.linked.instructions[at], self.linked.instructions[at + 1]);
        match (insn.src(), insn.imm) {
            (PSEUDO_MAP_VALUE, DATA_FD) => DATA_BASE + second.imm as u64,
            (PSEUDO_MAP_VALUE, MARKS_FD) => MARKS_BASE + second.imm as u64,
            (PSEUDO_FUNC, _) => {
                let (target, _) = reference(at, insn).unwrap();
                let is_target = |(_, slot): &(_, usize)| *slot as i64 == target;
                FUNCTION_BASE + self.linked.functions.iter().position(is_target).unwrap() as u64
            }
            (0, low) => u64::from(low.cast_unsigned()) | u64::from(second.imm.cast_unsigned()) << 32,
            other => panic!("a load of {other:?}"),
        }
    }

    fn address(&self, base: u8, insn: Instruction) -> u64 {
        self.get(base).wrapping_add(i64::from(insn.offset) as u64)
    }

    fn memory(&mut self, address: u64, bits: u32) -> Option<&mut [u8]> {
        let (memory, base) = match address >> 40 {
            0x1111 => (&mut self.run.data, DATA_BASE),
            0x2222 => (&mut self.run.marks, MARKS_BASE),
            0x3333 => (&mut self.stack, STACK_BASE),
            _ => return None,
        };
        let from = usize::try_from(address - base).unwrap();
        memory.get_mut(from..from + bits as usize / 8)
    }

    /// Returns 0 if there is no memory at the address.
    fn load(&mut self, address: u64, bits: u32) -> u64 {
        let bytes = self.memory(address, bits).into_iter().flatten();
        bytes.rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// Does nothing if there is no memory at the address.
    fn store(&mut self, address: u64, bits: u32, value: u64) {
        for (to, from) in self.memory(address, bits).into_iter().flatten().zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    fn atomic(&mut self, insn: Instruction) {
        let bits = bits(insn);
        if insn.imm == LOAD_ACQ {
            let value = self.load(self.address(insn.src(), insn), bits);
            return self.set(insn.dst(), value);
        }
        let (address, given) = (self.address(insn.dst(), insn), self.get(insn.src()));
        let old = self.load(address, bits);
        let new = match insn.imm & !FETCH {
            0x110 | 0xe0 => given,
            0xf0 if truncated(self.get(0), bits) == old => given,
            0xf0 => old,
            0x00 => old.wrapping_add(given),
            0x40 => old | given,
            0x50 => old & given,
            0xa0 => old ^ given,
            other => panic!("an atomic operation {other:#x}"),
        };
        self.store(address, bits, new);
        match insn.imm {
            CMPXCHG => self.set(0, old),
            STORE_REL => {}
            imm if imm & FETCH != 0 => self.set(insn.src(), old),
            _ => {}
        }
    }

    /// Loads from a packet by a legacy instruction. The function returns 0 if the packet is too short.
    fn packet_load(&mut self, at: usize, insn: Instruction) -> Option<usize> {
        let index = if insn.code & 0xe0 == IND { self.get(insn.src()) } else { 0 };
        let value = hash(&[self.get(6), index, insn.imm as u64]);
        self.clobber(value);
        if !value.is_multiple_of(8) {
            return Some(at + 1);
        }
        self.registers[0] = 0;
        self.leave()
    }

    fn call(&mut self, at: usize, insn: Instruction) -> Option<usize> {
        if insn.src() == PSEUDO_CALL {
            self.callers.push((at + 1, self.registers[6..].try_into().unwrap()));
            self.enter(0);
            return usize::try_from(reference(at, insn).unwrap().0).ok();
        }
        let seen: Vec<_> = self.registers[1..6].iter().copied().chain([insn.imm as u64]).collect();
        let result = hash(&seen);
        let throws = insn.src() == PSEUDO_KFUNC_CALL && result.is_multiple_of(8);
        if throws || insn.imm == 12 && result.is_multiple_of(2) {
            return self.end(End::Left);
        }
        self.store(self.get(2), 64, result);
        self.clobber(result);
        Some(at + 1)
    }

    fn jump(&mut self, at: usize, insn: Instruction) -> Option<usize> {
        match flow(at, insn) {
            Flow::Exit => self.leave(),
            Flow::Jump(target) => usize::try_from(target).ok(),
            Flow::Branch(target) if self.is_taken(insn) => usize::try_from(target).ok(),
            Flow::Branch(_) => Some(at + 1),
            other => panic!("{insn:?} is {other:?}"),
        }
    }

    fn is_taken(&mut self, insn: Instruction) -> bool {
        if insn.code == JMP | JCOND {
            self.may_goto = self.may_goto.saturating_sub(1);
            return self.may_goto == 0;
        }
        let bits = if insn.class() == JMP { 64 } else { 32 };
        let [one, other] = [self.get(insn.dst()), self.operand(insn)].map(|value| truncated(value, bits));
        let [signed, other_signed] = [one, other].map(|value| extended(value, bits).cast_signed());
        match insn.code & 0xf0 {
            0x10 => one == other,
            0x20 => one > other,
            0x30 => one >= other,
            0x40 => one & other != 0,
            0x50 => one != other,
            0x60 => signed > other_signed,
            0x70 => signed >= other_signed,
            0xa0 => one < other,
            0xb0 => one <= other,
            0xc0 => signed < other_signed,
            0xd0 => signed <= other_signed,
            code => panic!("a jump {code:#x}"),
        }
    }
}

/// Returns the size of a memory access in bits.
fn bits(insn: Instruction) -> u32 {
    match insn.code & 0x18 {
        SIZE_B => 8,
        SIZE_H => 16,
        SIZE_W => 32,
        _ => 64,
    }
}

fn truncated(value: u64, bits: u32) -> u64 {
    value << (64 - bits) >> (64 - bits)
}

fn extended(value: u64, bits: u32) -> u64 {
    ((value << (64 - bits)).cast_signed() >> (64 - bits)).cast_unsigned()
}

fn arithmetic(insn: Instruction, dst: u64, operand: u64) -> u64 {
    let bits = if insn.class() == ALU64 { 64 } else { 32 };
    let [one, other] = [dst, operand].map(|value| truncated(value, bits));
    let shift = (other % u64::from(bits)) as u32;
    let [signed, other_signed] = [one, other].map(|value| extended(value, bits).cast_signed());
    let value = match (insn.code & 0xf0, insn.offset) {
        (ADD, _) => one.wrapping_add(other),
        (SUB, _) => one.wrapping_sub(other),
        (MUL, _) => one.wrapping_mul(other),
        (DIV, 0) => one.checked_div(other).unwrap_or(0),
        (DIV, _) if other == 0 => 0,
        (DIV, _) => signed.wrapping_div(other_signed).cast_unsigned(),
        (MOD, 0) => one.checked_rem(other).unwrap_or(one),
        (MOD, _) if other == 0 => one,
        (MOD, _) => signed.wrapping_rem(other_signed).cast_unsigned(),
        (OR, _) => one | other,
        (AND, _) => one & other,
        (XOR, _) => one ^ other,
        (LSH, _) => one << shift,
        (RSH, _) => one >> shift,
        (ARSH, _) => (signed >> shift).cast_unsigned(),
        (NEG, _) => one.wrapping_neg(),
        (MOV, from @ (8 | 16 | 32)) => extended(other, from as u32),
        (MOV, _) => other,
        (END, _) if insn.class() == ALU && insn.code & X == 0 => return truncated(dst, insn.imm.cast_unsigned()),
        (END, _) => return dst.swap_bytes() >> (64 - insn.imm.cast_unsigned()),
        (code, _) => panic!("an operation {code:#x}"),
    };
    truncated(value, bits)
}
