//! The blocks that need no mark, because [`inferred`](super::inference::inferred) always finds out whether they ran.
//!
//! ```text
//!     0  ──▶ 1 ──▶ 2       2: every path through 0 takes it, and every path to it takes 0
//!     └────────────┘       a mark on 0 stands for both
//!
//!     0  ──▶ 1 ──▶ 3       0: ran if 1 or 2 ran, to which no other path leads
//!     └────▶ 2 ──▶ 4       marks on 1 and 2 stand for it
//! ```
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
    let before = Dominators::of(&forward, &|_| true);
    let after = Dominators::of(&backward, &|_| true);
    // `Some(true)`: needs no mark. `Some(false)`: its mark stands for another block's.
    let mut choices = vec![None; blocks.len()];
    for (index, block) in blocks.iter().enumerate() {
        if choices.get(index) != Some(&None) || !before.reach(index) || !after.reach(index) {
            continue;
        }
        let has_mark = |choices: &[Option<bool>], other: usize| choices.get(other).is_some_and(|it| *it != Some(true));
        let mut dominators = before.of_block(index).take(NEAREST);
        let equal = dominators.find(|&other| has_mark(&choices, other) && after.dominates(index, other));
        let is_only_way = |other: usize| other != index && other != 0 && backward.next(other) == [index];
        let leads_only_here = |other: usize| {
            let leaves = blocks.get(other).is_none_or(|block| block.leaves);
            other != index && !leaves && forward.next(other) == [index]
        };
        let (next, previous) = (block.successors.as_slice(), backward.next(index));
        let stand = match equal {
            Some(other) => vec![other],
            None if !block.leaves && next.iter().all(|&other| has_mark(&choices, other) && is_only_way(other)) => {
                next.to_vec()
            }
            None if index != 0 && previous.iter().all(|&other| has_mark(&choices, other) && leads_only_here(other)) => {
                previous.to_vec()
            }
            None => continue,
        };
        for (other, choice) in stand.into_iter().map(|other| (other, false)).chain([(index, true)]) {
            if let Some(known) = choices.get_mut(other) {
                *known = Some(choice);
            }
        }
    }
    choices.into_iter().map(|choice| choice == Some(true)).collect()
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
        assert_eq!(needless_of(&[&[1], &[2], &[]]), [0, 2]);
        // A condition without and with an alternative.
        assert_eq!(needless_of(&[&[1, 2], &[2], &[]]), [2]);
        assert_eq!(needless_of(&[&[1, 2], &[3], &[3], &[]]), [0, 3]);
        // A loop: its head runs if the entry does, its body may not run.
        assert_eq!(needless_of(&[&[1], &[2, 3], &[1], &[]]), [1, 3]);
    }

    #[test]
    fn marks_of_successors_stand_for_a_block() {
        assert_eq!(needless_of(&[&[1, 2], &[], &[]]), [0]);
        assert_eq!(needless_of(&[&[1, 2], &[0], &[]]), [0]);
        // Another way leads to a successor: from another block, or from the function's caller.
        assert_eq!(needless_of(&[&[1, 2], &[2, 3], &[], &[]]), []);
        assert_eq!(needless_of(&[&[0, 1], &[]]), [1]);
    }

    #[test]
    fn unreachable_blocks_and_endless_loops_keep_their_marks() {
        assert_eq!(needless_of(&[&[2], &[2], &[]]), [2]);
        assert_eq!(needless_of(&[&[1], &[2], &[1]]), []);
    }
}
