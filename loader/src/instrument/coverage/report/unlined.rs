//! Blocks without a line of their own.
//!
//! The compiler gives no line, or line 0, to code that it makes itself or merges from several lines: moves of
//! constants, or the common end of two branches. If all of a block is such code, no line shows whether it ran. So it
//! counts as a part of the lines that lead to it.

use std::collections::{BTreeMap, BTreeSet};

use super::function::{FunctionRun, is_source};
use crate::instrument::code::{Flow, by_slot, flow};

/// Returns the slots of the lines that lead to a block without a line which is not known to have run.
pub(super) fn leading_to_unlined(
    function: &FunctionRun<'_>,
    block_of: impl Fn(usize) -> Option<usize>,
) -> BTreeSet<usize> {
    let lines: BTreeSet<usize> = function.lines.iter().filter(|line| is_source(line)).map(|line| line.slot).collect();
    let last_line = |block: usize| {
        let (slots, _) = function.blocks.get(block).filter(|(slots, _)| !slots.is_empty())?;
        lines.range(slots.clone()).next_back().copied()
    };
    let not_known = |ran: Option<bool>| ran != Some(true);
    let mut pending: Vec<usize> = (0..)
        .zip(function.blocks)
        .filter(|(block, (_, ran))| not_known(*ran) && last_line(*block).is_none())
        .map(|(block, _)| block)
        .collect();
    if pending.is_empty() {
        return BTreeSet::new();
    }
    let predecessors = predecessors(function, block_of);
    let mut seen: BTreeSet<usize> = pending.iter().copied().collect();
    let mut leading = BTreeSet::new();
    while let Some(block) = pending.pop() {
        for &before in predecessors.get(&block).into_iter().flatten() {
            match last_line(before) {
                Some(line) => {
                    leading.insert(line);
                }
                None if seen.insert(before) => pending.push(before),
                None => {}
            }
        }
    }
    leading
}

/// Returns for each block those after which it can run.
fn predecessors(
    function: &FunctionRun<'_>,
    block_of: impl Fn(usize) -> Option<usize>,
) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut predecessors: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (slot, insn) in by_slot(function.instructions) {
        let next = Some(slot + insn.slots());
        let (next, target) = match flow(slot, insn) {
            Flow::Next => (next, None),
            Flow::Branch(target) => (next, Some(target)),
            Flow::Jump(target) => (None, Some(target)),
            Flow::Exit | Flow::Table => (None, None),
        };
        let target = target.and_then(|target| usize::try_from(target).ok());
        let Some(block) = block_of(slot) else { continue };
        for successor in [next, target].into_iter().flatten().filter_map(&block_of) {
            if successor != block {
                predecessors.entry(successor).or_default().insert(block);
            }
        }
    }
    predecessors
}
