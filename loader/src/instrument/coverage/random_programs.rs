//! Random programs: the same for the same seed.
//!
//! A function is a sequence of instructions, some of which jump to any other. So there are loops, dead code, blocks of
//! one instruction, and jumps into what a compiler would keep together. Functions call later functions only.

use cutaway_sys::{Instruction, instruction::opcode::*};

use super::interpreter::{DATA_FD, DATA_SIZE, hash};
use crate::{
    elf::{SectionIndex, Start},
    link::Linked,
};

/// A source of random numbers.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (hash(&[self.0]) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns r0 to r9.
    fn register(&mut self) -> u8 {
        self.below(10) as u8
    }

    fn imm(&mut self) -> i32 {
        self.of(&[0, 1, 2, 3, 7, 8, 100, -1, -8, i32::MAX, i32::MIN])
    }
}

/// Returns a random program.
pub(super) fn random_program(seed: u64) -> Linked {
    let mut random = Random::new(seed);
    let count = 1 + random.below(4);
    let mut functions: Vec<Vec<Instruction>> = (0..count).map(|index| function(&mut random, index, count)).collect();
    let mut starts = vec![0];
    for function in &functions {
        starts.push(starts.last().unwrap() + function.len());
    }
    // The immediate of a call is the callee's index so far.
    for (function, start) in functions.iter_mut().zip(&starts) {
        for (slot, insn) in function.iter_mut().enumerate() {
            let refers =
                insn.is_call() && insn.src() == PSEUDO_CALL || insn.is_load_imm64() && insn.src() == PSEUDO_FUNC;
            if refers {
                let target = starts[insn.imm as usize];
                *insn = insn.with_imm(target as i32 - (start + slot) as i32 - 1);
            }
        }
    }
    starts.pop();
    Linked {
        instructions: functions.concat(),
        func_info: Vec::new(),
        line_info: Vec::new(),
        functions: (0..).map(start_of).zip(starts).collect(),
    }
}

/// Returns the key of a function of a random program.
pub(super) const fn start_of(index: u64) -> Start {
    (SectionIndex::in_no_file(1), index * 8)
}

fn function(random: &mut Random, index: usize, count: usize) -> Vec<Instruction> {
    let (mut code, mut jumps) = (Vec::new(), Vec::new());
    // Long functions read more registers in each block, so that all are live in some.
    let length = 3 + random.below(40);
    let is_crowded = random.below(3) == 0;
    for _ in 0..length {
        match random.below(if is_crowded { 14 } else { 20 }) {
            0..=5 => code.push(arithmetic(random)),
            6..=7 => memory(random, &mut code),
            8..=9 => {
                jumps.push(code.len());
                code.push(jump(random));
            }
            10 => code.extend([
                // Reads each register, so that all are live before it.
                Instruction::new(ALU64 | XOR | X, 0, 1, 0, 0),
                Instruction::new(ALU64 | ADD | X, 0, 2, 0, 0),
                Instruction::new(ALU64 | XOR | X, 0, 3, 0, 0),
                Instruction::new(ALU64 | ADD | X, 0, 4, 0, 0),
                Instruction::new(ALU64 | XOR | X, 0, 5, 0, 0),
                Instruction::new(ALU64 | MUL | X, 0, 6, 0, 0),
                Instruction::new(ALU64 | XOR | X, 0, 7, 0, 0),
                Instruction::new(ALU64 | ADD | X, 0, 8, 0, 0),
                Instruction::new(ALU64 | XOR | X, 0, 9, 0, 0),
            ]),
            11..=13 => {
                let reads = Instruction::new(ALU64 | XOR | X, random.register(), random.register(), 0, 0);
                code.push(reads);
            }
            14..=15 => data(random, &mut code),
            16..=17 => call(random, index, count, &mut code),
            18 => wide(random, index, count, &mut code),
            _ => code.push(Instruction::new(JMP | EXIT, 0, 0, 0, 0)),
        }
    }
    code.push(Instruction::new(JMP | EXIT, 0, 0, 0, 0));
    aim(random, &mut code, &jumps);
    code
}

/// Gives each jump a target: mostly near and forward, where an instruction begins.
fn aim(random: &mut Random, code: &mut [Instruction], jumps: &[usize]) {
    let starts: Vec<_> = crate::instrument::code::by_slot(code).map(|(slot, _)| slot).collect();
    for &slot in jumps {
        let own = starts.binary_search(&slot).unwrap();
        let index = match random.below(8) {
            0 => random.below(starts.len()),
            1 => own - random.below(own.min(9) + 1),
            _ => (own + 1 + random.below(9)).min(starts.len() - 1),
        };
        let distance = starts[index] as i32 - slot as i32 - 1;
        let insn = code[slot];
        code[slot] = if insn.code == JMP32 | JA {
            insn.with_imm(distance)
        } else {
            insn.with_code_and_offset(insn.code, distance as i16)
        };
    }
}

