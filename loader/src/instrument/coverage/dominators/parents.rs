//! The nearest dominator of each node, in nearly linear time.
//!
//! Lengauer and Tarjan, "A Fast Algorithm for Finding Dominators in a Flowgraph" (1979), with path compression. It
//! needs at most O(m log n) steps for n nodes and m edges, also if a hostile object has deep and irreducible loops.
//!
//! Nodes have the numbers of a depth-first search from [`ROOT`]. The *semidominator* of a node is the lowest node from
//! which a path leads to it through higher nodes only.

use std::mem;

/// The number of the tree's root. The blocks have the numbers from 1 on, each a higher one than its parent.
pub(super) const ROOT: usize = 0;

/// The state of a node. Before its turn, a node is the root of a tree in the forest of treated nodes.
#[derive(Clone, Copy, Default)]
struct Node {
    /// The node from which the search came here.
    found_from: usize,
    /// The semidominator.
    semi: usize,
    /// The node above in the forest; higher nodes are skipped once they were looked at.
    above: Option<usize>,
    /// The node with the lowest semidominator on the skipped path.
    best: usize,
    dominator: usize,
}

struct Forest(Vec<Node>);

impl Forest {
    fn at(&self, number: usize) -> Node {
        self.0.get(number).copied().unwrap_or_default()
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.0.get_mut(number) {
            change(node);
        }
    }

    /// Returns the node with the lowest semidominator on the way up from `number`, without the tree's root.
    fn best(&mut self, number: usize) -> usize {
        let mut way = Vec::new();
        let mut next = number;
        while let Some(above) = self.at(next).above {
            way.push(next);
            next = above;
        }
        // The highest node of the way has nothing to skip.
        way.pop();
        for &node in way.iter().rev() {
            let Some(above) = self.at(node).above.map(|above| self.at(above)) else { continue };
            if self.at(above.best).semi < self.at(self.at(node).best).semi {
                self.change(node, |node| node.best = above.best);
            }
            self.change(node, |node| node.above = above.above);
        }
        self.at(number).best
    }
}

/// Returns the nearest dominators of all nodes by number, given the node from which the search came to each, and all
/// previous nodes of each.
pub(super) fn parents(found_from: &[usize], previous: &[Vec<usize>]) -> Vec<usize> {
    let node = |(number, &found_from)| Node { found_from, semi: number, above: None, best: number, dominator: ROOT };
    let mut forest = Forest(found_from.iter().enumerate().map(node).collect());
    // The nodes by their semidominator, until their dominator is known.
    let mut waiting = vec![Vec::new(); found_from.len()];
    for number in (ROOT + 1..found_from.len()).rev() {
        for &from in previous.get(number).into_iter().flatten() {
            let best = forest.best(from);
            let semi = forest.at(best).semi;
            forest.change(number, |node| node.semi = node.semi.min(semi));
        }
        let Node { found_from, semi, .. } = forest.at(number);
        if let Some(waiting) = waiting.get_mut(semi) {
            waiting.push(number);
        }
        forest.change(number, |node| node.above = Some(found_from));
        for waits in waiting.get_mut(found_from).map(mem::take).unwrap_or_default() {
            let best = forest.best(waits);
            let is_lower = forest.at(best).semi < forest.at(waits).semi;
            forest.change(waits, |node| node.dominator = if is_lower { best } else { found_from });
        }
    }
    for number in ROOT + 1..found_from.len() {
        let Node { dominator, semi, .. } = forest.at(number);
        if dominator != semi {
            let dominator = forest.at(dominator).dominator;
            forest.change(number, |node| node.dominator = dominator);
        }
    }
    forest.0.iter().map(|node| node.dominator).collect()
}
