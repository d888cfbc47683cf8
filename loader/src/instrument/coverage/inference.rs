//! Infers whether unmarked blocks ran from the marks of the others.
//!
//! Each run of a function takes a path through its blocks, from the entry to a block that leaves the function:
//!
//! ```text
//!              ┌──▶ 1 ──┐                 1 ran      ─▶  0, 3 and 4 ran: no path through 1 avoids them
//!     entry 0 ─┤        ├──▶ 3 ──▶ 4      2 did not  ─▶  if 4 ran, 1 ran: the only other path
//!              └──▶ 2 ──┘                 0 did not  ─▶  nothing ran: no path leads on
//! ```
//!
//! So a block ran if a block that ran is on no path without it. A block did not run if no path from the entry leads to
//! it.
//!
//! A run that is under way when the marks are read is the beginning of a path. So no block is said not to have run
//! because the blocks after it did not. The rest of a run is taken for granted as far as each path takes the same
//! blocks, unless the mark of one of these shows that no run has come so far.
//!
//! If the marks are not those of one moment, a block may have run to which no path is left. Nothing is inferred then.

use super::{
    blocks::Block,
    dominators::{Dominators, Graph},
};

/// Returns for each block whether it ran, `None` if that is unknown. `ran` has the marks of the same blocks.
pub(in crate::instrument) fn inferred(blocks: &[Block], ran: &[Option<bool>]) -> Vec<Option<bool>> {
    let marks: Vec<_> = (0..blocks.len()).map(|index| ran.get(index).copied().flatten()).collect();
    if !marks.contains(&None) {
        return marks;
    }
    let before = Dominators::of(&Graph::forward(blocks), &|block| marks.get(block) != Some(&Some(false)));
    let mut known = marks.clone();
    for (_, known) in known.iter_mut().enumerate().filter(|(block, _)| !before.reach(*block)) {
        if *known == Some(true) {
            return marks;
        }
        *known = Some(false);
    }
    let after = Dominators::of(&Graph::backward(blocks), &|_| true);
    // Whether a block that each path takes later did not run.
    let mut is_under_way = vec![false; blocks.len()];
    for block in after.in_order() {
        let Some(later) = after.nearest(block) else { continue };
        let ends_before = known.get(later) == Some(&Some(false)) || is_under_way.get(later) == Some(&true);
        if let Some(is_under_way) = is_under_way.get_mut(block) {
            *is_under_way = ends_before;
        }
    }
    // A granted block proves nothing about the path to it, which may not have run yet.
    add(&mut known, |block| before.nearest(block));
    add(&mut known, |block| after.nearest(block).filter(|_| is_under_way.get(block) == Some(&false)));
    known
}

/// Notes for each block that ran that the block which this function returns ran, too.
fn add(known: &mut [Option<bool>], also_ran: impl Fn(usize) -> Option<usize>) {
    let mut open: Vec<_> = (0..known.len()).filter(|block| known.get(*block) == Some(&Some(true))).collect();
    while let Some(block) = open.pop() {
        let Some(other) = also_ran(block) else { continue };
        if let Some(known @ None) = known.get_mut(other) {
            *known = Some(true);
            open.push(other);
        }
    }
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
        assert_eq!(inferred(&all, &[None, NO, NO, None, None]), [None, NO, NO, NO, NO]);
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

    /// A sleeping program can be in a block for long.
    #[test]
    fn run_under_way_is_not_called_one_that_did_not_happen() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[4], &[]]);
        assert_eq!(inferred(&all, &[None, None, None, None, NO]), [None, None, None, None, NO]);
        // It is between 1 and 4.
        assert_eq!(inferred(&all, &[None, YES, None, None, NO]), [YES, YES, None, None, NO]);
        // It is in 0, and may take either way.
        assert_eq!(inferred(&all, &[YES, None, NO, NO, NO]), [YES, None, NO, NO, NO]);
        assert_eq!(inferred(&all, &[YES, None, NO, None, None]), [YES, None, NO, YES, YES]);
    }

    #[test]
    fn effort_grows_with_the_number_of_blocks() {
        const COUNT: usize = 200_000;
        // Each block is skipped by the one before it.
        let next = |block: usize| (block + 1..(block + 3).min(COUNT)).collect::<Vec<_>>();
        let all: Vec<_> = (0..COUNT).map(next).collect();
        let all = blocks(&all.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let marks: Vec<_> = (0..COUNT).map(|block| (block % 3 == 1).then_some(block % 2 == 1)).collect();
        let known = inferred(&all, &marks);
        assert_eq!((known[0], known[3], known[9]), (YES, YES, YES));
    }

    #[test]
    fn loop_that_nothing_enters_did_not_run() {
        let all = blocks(&[&[1, 3], &[2], &[1, 3], &[]]);
        // It may be in 1.
        assert_eq!(inferred(&all, &[YES, None, NO, None]), [YES, None, NO, YES]);
        let unreachable = blocks(&[&[3], &[2], &[1, 3], &[]]);
        assert_eq!(inferred(&unreachable, &[YES, None, None, None]), [YES, NO, NO, YES]);
    }

    /// The marks of several runs are together: each of two paths may have been taken.
    #[test]
    fn alternatives_stay_unknown() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[]]);
        assert_eq!(inferred(&all, &[YES, None, None, YES]), [YES, None, None, YES]);
    }

    #[test]
    fn nothing_is_inferred_from_marks_that_contradict_each_other() {
        let all = blocks(&[&[1, 2], &[3], &[3], &[4], &[]]);
        for marks in [[NO, None, None, YES, None], [None, NO, NO, YES, None]] {
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
