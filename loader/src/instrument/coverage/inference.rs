//! Infers whether unmarked blocks ran from the marks of the others.
//!
//! Each run of a function is a path through its blocks, from the entry to a block that leaves the function:
//!
//! ```text
//!              ┌──▶ 1 ──┐                 1 ran      ─▶  0, 3 and 4 ran: no path through 1 avoids them
//!     entry 0 ─┤        ├──▶ 3 ──▶ 4      2 did not  ─▶  if 4 ran, 1 ran: the only other path
//!              └──▶ 2 ──┘                 0 did not  ─▶  nothing ran: no path is left
//! ```
//!
//! So a block ran if a block that ran is on no path without it. A block did not run if no path through it is left.
//!
//! A run that is under way when the marks are read is a path without its end. The rest of it is then taken for granted.
//! If the marks are not those of one moment, a block may have run to which no path is left. Nothing is inferred then.

use std::mem;

use super::{
    blocks::Block,
    dominators::{Dominators, Graph},
};

/// Returns for each block whether it ran, `None` if that is unknown. `ran` has the marks of the same blocks.
pub(in crate::instrument) fn inferred(blocks: &[Block], ran: &[Option<bool>]) -> Vec<Option<bool>> {
    let marks: Vec<_> = (0..blocks.len()).map(|index| ran.get(index).copied().flatten()).collect();
    let graphs = [Graph::forward(blocks), Graph::backward(blocks)];
    let mut known = marks.clone();
    while known.contains(&None) {
        let before = known.clone();
        let paths =
            graphs.each_ref().map(|graph| Dominators::of(graph, &|block| before.get(block) != Some(&Some(false))));
        for (index, known) in known.iter_mut().enumerate() {
            let is_possible = paths.iter().all(|paths| paths.reach(index));
            match known {
                None if !is_possible => *known = Some(false),
                Some(true) if !is_possible => return marks,
                _ => {}
            }
        }
        for paths in &paths {
            let mut seen = vec![false; blocks.len()];
            for index in (0..blocks.len()).filter(|index| before.get(*index) == Some(&Some(true))) {
                for dominator in paths.of_block(index) {
                    // The rest of the chain has been seen, too.
                    if seen.get_mut(dominator).is_none_or(|seen| mem::replace(seen, true)) {
                        break;
                    }
                    if let Some(known) = known.get_mut(dominator) {
                        *known = Some(true);
                    }
                }
            }
        }
        if known == before {
            break;
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: Option<bool> = Some(true);
    const NO: Option<bool> = Some(false);

    /// Returns blocks with these successors. A block without successors leaves the function.
    fn blocks(successors: &[&[usize]]) -> Vec<Block> {
        let block = |(start, &successors): (usize, &&[usize])| Block {
            start,
            end: start + 1,
            successors: successors.to_vec(),
            leaves: successors.is_empty(),
        };
        successors.iter().enumerate().map(block).collect()
    }

    /// The function in the head comment of this file.
    #[test]
    fn blocks_that_every_path_takes_ran() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[4], &[]]);
        assert_eq!(inferred(&all, &[None, YES, None, None, None]), [YES, YES, None, YES, YES]);
        assert_eq!(inferred(&all, &[None, None, NO, None, YES]), [YES, YES, NO, YES, YES]);
        assert_eq!(inferred(&all, &[NO, None, None, None, None]), [NO; 5]);
        assert_eq!(inferred(&all, &[None, None, None, None, NO]), [NO; 5]);
        assert_eq!(inferred(&all, &[None, NO, NO, None, None]), [NO; 5]);
        assert_eq!(inferred(&all, &[None; 5]), [None; 5]);
        assert_eq!(inferred(&all, &[YES, YES, NO, YES, YES]), [YES, YES, NO, YES, YES]);
    }

    #[test]
    fn block_after_one_that_may_leave_is_unknown() {
        let mut all = blocks(&[&[1], &[2], &[]]);
        assert_eq!(inferred(&all, &[YES, None, None]), [YES; 3]);
        all[1].leaves = true;
        assert_eq!(inferred(&all, &[YES, None, None]), [YES, YES, None]);
        assert_eq!(inferred(&all, &[YES, None, NO]), [YES, YES, NO]);
        assert_eq!(inferred(&all, &[None, None, NO]), [None, None, NO]);
    }

    #[test]
    fn loop_that_nothing_enters_did_not_run() {
        let all = blocks(&[&[1, 3], &[2], &[1, 3], &[]]);
        assert_eq!(inferred(&all, &[YES, None, NO, None]), [YES, NO, NO, YES]);
        let unreachable = blocks(&[&[3], &[2], &[1, 3], &[]]);
        assert_eq!(inferred(&unreachable, &[YES, None, None, None]), [YES, NO, NO, YES]);
    }

    /// The marks of several runs are together: each of two ways may have been taken.
    #[test]
    fn alternatives_stay_unknown() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[]]);
        assert_eq!(inferred(&all, &[YES, None, None, YES]), [YES, None, None, YES]);
    }

    #[test]
    fn nothing_is_inferred_from_marks_that_contradict_each_other() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[4], &[]]);
        for marks in [[NO, None, None, YES, None], [None, NO, NO, YES, None], [None, YES, None, None, NO]] {
            assert_eq!(inferred(&all, &marks), marks);
        }
    }

    #[test]
    fn missing_marks_are_unknown() {
        let all = blocks(&[&[1], &[]]);
        assert_eq!(inferred(&all, &[]), [None, None]);
        assert_eq!(inferred(&[], &[]), []);
    }
}
