use super::*;
use crate::instrument::coverage::{
    inference::inferred,
    interpreter::{End, MARKS_FD, Run, run, run_until},
    random_programs::{Random, random_program, start_of},
};

const PROGRAMS: u64 = 2_000;
const RUNS: u64 = 4;

fn marks_of(linked: &Linked) -> Marks {
    let ends = linked.functions.iter().skip(1).map(|(_, slot)| *slot).chain([linked.instructions.len()]);
    let functions = linked.functions.iter().zip(ends);
    Marks::of_functions(functions.map(|((start, slot), end)| (*start, &linked.instructions[*slot..end])))
}

/// Returns the marked program, and for each mark whether its block could be marked.
fn marked(marks: &Marks, linked: &Linked) -> (Linked, Vec<bool>) {
    let mut insertions = Insertions::default();
    let unmarked = marks.insert(linked, MARKS_FD, true, &mut insertions).unwrap();
    let mut is_marked = vec![true; marks.len()];
    for (function, block) in unmarked {
        is_marked[marks.functions.at(function).unwrap().first + block] = false;
    }
    (insertions.apply(linked).unwrap(), is_marked)
}

/// Returns for each mark whether the run reached its block.
fn reached(marks: &Marks, linked: &Linked, run: &Run) -> Vec<bool> {
    let mut reached = Vec::new();
    for (start, first) in &linked.functions {
        let blocks = marks.functions.get(start).unwrap().blocks.as_ref().unwrap();
        reached.extend(blocks.iter().map(|block| run.slots.contains(&(first + block.start))));
    }
    reached
}

#[test]
fn marks_of_random_programs_are_exactly_the_blocks_that_ran() {
    let [mut all, mut unmarked, mut needless, mut saved, mut ran] = [0; 5];
    for seed in 0..PROGRAMS {
        let plain = random_program(seed);
        let marks = marks_of(&plain);
        let (changed, is_marked) = marked(&marks, &plain);
        for input in 0..RUNS {
            let one = run(&plain, input, 0);
            let other = run(&changed, input, marks.len());
            assert_eq!((one.end, one.jumps, &one.data), (other.end, other.jumps, &other.data), "{seed}, {input}");
            let reached = reached(&marks, &plain, &one);
            for (index, (&reached, &is_marked)) in reached.iter().zip(&is_marked).enumerate() {
                assert_eq!(other.marks[index] == 1, reached && is_marked, "{seed}, {input}, mark {index}");
            }
            ran += reached.iter().filter(|reached| **reached).count();
        }
        let count = |program: &Linked| program.instructions.len();
        all += is_marked.len();
        unmarked += is_marked.iter().filter(|marked| !**marked).count();
        needless += marks.functions().flat_map(|marks| &marks.needless).filter(|needless| **needless).count();
        // A mark has three slots; with a saved register five.
        saved += (count(&changed) - count(&plain) - 3 * is_marked.iter().filter(|marked| **marked).count()) / 2;
    }
    eprintln!("{all} blocks, {unmarked} unmarked ({needless} needless), {saved} registers saved, {ran} ran");
    assert!(unmarked > needless && saved > 0 && ran > all / 4, "{all} {unmarked} {needless} {saved} {ran}");
}

/// Returns the blocks that any of the runs reached; marks of several runs are together, as in a map. Returns `None` if
/// a run is too long: a path that is cut off proves nothing.
fn reached_by_any(marks: &Marks, linked: &Linked, runs: u64) -> Option<Vec<bool>> {
    let mut all = vec![false; marks.len()];
    for input in 0..runs {
        let run = run(linked, input, 0);
        if run.end == End::OutOfFuel {
            return None;
        }
        all.iter_mut().zip(reached(marks, linked, &run)).for_each(|(all, reached)| *all |= reached);
    }
    Some(all)
}

#[test]
fn needless_marks_of_random_programs_are_inferred() {
    let mut needless = 0;
    for seed in 0..PROGRAMS {
        let plain = random_program(seed);
        let marks = marks_of(&plain);
        let Some(truth) = reached_by_any(&marks, &plain, 1 + seed % RUNS) else { continue };
        for function in marks.functions() {
            let blocks = function.blocks.as_ref().unwrap();
            let truth = &truth[function.first..function.first + blocks.len()];
            let seen = truth.iter().zip(&function.needless).map(|(ran, needless)| (!needless).then_some(*ran));
            let inferred = inferred(blocks, &seen.collect::<Vec<_>>());
            let truth: Vec<_> = truth.iter().copied().map(Some).collect();
            assert_eq!(inferred, truth, "{seed}: {blocks:?}");
            needless += function.needless.iter().filter(|needless| **needless).count();
        }
    }
    assert!(needless > 5_000, "{needless}");
}

