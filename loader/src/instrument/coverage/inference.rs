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
//! A path that is under way when the marks are read may end before its last block. Read them when no program runs.

use super::blocks::Block;

/// Returns for each block whether it ran, `None` if that is unknown. `ran` has the marks of the same blocks.
pub(in crate::instrument) fn inferred(blocks: &[Block], ran: &[Option<bool>]) -> Vec<Option<bool>> {
    let mut known: Vec<_> = (0..blocks.len()).map(|index| ran.get(index).copied().flatten()).collect();
    if known.iter().all(Option::is_some) {
        return known;
    }
    let forward = Graph::forward(blocks);
    let backward = Graph::backward(blocks);
    loop {
        let mut changed = false;
        let possible = [&forward, &backward].map(|graph| graph.reached(&known, None));
        for index in 0..known.len() {
            let is_possible = possible.iter().all(|reached| reached.get(index) == Some(&true));
            let unknown = known.get_mut(index).filter(|known| known.is_none());
            if let (false, Some(unknown)) = (is_possible, unknown) {
                *unknown = Some(false);
                changed = true;
            }
        }
        for index in 0..known.len() {
            if known.get(index) != Some(&None) || !known.contains(&Some(true)) {
                continue;
            }
            let is_necessary = [&forward, &backward].iter().any(|graph| {
                let reached = graph.reached(&known, Some(index));
                known.iter().zip(reached).any(|(ran, reached)| *ran == Some(true) && !reached)
            });
            if let (true, Some(unknown)) = (is_necessary, known.get_mut(index)) {
                *unknown = Some(true);
                changed = true;
            }
        }
        if !changed {
            return known;
        }
    }
}

/// Blocks in the order of control, or against it.
struct Graph {
    roots: Vec<usize>,
    next: Vec<Vec<usize>>,
}

impl Graph {
    fn forward(blocks: &[Block]) -> Self {
        Self { roots: vec![0], next: blocks.iter().map(|block| block.successors.clone()).collect() }
    }

    fn backward(blocks: &[Block]) -> Self {
        let mut next = vec![Vec::new(); blocks.len()];
        for (index, block) in blocks.iter().enumerate() {
            for &successor in &block.successors {
                if let Some(predecessors) = next.get_mut(successor) {
                    predecessors.push(index);
                }
            }
        }
        let leaving = blocks.iter().enumerate().filter(|(_, block)| block.leaves);
        Self { roots: leaving.map(|(index, _)| index).collect(), next }
    }

    /// Returns for each block whether a path from a root reaches it without `avoided` and without blocks that did not
    /// run.
    fn reached(&self, ran: &[Option<bool>], avoided: Option<usize>) -> Vec<bool> {
        let mut reached = vec![false; self.next.len()];
        let mut left = self.roots.clone();
        while let Some(index) = left.pop() {
            if Some(index) == avoided || ran.get(index) == Some(&Some(false)) {
                continue;
            }
            let Some(known) = reached.get_mut(index).filter(|known| !**known) else { continue };
            *known = true;
            left.extend(self.next.get(index).into_iter().flatten());
        }
        reached
    }
}
