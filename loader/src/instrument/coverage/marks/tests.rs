use super::*;
use crate::instrument::coverage::{
    inference::inferred,
    interpreter::{End, MARKS_FD, Run, run},
    random_programs::{Random, random_program},
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
    let unmarked = marks.insert(linked, MARKS_FD, &mut insertions).unwrap();
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
    let (mut all, mut unmarked, mut saved, mut ran) = (0, 0, 0, 0);
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
        // A mark has three slots; with a saved register five.
        saved += (count(&changed) - count(&plain) - 3 * is_marked.iter().filter(|marked| **marked).count()) / 2;
    }
    eprintln!("{all} blocks, {unmarked} unmarked, {saved} save a register, {ran} ran");
    assert!(unmarked > 0 && saved > 0 && ran > all / 4, "{all} {unmarked} {saved} {ran}");
}

#[test]
fn inferred_blocks_of_random_programs_are_right() {
    let (mut hidden, mut known) = (0, 0);
    for seed in 0..PROGRAMS {
        let plain = random_program(seed);
        let marks = marks_of(&plain);
        let mut random = Random::new(seed);
        let runs: Vec<_> = (0..RUNS).map(|input| run(&plain, input, 0)).collect();
        if runs.iter().any(|run| run.end == End::OutOfFuel) {
            // A path that is cut off proves nothing.
            continue;
        }
        // Marks of several runs are together, as in a map.
        let mut truth = vec![false; marks.len()];
        for run in runs.iter().take(1 + random.below(RUNS as usize)) {
            truth.iter_mut().zip(reached(&marks, &plain, run)).for_each(|(truth, reached)| *truth |= reached);
        }
        for function in marks.functions() {
            let blocks = function.blocks.as_ref().unwrap();
            let truth = &truth[function.first..function.first + blocks.len()];
            let rate = 1 + random.below(4);
            let seen: Vec<_> = truth.iter().map(|ran| (random.below(4) >= rate).then_some(*ran)).collect();
            for (index, inferred) in inferred(blocks, &seen).into_iter().enumerate() {
                assert!(inferred.is_none_or(|inferred| inferred == truth[index]), "{seed}: block {index} of {blocks:?}");
                assert!(seen[index].is_none() || inferred == seen[index]);
                hidden += usize::from(seen[index].is_none());
                known += usize::from(seen[index].is_none() && inferred.is_some());
            }
        }
    }
    eprintln!("{hidden} hidden, {known} inferred");
    assert!(known > hidden / 4 && known < hidden, "{known} of {hidden}");
}
