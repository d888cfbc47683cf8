use super::*;
use crate::{
    elf::SectionIndex,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

const NOP: Instruction = Instruction::new(JUMP, 0, 0, 0, 0);
const EXIT: Instruction = Instruction::new(0x95, 0, 0, 0, 0);

const fn insn(code: u8, src: u8, offset: i16, imm: i32) -> Instruction {
    Instruction::new(code, 1, src, offset, imm)
}

fn linked(instructions: Vec<Instruction>) -> Linked {
    Linked { instructions, func_info: Vec::new(), line_info: Vec::new(), functions: Vec::new() }
}

/// Inserts `count` no-ops before every instruction.
fn padded(linked: &Linked, count: usize) -> Result<Linked, Error> {
    let mut insertions = Insertions::default();
    for (slot, _) in code::by_slot(&linked.instructions) {
        insertions.before(slot, vec![NOP; count]);
    }
    insertions.apply(linked)
}

#[test]
fn program_without_insertions_is_unchanged() {
    let plain = linked(vec![insn(0x15, 0, 1, 0), insn(0x0d, 0, 0, 0), EXIT]);
    assert_eq!(Insertions::default().apply(&plain).unwrap().instructions, plain.instructions);
}

/// Each form has the same target after the insertion.
#[test]
fn each_form_of_a_reference_keeps_its_target() {
    for (code, src) in
        [(0x05, 0), (0x06, 0), (0x15, 0), (0x1d, 2), (0x16, 0), (0xa6, 0), (0xe5, 0), (0x85, 1), (0x18, 4)]
    {
        for target in [0, 1, 4, 6] {
            let mut code_of = vec![NOP; 8];
            code_of[3] = insn(code, src, 0, 0);
            let wide = code == 0x18;
            if wide {
                code_of[4] = Instruction::default();
            }
            let distance = target - 3 - 1;
            match code::reference(3, code_of[3]).unwrap().1 {
                Encoding::Offset => code_of[3].offset = distance as i16,
                _ => code_of[3].imm = distance,
            }
            if wide && target == 4 {
                continue;
            }
            code_of[7] = EXIT;
            let plain = linked(code_of);
            let padded = padded(&plain, 2).unwrap();
            let slots: Vec<_> = code::by_slot(&plain.instructions).map(|(slot, _)| slot).collect();
            let at = slots.iter().take_while(|slot| **slot < 3).count() * 3 + 2;
            assert_eq!(padded.instructions[at].code, code);
            let reached = slots.iter().position(|slot| *slot == target as usize).unwrap() as i64 * 3;
            let reached = reached + i64::from(wide && target > 3);
            assert_eq!(code::reference(at, padded.instructions[at]).unwrap().0, reached, "{code:#x} to {target}");
        }
    }
}

#[test]
fn jumps_skip_what_is_inserted_after() {
    // 0: if r1 == 0 goto 2;  1: call;  2: exit
    let plain = linked(vec![insn(0x15, 0, 1, 0), insn(0x85, 0, 0, 5), EXIT]);
    let mut insertions = Insertions::default();
    insertions.after(1, [NOP; 3]);
    let changed = insertions.apply(&plain).unwrap().instructions;
    assert_eq!(changed, [insn(0x15, 0, 4, 0), insn(0x85, 0, 0, 5), NOP, NOP, NOP, EXIT]);
    insertions.before(2, [insn(0xb7, 0, 0, 7)]);
    let changed = insertions.apply(&plain).unwrap().instructions;
    assert_eq!(changed[..2], [insn(0x15, 0, 4, 0), insn(0x85, 0, 0, 5)]);
    assert_eq!(changed[5..], [insn(0xb7, 0, 0, 7), EXIT]);
}

#[test]
fn both_slots_of_a_load_stay_together() {
    let [first, second] = Instruction::load_imm64(1, 2, 3 | 9 << 32);
    let plain = linked(vec![first, second, EXIT]);
    let mut insertions = Insertions::default();
    insertions.before(0, [NOP]);
    insertions.after(0, [NOP]);
    assert_eq!(insertions.apply(&plain).unwrap().instructions, [NOP, first, second, NOP, EXIT]);
    insertions.before(1, [NOP]);
    assert!(insertions.apply(&plain).unwrap_err().to_string().contains("no instruction starts at 1"));
}

#[test]
fn infos_and_functions_move_to_what_is_inserted_before() {
    let line = |insn_off| bpf_line_info { insn_off, file_name_off: 1, line_off: 2, line_col: 3 };
    let (one, other) = (SectionIndex::in_no_file(1), SectionIndex::in_no_file(2));
    let plain = Linked {
        func_info: vec![bpf_func_info { insn_off: 0, type_id: 1 }, bpf_func_info { insn_off: 2, type_id: 2 }],
        line_info: vec![line(0), line(1), line(2), line(3)],
        functions: vec![((one, 0), 0), ((other, 0), 2)],
        ..linked(vec![insn(0x85, 1, 0, 1), EXIT, NOP, EXIT])
    };
    let mut insertions = Insertions::default();
    insertions.before(2, [NOP; 2]);
    insertions.after(0, [NOP]);
    let changed = insertions.apply(&plain).unwrap();
    // The call leads to what is inserted at the start of the function.
    assert_eq!(code::reference(0, changed.instructions[0]).unwrap().0, 3);
    assert_eq!(changed.func_info.iter().map(|info| info.insn_off).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(changed.line_info.iter().map(|info| info.insn_off).collect::<Vec<_>>(), [0, 2, 3, 6]);
    assert_eq!(changed.functions, [((one, 0), 0), ((other, 0), 3)]);
}

/// Follows the jumps that stand in for one: the slot that control reaches if the condition is true.
fn reached(code_of: &[Instruction], mut at: usize) -> usize {
    loop {
        let (target, _) = code::reference(at, code_of[at]).unwrap();
        at = target as usize;
        if code_of[at].code != LONG_JUMP {
            return at;
        }
    }
}

#[test]
fn jump_that_becomes_too_long_gets_32_bits() {
    const LENGTH: usize = 20_000;
    let marker = insn(0xb7, 0, 0, 77);
    for code in [0x05, 0x15, 0x1d, 0x16, 0xe5] {
        for backward in [false, true] {
            let mut code_of = vec![NOP; LENGTH + 3];
            let (from, to) = if backward { (LENGTH + 1, 0) } else { (0, LENGTH + 1) };
            code_of[from] = insn(code, 2, (to as i64 - from as i64 - 1) as i16, 0);
            code_of[to] = marker;
            code_of[LENGTH + 2] = EXIT;
            let other = insn(0xb7, 0, 0, 78);
            code_of[12] = other;
            code_of[LENGTH - 5] = insn(0x05, 0, 3, 0);
            code_of[LENGTH - 1] = other;
            code_of[1] = insn(0x05, 0, 10, 0);
            let changed = padded(&linked(code_of), 1).unwrap().instructions;
            let at = changed.iter().position(|insn| insn.src() == 2 || insn.code == LONG_JUMP).unwrap();
            let arrived = reached(&changed, at);
            // Jumps lead to the inserted instruction before the target.
            assert_eq!((changed[arrived], changed[arrived + 1]), (NOP, marker), "{code:#x} {backward}");
            if code != 0x05 {
                assert_eq!(changed[at].offset, 1);
                assert_eq!(code::reference(at + 1, changed[at + 1]).unwrap().0 as usize, at + 3, "falls through");
            }
            for over in changed.iter().enumerate().filter(|(_, insn)| insn.code == 0x05 && insn.offset > 1) {
                let target = code::reference(over.0, *over.1).unwrap().0 as usize;
                assert_eq!((changed[target], changed[target + 1]), (NOP, other), "other jumps keep their targets");
            }
        }
    }
}

/// Each jump is as long as it may be, and spans the next one: a longer jump makes only one other jump too long.
#[test]
fn chain_of_lengthened_jumps_takes_little_time() {
    const REACH: usize = 32_767;
    const JUMPS: usize = 10_000;
    // Jump number n, at slot n * 3, spans jump n + 1 but not jump n + REACH / 3.
    let length = JUMPS * 3 + REACH + 10;
    let mut code_of = vec![NOP; length];
    for jump in 0..JUMPS {
        code_of[jump * 3] = insn(0x15, 2, REACH as i16, 0);
    }
    code_of[length - 1] = EXIT;
    let plain = linked(code_of);
    let mut insertions = Insertions::default();
    insertions.before(JUMPS * 3 + 1, [NOP]);
    let start = std::time::Instant::now();
    let changed = insertions.apply(&plain).unwrap().instructions;
    // One round takes milliseconds; a round for each jump would take a minute.
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(changed.iter().filter(|insn| insn.code == LONG_JUMP).count() > JUMPS / 2);
}

#[test]
fn refusals_give_the_reason() {
    let table = linked(vec![insn(0x0d, 0, 0, 0), EXIT]);
    assert!(padded(&table, 1).unwrap_err().to_string().contains("`gotox`"));
    for outside in [insn(0x05, 0, 5, 0), insn(0x15, 0, -2, 0), insn(0x85, 1, 0, i32::MIN), insn(0x06, 0, 0, i32::MAX)] {
        let error = padded(&linked(vec![outside, EXIT]), 1).unwrap_err();
        assert!(error.to_string().contains("outside the program"), "{error}");
    }
    let long = linked(vec![NOP; MAX_INSNS / 2 + 1]);
    assert!(padded(&long, 1).unwrap_err().to_string().contains("more than 1000000"));
    // A file can end in the middle of a load.
    let cut = linked(vec![Instruction::load_imm64(1, 0, 1)[0]]);
    assert_eq!(padded(&cut, 1).unwrap().instructions.len(), 2);
}