/// A run that is cut off is like one that sleeps while the marks are read.
#[test]
fn blocks_of_random_runs_under_way_are_not_called_unreached() {
    let (mut cut, mut granted) = (0, 0);
    for seed in 0..PROGRAMS {
        let plain = random_program(seed);
        let marks = marks_of(&plain);
        let mut random = Random::new(seed);
        let whole = run(&plain, seed, 0);
        let slept = run_until(&plain, seed, 0, random.below(whole.jumps + 1));
        let truth = reached(&marks, &plain, &slept);
        for function in marks.functions() {
            let blocks = function.blocks.as_ref().unwrap();
            let truth = &truth[function.first..function.first + blocks.len()];
            let rate = random.below(4);
            let seen = truth.iter().zip(&function.needless);
            let seen: Vec<_> =
                seen.map(|(ran, needless)| (!needless && random.below(8) >= rate).then_some(*ran)).collect();
            for (index, inferred) in inferred(blocks, &seen).into_iter().enumerate() {
                assert!(!(truth[index] && inferred == Some(false)), "{seed}: block {index} of {blocks:?}");
                granted += usize::from(!truth[index] && inferred == Some(true));
            }
        }
        cut += usize::from(slept.jumps < whole.jumps);
    }
    eprintln!("{cut} runs cut off, {granted} blocks taken for granted");
    assert!(cut > PROGRAMS as usize / 4 && granted > 0, "{cut}, {granted}");
}

#[test]
fn inferred_blocks_of_random_programs_are_right() {
    let (mut hidden, mut known) = (0, 0);
    for seed in 0..PROGRAMS {
        let plain = random_program(seed);
        let marks = marks_of(&plain);
        let mut random = Random::new(seed);
        let runs = 1 + random.below(RUNS as usize) as u64;
        let Some(truth) = reached_by_any(&marks, &plain, runs) else { continue };
        for function in marks.functions() {
            let blocks = function.blocks.as_ref().unwrap();
            let truth = &truth[function.first..function.first + blocks.len()];
            let rate = 1 + random.below(4);
            let seen: Vec<_> = truth.iter().map(|ran| (random.below(4) >= rate).then_some(*ran)).collect();
            for (index, inferred) in inferred(blocks, &seen).into_iter().enumerate() {
                assert!(
                    inferred.is_none_or(|inferred| inferred == truth[index]),
                    "{seed}: block {index} of {blocks:?}"
                );
                assert!(seen[index].is_none() || inferred == seen[index]);
                hidden += usize::from(seen[index].is_none());
                known += usize::from(seen[index].is_none() && inferred.is_some());
            }
        }
    }
    eprintln!("{hidden} hidden, {known} inferred");
    assert!(known > hidden / 4 && known < hidden, "{known} of {hidden}");
}

const EXIT: Instruction = insn(0x95, 0, 0, 0, 0);

const fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Instruction {
    Instruction::new(code, dst, src, offset, imm)
}

/// Returns a program of one function.
fn program(instructions: &[Instruction]) -> Linked {
    let (instructions, functions) = (instructions.to_vec(), vec![(start_of(0), 0)]);
    Linked { instructions, func_info: Vec::new(), line_info: Vec::new(), functions }
}

/// Returns the instructions that mark block `offset` through a register.
fn mark_of(register: u8, offset: u64) -> Vec<Instruction> {
    let load = Instruction::load_imm64(register, 2, offset << 32 | MARKS_FD as u64);
    [&load[..], &[insn(0x72, register, 0, 0, 1)]].concat()
}

#[test]
fn blocks_that_need_a_mark_are_marked_through_a_dead_register() {
    // r0 = r1; if r0 == 0 goto 3; r0 += r2; exit
    let code = [insn(0xbf, 0, 1, 0, 0), insn(0x15, 0, 0, 1, 0), insn(0x0f, 0, 2, 0, 0), EXIT];
    let plain = program(&code);
    let (changed, is_marked) = marked(&marks_of(&plain), &plain);
    let jump = insn(0x15, 0, 0, 4, 0);
    let expected = [&mark_of(0, 0), &[code[0], jump][..], &mark_of(1, 1), &code[2..]].concat();
    // The last block runs if the first does.
    assert_eq!((changed.instructions, is_marked), (expected, vec![true, true, false]));
}

