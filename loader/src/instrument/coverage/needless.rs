//! The blocks that need no mark, because [`inferred`](super::inference::inferred) always finds out whether they ran.
//!
//! ```text
//!     0  ──▶ 1 ──▶ 2       2: every path through 0 takes it, and every path to it takes 0
//!     └────────────┘       a mark on 0 stands for both
//!
//!     1  ──▶ 3 ──▶ 4       3: ran if 1 or 2 ran, from which no other path leads
//!     2  ────┘             marks on 1 and 2 stand for it
//! ```
//!
//! The marks of the blocks after a block cannot stand for it: a program may sleep in it and not have come to them.
//!
//! Fewer marks make programs faster, and the verifier too: it may have to walk through each mark many times.

use super::{
    blocks::Block,
    dominators::{Dominators, Graph},
};

/// The number of dominators to look at. A chain of them can be as long as the function.
const NEAREST: usize = 32;

/// Returns for each block whether it needs no mark if all others have one that do.
pub(super) fn needless(blocks: &[Block]) -> Vec<bool> {
    let (forward, backward) = (Graph::forward(blocks), Graph::backward(blocks));
    let (before, after) = (Dominators::of(&forward, &|_| true), Dominators::of(&backward, &|_| true));
    // For each block the first of those that run together with it.
    let mut firsts: Vec<_> = (0..blocks.len()).collect();
    for block in before.in_order() {
        let nearest = before.of_block(block).take(NEAREST).find(|&other| after.dominates(block, other));
        let first = nearest.and_then(|nearest| firsts.get(nearest).copied());
        if let (Some(known), Some(first)) = (firsts.get_mut(block), first) {
            *known = first;
        }
    }
    let first = |block: usize| firsts.get(block).copied().unwrap_or(block);
    // For first blocks. `Some(true)`: needs no mark. `Some(false)`: its mark stands for another block's.
    let mut choices = vec![None; blocks.len()];
    for index in 0..blocks.len() {
        // The mark of a block stands for those after it, so only the first block can do without.
        if first(index) != index || choices.get(index) != Some(&None) || !before.reach(index) || !after.reach(index) {
            continue;
        }
        let has_mark = |other: usize| {
            let other = first(other);
            other != index && choices.get(other).is_some_and(|choice| *choice != Some(true))
        };
        let leads_only_here =
            |other: usize| forward.next(other) == [index] && blocks.get(other).is_some_and(|block| !block.leaves);
        let previous = backward.next(index);
        if index == 0 || !previous.iter().all(|&other| has_mark(other) && leads_only_here(other)) {
            continue;
        }
        let stand = previous.iter().map(|&other| (first(other), false));
        for (other, choice) in stand.chain([(index, true)]) {
            if let Some(known) = choices.get_mut(other) {
                *known = Some(choice);
            }
        }
    }
    (0..blocks.len()).map(|block| first(block) != block || choices.get(block) == Some(&Some(true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the blocks without a need for a mark, given the successors of each. A block without successors leaves
    /// the function.
    fn needless_of(successors: &[&[usize]]) -> Vec<usize> {
        let block = |successors: &&[usize]| Block {
            start: 0,
            end: 1,
            successors: successors.to_vec(),
            leaves: successors.is_empty(),
        };
        let blocks: Vec<_> = successors.iter().map(block).collect();
        needless(&blocks).into_iter().enumerate().filter(|(_, needless)| *needless).map(|(index, _)| index).collect()
    }

    #[test]
    fn one_mark_stands_for_blocks_that_run_together() {
        assert_eq!(needless_of(&[&[]]), []);
        assert_eq!(needless_of(&[&[1], &[2], &[]]), [1, 2]);
        // A condition without and with an alternative.
        assert_eq!(needless_of(&[&[1, 2], &[2], &[]]), [2]);
        assert_eq!(needless_of(&[&[1, 2], &[3], &[3], &[]]), [3]);
        // A loop: its head runs if the entry does, its body may not run.
        assert_eq!(needless_of(&[&[1], &[2, 3], &[1], &[]]), [1, 3]);
    }

    #[test]
    fn marks_of_predecessors_stand_for_a_block() {
        assert_eq!(needless_of(&[&[1, 2, 4], &[3], &[3], &[], &[]]), [3]);
        // Another path leads from a predecessor, or the function's caller leads to the block.
        assert_eq!(needless_of(&[&[1, 2, 4], &[3], &[3, 4], &[], &[]]), []);
        assert_eq!(needless_of(&[&[0, 1], &[]]), [1]);
    }

    #[test]
    fn marks_of_successors_do_not_stand_for_a_block() {
        assert_eq!(needless_of(&[&[1, 2], &[], &[]]), []);
    }

    #[test]
    fn unreachable_blocks_and_endless_loops_keep_their_marks() {
        assert_eq!(needless_of(&[&[2], &[2], &[]]), [2]);
        assert_eq!(needless_of(&[&[1], &[2], &[1]]), []);
    }
}
