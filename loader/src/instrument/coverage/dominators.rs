//! The blocks that every path to a block takes: its *dominators*.
//!
//! The dominators of a block form a chain: each has a nearest other dominator, its parent in a tree (`parents.rs`). The
//! root of the tree is no block. It leads to the blocks where paths begin.

mod parents;

use std::iter;

use self::parents::{ROOT, parents};
use super::blocks::{Block, predecessors};

/// The blocks of a function in the order of control, or against it.
pub(super) struct Graph {
    /// Where paths begin.
    roots: Vec<usize>,
    next: Vec<Vec<usize>>,
}

impl Graph {
    /// Returns the paths from the entry.
    pub(super) fn forward(blocks: &[Block]) -> Self {
        Self { roots: vec![0], next: blocks.iter().map(|block| block.successors.clone()).collect() }
    }

    /// Returns the paths from the blocks that leave the function, against the order of control.
    pub(super) fn backward(blocks: &[Block]) -> Self {
        let leaving = blocks.iter().enumerate().filter(|(_, block)| block.leaves);
        Self { roots: leaving.map(|(index, _)| index).collect(), next: predecessors(blocks) }
    }

    /// Returns the blocks that follow a block.
    pub(super) fn next(&self, block: usize) -> &[usize] {
        self.next.get(block).map_or(&[], Vec::as_slice)
    }

    /// Searches the blocks that a path through allowed blocks reaches, depth first.
    fn search(&self, is_allowed: &dyn Fn(usize) -> bool) -> Search {
        let mut seen: Vec<_> = (0..self.next.len()).map(|block| !is_allowed(block)).collect();
        let mut first_time = |block: usize| seen.get_mut(block).is_some_and(|seen| !std::mem::replace(seen, true));
        let mut search = Search { blocks: Vec::new(), found_from: vec![ROOT] };
        let mut path = vec![(ROOT, self.roots.iter())];
        while let Some((from, left)) = path.last_mut() {
            match left.find(|next| first_time(**next)) {
                Some(&next) => {
                    search.blocks.push(next);
                    search.found_from.push(*from);
                    path.push((search.blocks.len(), self.next(next).iter()));
                }
                None => {
                    path.pop();
                }
            }
        }
        search
    }
}

/// The blocks in the order in which a search finds them.
struct Search {
    /// The blocks by number from 1 on.
    blocks: Vec<usize>,
    /// For each number that of the block from which the search came. [`ROOT`] comes from itself.
    found_from: Vec<usize>,
}

/// The dominators of the blocks of a graph.
pub(super) struct Dominators {
    /// The number of each block; `None` if no path reaches it.
    numbers: Vec<Option<usize>>,
    /// The nodes of the tree by number.
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    block: usize,
    parent: usize,
    /// The position of the node if each node is before its children, and a child's children are before the next child.
    place: usize,
    /// The number of nodes in the subtree.
    size: usize,
}

impl Dominators {
    /// Finds the dominators on paths through allowed blocks.
    pub(super) fn of(graph: &Graph, is_allowed: &dyn Fn(usize) -> bool) -> Self {
        let Search { blocks: order, found_from } = graph.search(is_allowed);
        let mut numbers = vec![None; graph.next.len()];
        for (number, &block) in (1..).zip(&order) {
            if let Some(known) = numbers.get_mut(block) {
                *known = Some(number);
            }
        }
        let number = |block: usize| numbers.get(block).copied().flatten();
        let mut previous = vec![Vec::new(); order.len() + 1];
        let roots = graph.roots.iter().map(|&root| (ROOT, root));
        let edges = order.iter().flat_map(|&block| graph.next(block).iter().map(move |&next| (block, next)));
        let edges = edges.filter_map(|(block, next)| Some((number(block)?, next)));
        for (from, to) in roots.chain(edges) {
            if let Some(previous) = number(to).and_then(|to| previous.get_mut(to)) {
                previous.push(from);
            }
        }
        let parents = parents(&found_from, &previous);
        let blocks = iter::once(usize::MAX).chain(order);
        let mut nodes: Vec<_> =
            blocks.zip(parents).map(|(block, parent)| Node { block, parent, place: 0, size: 1 }).collect();
        for number in (1..nodes.len()).rev() {
            let Some(Node { parent, size, .. }) = nodes.get(number).copied() else { continue };
            if let Some(parent) = nodes.get_mut(parent) {
                parent.size += size;
            }
        }
        // The position of each node's next child.
        let mut places = vec![1; nodes.len()];
        for number in 1..nodes.len() {
            let Some(node) = nodes.get_mut(number) else { continue };
            let Some(next) = places.get_mut(node.parent) else { continue };
            node.place = *next;
            *next += node.size;
            let first_child = node.place + 1;
            if let Some(next) = places.get_mut(number) {
                *next = first_child;
            }
        }
        Self { numbers, nodes }
    }