#[test]
fn mark_is_placed_after_instructions_that_free_a_register() {
    let adds: Vec<_> = (0..10).map(|src| insn(0x0f, 0, src, 0, 0)).collect();
    let plain = program(&[&adds, &[EXIT][..]].concat());
    let (changed, is_marked) = marked(&marks_of(&plain), &plain);
    // r1 is dead after the second addition.
    let expected = [&adds[..2], &mark_of(1, 0), &adds[2..], &[EXIT]].concat();
    assert_eq!((changed.instructions, is_marked), (expected, vec![true]));
}

/// Returns a block in which all registers are live.
fn crowded() -> Vec<Instruction> {
    let adds = (0..10).map(|src| insn(0x0f, 0, src, 0, 0));
    [insn(0x15, 0, 0, -1, 0)].into_iter().chain(adds).chain([EXIT]).collect()
}

#[test]
fn mark_saves_a_register_on_the_stack_if_all_are_live() {
    let code = crowded();
    let plain = program(&code);
    let (changed, is_marked) = marked(&marks_of(&plain), &plain);
    assert_eq!(is_marked, [true, false]);
    let saved = [&[insn(0x7b, 10, 9, -8, 0)], &mark_of(9, 0)[..], &[insn(0x79, 9, 10, -8, 0)]].concat();
    assert_eq!(changed.instructions[..5], saved);
    assert_eq!(changed.instructions[5], insn(0x15, 0, 0, -6, 0));
}

#[test]
fn block_is_unmarked_if_all_registers_are_live_and_the_stack_is_full() {
    let mut code = crowded();
    code.insert(11, insn(0x7b, 10, 1, -512, 0));
    let plain = program(&code);
    let (changed, is_marked) = marked(&marks_of(&plain), &plain);
    assert_eq!((changed.instructions, is_marked), (code, vec![false, false]));
}

#[test]
fn function_with_unknown_control_flow_is_not_marked() {
    let code = [insn(0xb7, 0, 0, 0, 0), EXIT, insn(0xb7, 0, 0, 0, 0), insn(0xb7, 0, 0, 0, 0), EXIT];
    let functions = vec![(start_of(0), 0), (start_of(1), 2), (start_of(2), 3)];
    let plain = Linked { functions, ..program(&code) };
    let marks = marks_of(&plain);
    let (changed, is_marked) = marked(&marks, &plain);
    let expected = [&mark_of(0, 0), &code[..3], &mark_of(0, 1), &code[3..]].concat();
    assert_eq!((changed.instructions, is_marked), (expected, vec![true; 2]));
    let reasons: Vec<_> = marks.functions().map(|marks| marks.blocks.as_ref().err().cloned()).collect();
    assert_eq!(reasons, [None, Some("control runs past its last instruction, 0".to_owned()), None]);
}

#[test]
fn program_with_an_unknown_function_is_a_bug() {
    let plain = program(&[insn(0xb7, 0, 0, 0, 0), EXIT]);
    let marks = marks_of(&plain);
    let other = Linked { functions: vec![(start_of(1), 0)], ..plain.clone() };
    let shorter = Linked { instructions: vec![EXIT], ..plain };
    for linked in [other, shorter] {
        let outcome = marks.insert(&linked, MARKS_FD, true, &mut Insertions::default());
        assert!(matches!(outcome, Err(Error::Bug { .. })), "{outcome:?}");
    }
}

#[test]
fn programs_share_the_marks_of_their_functions() {
    let path = format!("{}/../tests/corpus/kinds/code.o", env!("CARGO_MANIFEST_DIR"));
    let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
    let marks = Marks::of(&object);
    assert_eq!(marks.functions().len(), object.function_table().len());
    let blocks = marks.functions().map(|marks| marks.blocks.as_ref().unwrap().len());
    assert_eq!(blocks.sum::<usize>(), marks.len());
    let mut end = 0;
    for ((start, function), marks) in object.function_table().iter().zip(marks.functions()) {
        assert_eq!(marks.first, end, "{start:?}");
        end += marks.blocks.as_ref().unwrap().len();
        assert_eq!(marks.blocks.as_ref().unwrap().last().unwrap().end, function.instructions.len());
    }
}