fn arithmetic(random: &mut Random) -> Instruction {
    let class = random.of(&[ALU, ALU64]);
    let (dst, src) = (random.register(), random.register());
    let source = random.of(&[K, X]);
    let operation = random.of(&[ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, NEG, MOD, XOR, MOV, MOV, MOV, ARSH, END]);
    match operation {
        NEG => Instruction::new(class | NEG, dst, 0, 0, 0),
        END => {
            Instruction::new(class | END | if class == ALU { source } else { K }, dst, 0, 0, random.of(&[16, 32, 64]))
        }
        DIV | MOD => Instruction::new(class | operation | source, dst, src, random.of(&[0, 1]), random.imm()),
        MOV if source == X => {
            let offset = if class == ALU64 { random.of(&[0, 0, 8, 16, 32]) } else { random.of(&[0, 0, 8, 16]) };
            Instruction::new(class | MOV | X, dst, src, offset, 0)
        }
        _ => Instruction::new(class | operation | source, dst, src, 0, random.imm()),
    }
}

/// Appends an access to the stack, directly or through another register.
fn memory(random: &mut Random, code: &mut Vec<Instruction>) {
    let offset = -8 * (1 + random.below(12) as i16);
    let (value, size) = (random.register(), random.of(&[SIZE_B, SIZE_H, SIZE_W, SIZE_DW]));
    let word = random.of(&[SIZE_W, SIZE_DW]);
    let mut base = 10;
    if random.below(4) == 0 {
        base = random.register();
        let lower = -8 * random.below(4) as i32;
        code.push(Instruction::new(ALU64 | MOV | X, base, 10, 0, 0));
        code.push(Instruction::new(ALU64 | ADD | K, base, 0, 0, lower));
    }
    code.push(match random.below(6) {
        0 => Instruction::new(STX | MEM | size, base, value, offset, 0),
        1 => Instruction::new(ST | MEM | size, base, 0, offset, random.imm()),
        2 => Instruction::new(LDX | MEM | size, value, base, offset, 0),
        3 => Instruction::new(LDX | MEMSX | random.of(&[SIZE_B, SIZE_H, SIZE_W]), value, base, offset, 0),
        4 => {
            let operations = [0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, XCHG, CMPXCHG, CMPXCHG, STORE_REL];
            Instruction::new(STX | ATOMIC | word, base, value, offset, random.of(&operations))
        }
        _ => Instruction::new(STX | ATOMIC | size, value, base, offset, LOAD_ACQ),
    });
}

/// Appends a store to the map, or a load from it.
fn data(random: &mut Random, code: &mut Vec<Instruction>) {
    let (base, value) = (random.register(), random.register());
    let offset = 8 * random.below(DATA_SIZE / 8) as u64;
    code.extend(Instruction::load_imm64(base, PSEUDO_MAP_VALUE, offset << 32 | DATA_FD as u64));
    code.push(match random.below(3) {
        0 => Instruction::new(LDX | MEM | SIZE_DW, value, base, 0, 0),
        _ => Instruction::new(STX | MEM | SIZE_DW, base, value, 0, 0),
    });
}

fn jump(random: &mut Random) -> Instruction {
    let condition = random.of(&[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0]);
    let (class, source) = (random.of(&[JMP, JMP32]), random.of(&[K, X]));
    match random.below(8) {
        0 => Instruction::new(JMP | JA, 0, 0, 0, 0),
        1 => Instruction::new(JMP32 | JA, 0, 0, 0, 0),
        2 => Instruction::new(JMP | JCOND, 0, 0, 0, 0),
        _ => Instruction::new(class | condition | source, random.register(), random.register(), 0, random.imm()),
    }
}

/// Appends a call, or a legacy load from a packet, which is like one.
fn call(random: &mut Random, index: usize, count: usize, code: &mut Vec<Instruction>) {
    let call = |src, imm| Instruction::new(JMP_CALL, 0, src, 0, imm);
    match random.below(8) {
        0 | 1 if index + 1 < count => {
            code.push(call(PSEUDO_CALL, (index + 1 + random.below(count - index - 1)) as i32));
        }
        2 => code.push(call(PSEUDO_KFUNC_CALL, 5)),
        3 => code.push(call(0, 12)),
        4 => code.push(Instruction::new(LD | ABS | SIZE_W, 0, 0, 0, random.imm())),
        5 => code.push(Instruction::new(LD | IND | SIZE_B, 0, random.register(), 0, random.imm())),
        6 => code.extend([
            Instruction::new(ALU64 | MOV | X, 2, 10, 0, 0),
            Instruction::new(ALU64 | ADD | K, 2, 0, 0, -8 * random.below(16) as i32),
            call(0, 3),
        ]),
        _ => code.push(call(0, 1 + random.below(9) as i32)),
    }
}

/// Appends the load of a 64-bit immediate, or of a function's address.
fn wide(random: &mut Random, index: usize, count: usize, code: &mut Vec<Instruction>) {
    let dst = random.register();
    if index + 1 < count && random.below(4) == 0 {
        code.extend(Instruction::load_imm64(dst, PSEUDO_FUNC, (index + 1) as u64));
    } else {
        code.extend(Instruction::load_imm64(dst, 0, hash(&[random.below(1 << 20) as u64])));
    }
}
