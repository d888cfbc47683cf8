//! Runs random programs, and compares the maps that their calls pass with the analysis.
//!
//! The machine knows the kinds of all values. It stops where the verifier would refuse the program: where a call that
//! sends records passes no map, where an access has no address, where one frame's address is stored in another frame.

use std::collections::BTreeMap;

use super::{super::references::References, *};

/// xorshift64*
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Returns the offset of one of four slots of the stack.
    fn slot(&mut self) -> i16 {
        -8 * (self.below(4) as i16 + 1)
    }
}

/// Appends the code of a function: r6 and r7 mostly hold maps, r8 an address of the stack, r9 a number.
fn body(random: &mut Random, rings: &Rings, callees: &[FunctionRef], parameters: bool) -> Assembler {
    let mut asm = Assembler::new();
    let any = |random: &mut Random| if random.below(3) > 0 { rings.one } else { rings.other };
    if parameters && random.below(4) > 0 {
        asm.mov(R6, R1);
    } else {
        asm.load_map(R6, any(random));
    }
    asm.load_map(R7, any(random));
    if parameters && random.chance() {
        asm.mov(R8, R2);
    } else {
        asm.mov(R8, R10);
        asm.add(R8, random.slot());
    }
    asm.mov(R9, 0);
    for slot in 1..=4 {
        asm.store(DW, R10, -8 * slot, R6);
    }
    let mut labels = Vec::new();
    for _ in 0..8 + random.below(16) {
        // A label that is bound in the past is a loop.
        match random.below(6) {
            0 => {
                let label = asm.label("here");
                asm.bind(label);
                labels.push((label, true));
            }
            1 => {
                let label = asm.label("later");
                asm.jump_if(Gt, R9, random.below(9) as i32, label);
                labels.push((label, false));
            }
            2 if !labels.is_empty() => {
                let at = random.below(labels.len() as u64) as usize;
                if labels[at].1 {
                    asm.jump_if(Gt, R9, 0, labels[at].0);
                } else {
                    asm.bind(labels.swap_remove(at).0);
                }
            }
            _ => {}
        }
        statement(random, rings, callees, &mut asm);
    }
    for (label, bound) in labels {
        if !bound {
            asm.bind(label);
        }
    }
    asm.mov(R1, R6);
    asm.call(Helper::bpf_ringbuf_reserve);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

fn statement(random: &mut Random, rings: &Rings, callees: &[FunctionRef], asm: &mut Assembler) {
    let (slot, other) = (random.slot(), random.slot());
    match random.below(26) {
        0 => asm.load_map(R6, if random.chance() { rings.one } else { rings.other }),
        1 => asm.mov(R6, R7),
        2 => asm.mov(R7, R6),
        3 => asm.store(DW, R10, slot, R6),
        4 => asm.store(DW, R10, slot, R7),
        5 | 6 => asm.load(DW, R6, R10, slot),
        7 => asm.store(DW, R8, 0, R7),
        8 => asm.load(DW, R7, R8, 0),
        9 => {
            asm.mov(R8, R10);
            asm.add(R8, slot);
        }
        10 => asm.add(R8, if random.chance() { 8 } else { -8 }),
        11 => {
            asm.mov(R9, i32::from(slot) + 16);
            asm.add(R8, R9);
        }
        12 => asm.store(DW, R10, slot, R8),
        13 => asm.load(DW, R8, R10, slot),
        14 => asm.store(W, R10, slot + 4, 1),
        15 => asm.atomic_xchg(DW, R10, slot, R7),
        16 => {
            asm.mov(R2, R10);
            asm.add(R2, slot);
            asm.call(Helper::bpf_get_current_comm);
        }
        17 | 18 => {
            asm.load(DW, R1, R10, slot);
            asm.call(Helper::bpf_ringbuf_reserve);
        }
        24 => asm.store(DW, R8, 0, R8),
        25 => asm.load(DW, R8, R8, 0),
        _ if callees.is_empty() => asm.mov(R9, i32::from(slot)),
        19 => {
            let callee = callees[random.below(callees.len() as u64) as usize];
            asm.load_function(R2, callee);
            asm.mov(R3, R8);
            asm.call(Helper::bpf_loop);
        }
        choice => {
            let callee = callees[random.below(callees.len() as u64) as usize];
            match choice {
                20 => asm.mov(R1, R7),
                _ => asm.load_map(R1, rings.one),
            }
            asm.mov(R2, R10);
            asm.add(R2, other);
            match choice {
                21 => asm.mov(R2, R8),
                22 => asm.mov(R2, 0),
                _ => {}
            }
            asm.call_function(callee);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Number(i64),
    Map(usize),
    /// An address in the frame of this depth.
    Frame(usize, i64),
}

/// The verifier would refuse the program here.
struct Refused;

struct Machine<'o> {
    functions: &'o Functions,
    references: References<'o>,
    frames: Vec<[Word; 64]>,
    steps: usize,
    random: Random,
    /// The map of each call that ran, by its function and slot.
    passed: BTreeMap<(Start, usize), Vec<usize>>,
}

impl Machine<'_> {
    fn slot(&mut self, base: Word, offset: i16) -> Result<&mut Word, Refused> {
        let Word::Frame(depth, at) = base else { return Err(Refused) };
        let at = at + i64::from(offset);
        if !(-512..0).contains(&at) || at % 8 != 0 {
            return Err(Refused);
        }
        Ok(&mut self.frames[depth][((at + 512) / 8) as usize])
    }

    fn call(&mut self, function: usize, arguments: [Word; 3]) -> Result<(), Refused> {
        let depth = self.frames.len();
        if depth >= 8 {
            return Err(Refused);
        }
        self.frames.push([Word::Number(0); 64]);
        let mut r = [Word::Number(0); 11];
        r[1..4].copy_from_slice(&arguments);
        r[10] = Word::Frame(depth, 0);
        let (start, code) = self.functions.pair(function).map(|(start, it)| (*start, &it.instructions)).unwrap();
        let mut slot = 0;
        loop {
            self.steps = self.steps.checked_sub(1).ok_or(Refused)?;
            let insn = code[slot];
            let (dst, src) = (usize::from(insn.dst()), usize::from(insn.src()));
            let mut next = slot + insn.slots();
            match insn.code {
                opcode::LD_IMM64 => {
                    r[dst] = self.references.map(start, slot).map_or(Word::Number(0), Word::Map);
                }
                0xb7 => r[dst] = Word::Number(insn.imm.into()),
                0xbf => r[dst] = r[src],
                0x07 | 0x0f => {
                    let addend = if insn.code == 0x07 { Word::Number(insn.imm.into()) } else { r[src] };
                    let (Word::Frame(depth, at), Word::Number(addend)) = (r[dst], addend) else { return Err(Refused) };
                    r[dst] = Word::Frame(depth, at + addend);
                }
                0x7b => {
                    let value = r[src];
                    if matches!((value, r[dst]), (Word::Frame(of, _), Word::Frame(at, _)) if of != at) {
                        return Err(Refused);
                    }
                    *self.slot(r[dst], insn.offset)? = value;
                }
                0x79 => r[dst] = *self.slot(r[src], insn.offset)?,
                0x62 => *self.slot(r[dst], insn.offset - 4)? = Word::Number(1),
                0xdb => r[src] = std::mem::replace(self.slot(r[dst], insn.offset)?, Word::Number(2)),
                0x25 => {
                    if self.random.chance() {
                        next = next.checked_add_signed(insn.offset.into()).unwrap();
                    }
                }
                opcode::JMP_CALL => {
                    match self.references.call(start, slot, insn).unwrap() {
                        Called::Function(callee) => self.call(callee, [r[1], r[2], r[3]])?,
                        Called::Helper(Helper::bpf_ringbuf_reserve) => {
                            let Word::Map(map) = r[1] else { return Err(Refused) };
                            self.passed.entry((start, slot)).or_default().push(map);
                        }
                        Called::Helper(Helper::bpf_get_current_comm) => *self.slot(r[2], 0)? = Word::Number(3),
                        Called::Helper(Helper::bpf_loop) => {
                            let Word::Number(callee) = r[2] else { return Err(Refused) };
                            for _ in 0..self.random.below(3) {
                                let map = Word::Map(1 + self.random.below(2) as usize);
                                self.call(callee as usize, [map, r[3], Word::Number(0)])?;
                            }
                        }
                        called => panic!("{called:?}"),
                    }
                    r[..6].fill(Word::Number(0));
                }
                0x95 => break,
                code => panic!("{code:#x}"),
            }
            if insn.is_load_imm64()
                && let Some(callee) = self.references.function(start, slot, insn)
            {
                r[dst] = Word::Number(self.functions.position(&callee).unwrap() as i64);
            }
            slot = next;
        }
        self.frames.pop();
        Ok(())
    }
}

#[test]
fn known_maps_are_those_that_random_programs_pass() {
    let (mut known, mut missed, mut unknown) = (0, 0, 0);
    for seed in 1..=3000 {
        let mut random = Random(seed);
        let mut rings = Rings::new();
        let mut callees = Vec::new();
        for index in 0..random.below(4) {
            let asm = body(&mut random, &rings, &callees, true);
            callees.push(rings.object.function(&format!("function{index}"), signature(), asm));
        }
        let asm = body(&mut random, &rings, &callees, false);
        rings.program(asm);
        let object = Object::parse(&rings.object.write().unwrap()).unwrap();
        let maps = maps_as_written(&object);
        let functions = object.function_table();
        let entry = functions.position(&object.programs()[0].entry).unwrap();
        let mut machine = Machine {
            functions,
            references: References::of(&object),
            frames: Vec::new(),
            steps: 0,
            random,
            passed: BTreeMap::new(),
        };
        for _ in 0..40 {
            (machine.frames, machine.steps) = (Vec::new(), 2000);
            let _: Result<(), Refused> = machine.call(entry, [Word::Number(0); 3]);
        }
        for (call, passed) in machine.passed {
            let only = passed.iter().all(|map| *map == passed[0]);
            match maps.get(&call).unwrap() {
                Some(map) => {
                    assert!(only && *map == passed[0], "seed {seed}, {call:?}: {map}, not {passed:?}");
                    known += 1;
                }
                None if only => missed += 1,
                None => unknown += 1,
            }
        }
    }
    assert!(known > 3000 && unknown > 300, "{known} known, {unknown} with several maps, {missed} missed");
}
