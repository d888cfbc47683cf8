//! Counts how often the analysis reads an instruction of large functions.

use super::{
    super::{
        Value,
        paths::{follow, follow_within},
    },
    random::Random,
    *,
};

/// Returns the number of steps for each instruction of this code.
fn steps(code: &[Instruction]) -> f64 {
    let mut steps = 0_u32;
    follow(code, State::at_entry([Value::Unknown; 5]), &mut |_, insn, state| {
        steps += 1;
        if insn.is_load_imm64() {
            state.set(insn.dst(), Value::Map(insn.imm.unsigned_abs() as usize));
        } else {
            state.step(insn);
        }
    });
    f64::from(steps) / code.len() as f64
}

const fn jump(offset: i16) -> Instruction {
    Instruction::new(0x05, 0, 0, offset, 0)
}

const fn branch(offset: i16) -> Instruction {
    Instruction::new(0x15, 9, 0, offset, 0)
}

/// Returns spills of different maps and frame addresses, and branches: each next one up to `reach` slots away.
fn random_code(length: usize, reach: u64) -> Vec<Instruction> {
    let mut random = Random(length as u64);
    let mut code = Vec::new();
    while code.len() < length {
        let distance = (random.below(2 * reach) as i64 - reach as i64) as i16;
        let (register, offset) = (random.below(9) as u8, -8 * (1 + random.below(64) as i16));
        match random.below(8) {
            0 | 1 => code.push(branch(distance)),
            2 => code.extend(Instruction::load_imm64(register, 0, random.below(3))),
            3 => code.push(Instruction::new(0x79, register, 10, offset, 0)),
            4 => code.push(Instruction::new(0xbf, register, 10, 0, 0)),
            5 => code.push(Instruction::new(0x07, register, 0, 0, offset.into())),
            6 => code.push(Instruction::new(0x7b, register, 10, offset, 0)),
            _ => code.push(Instruction::new(0x7b, 10, register, offset, 0)),
        }
    }
    code
}

#[test]
fn steps_grow_linearly() {
    for reach in [4, 40, 1000, 30_000] {
        let [small, large] = [2_000, 100_000].map(|length| steps(&random_code(length, reach)));
        assert!(small < 4.0 && large < 4.0, "reach {reach}: {small} steps for each instruction, {large}");
    }
    // Each block jumps to the block before it.
    let mut backwards = vec![jump(3000)];
    backwards.extend((0..1000).flat_map(|_| [branch(1), Instruction::new(0x95, 0, 0, 0, 0), jump(-6)]));
    let steps = steps(&backwards);
    assert!(steps < 3.0, "{steps}");
}

/// Branches, each to the next instruction, with a full stack. Then a map is loaded from the stack.
fn branches(count: usize) -> Vec<Instruction> {
    let mut code = Vec::from(Instruction::load_imm64(6, 0, 7));
    code.extend((1..=64).map(|slot| Instruction::new(0x7b, 10, 6, -8 * slot, 0)));
    code.extend(vec![branch(0); count]);
    code.push(Instruction::new(0x79, 1, 10, -8, 0));
    code.push(Instruction::new(0x95, 0, 0, 0, 0));
    code
}

/// Returns the values of r1 at the exit, in the order of the visits.
fn at_exit(room: usize, code: &[Instruction]) -> Vec<Value> {
    let mut found = Vec::new();
    follow_within(room, code, State::at_entry([Value::Unknown; 5]), &mut |_, insn, state| match insn.code {
        0x18 => state.set(insn.dst(), Value::Map(insn.imm.unsigned_abs() as usize)),
        0x95 => found.push(state.get(1)),
        _ => state.step(insn),
    });
    found
}

#[test]
fn nothing_is_known_if_the_states_have_too_many_values() {
    let code = branches(100);
    // After each branch, 10 registers and 64 parts of the stack.
    let values = 100 * 74;
    assert_eq!(at_exit(values, &code), [Value::Map(7)]);
    assert_eq!(at_exit(values - 1, &code).last(), Some(&Value::Anything));
}

#[test]
fn values_of_many_targets_are_limited() {
    let known = |count: usize| {
        let mut found = Value::Unknown;
        follow(&branches(count), State::at_entry([Value::Unknown; 5]), &mut |_, insn, state| match insn.code {
            0x18 => state.set(insn.dst(), Value::Map(insn.imm.unsigned_abs() as usize)),
            0x95 => found = state.get(1),
            _ => state.step(insn),
        });
        found
    };
    assert_eq!((known(10_000), known(400_000)), (Value::Map(7), Value::Anything));
}