    fn node(&self, block: usize) -> Option<&Node> {
        self.nodes.get(self.numbers.get(block).copied().flatten()?)
    }

    /// Returns whether a path reaches the block.
    pub(super) fn reach(&self, block: usize) -> bool {
        self.node(block).is_some()
    }

    /// Returns the nearest dominator of a block other than itself.
    pub(super) fn nearest(&self, block: usize) -> Option<usize> {
        let parent = self.node(block)?.parent;
        self.nodes.get(parent).filter(|_| parent != ROOT).map(|node| node.block)
    }

    /// Returns the dominators of a block from the nearest on, without itself.
    pub(super) fn of_block(&self, block: usize) -> impl Iterator<Item = usize> {
        iter::successors(self.nearest(block), |block| self.nearest(*block))
    }

    /// Returns the blocks that paths reach, each after its dominators.
    pub(super) fn in_order(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().skip(1).map(|node| node.block)
    }

    /// Returns whether each path to `block` takes `dominator`.
    pub(super) fn dominates(&self, dominator: usize, block: usize) -> bool {
        let (Some(dominator), Some(block)) = (self.node(dominator), self.node(block)) else { return false };
        (dominator.place..dominator.place + dominator.size).contains(&block.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument::coverage::random_programs::Random;

    /// Returns whether a path from a root reaches `block` without `avoided`.
    fn is_reached(graph: &Graph, block: usize, avoided: Option<usize>) -> bool {
        let mut seen = vec![false; graph.next.len()];
        let mut left = graph.roots.clone();
        while let Some(next) = left.pop() {
            if Some(next) != avoided && !std::mem::replace(&mut seen[next], true) {
                left.extend(graph.next(next));
            }
        }
        seen[block]
    }

    #[test]
    fn dominators_of_random_graphs_are_on_every_path() {
        let mut random = Random::new(1);
        let mut pairs = 0;
        for _ in 0..500 {
            let count = 1 + random.below(12);
            let next = |random: &mut Random| (0..random.below(3)).map(|_| random.below(count)).collect();
            let next: Vec<Vec<usize>> = (0..count).map(|_| next(&mut random)).collect();
            let roots = (0..=random.below(3)).map(|_| random.below(count)).collect();
            let graph = Graph { roots, next };
            let dominators = Dominators::of(&graph, &|_| true);
            for block in 0..count {
                assert_eq!(dominators.reach(block), is_reached(&graph, block, None));
                let chain: Vec<_> = dominators.of_block(block).collect();
                for other in 0..count {
                    let expected = dominators.reach(block) && !is_reached(&graph, block, Some(other));
                    assert_eq!(dominators.dominates(other, block), expected, "{other}, {block}");
                    assert_eq!(chain.contains(&other), expected && other != block, "{other}, {block}");
                    pairs += usize::from(expected && other != block);
                }
                assert!(chain.windows(2).all(|pair| dominators.dominates(pair[1], pair[0])));
            }
        }
        assert!(pairs > 1_000, "{pairs}");
    }

    /// A ladder whose rungs lead in and out of nested loops, in an order that repeats work in simpler algorithms.
    #[test]
    fn effort_grows_with_the_number_of_blocks() {
        const COUNT: usize = 200_000;
        let next = |block: usize| {
            let far = if block.is_multiple_of(2) { COUNT - 1 - block / 2 } else { block / 2 };
            [block + 1, far, COUNT - 1 - block].into_iter().filter(|next| *next < COUNT).collect()
        };
        let irreducible = Graph { roots: vec![0, COUNT / 2], next: (0..COUNT).map(next).collect() };
        // All blocks lead to the last one.
        let fan = (0..COUNT).map(|block| [block + 1, COUNT - 1].into_iter().filter(|next| *next < COUNT).collect());
        let fan = Graph { roots: vec![0], next: fan.collect() };
        for graph in [irreducible, fan] {
            let dominators = Dominators::of(&graph, &|_| true);
            assert!((0..COUNT).all(|block| dominators.reach(block)));
        }
    }

    #[test]
    fn paths_take_only_allowed_blocks() {
        let graph = Graph { roots: vec![0], next: vec![vec![1, 2], vec![3], vec![3], vec![]] };
        let dominators = Dominators::of(&graph, &|block| block != 1);
        assert!(!dominators.reach(1) && dominators.dominates(2, 3));
        assert_eq!(dominators.of_block(3).collect::<Vec<_>>(), [2, 0]);
        assert!(!Dominators::of(&graph, &|block| block != 0).reach(3));
    }
}
