//! Sorted tables that are built once and then only read, in little machine code.
//!
//! An object is small: tens of symbols, hundreds of relocations. A hash table gains nothing there, and costs two to
//! four kilobytes of machine code for each pair of types. A sort costs three to eight kilobytes for each type. So these
//! tables are vectors that are sorted once and searched by bisection. All types share one sort: it sorts indices by a
//! callback that compares two of them, and does not know the elements.

use std::{borrow::Borrow, cmp::Ordering, mem};

/// Values by key.
#[derive(Debug, Clone)]
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// Sorts these pairs. If several have the same key, [`Sorted::get`] finds the last.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::by_sorting(pairs.into_iter().collect())
    }

    fn by_sorting(mut pairs: Vec<(K, V)>) -> Self {
        sort(&mut pairs, |(one, _), (other, _)| one.cmp(other));
        Self(pairs)
    }

    /// Takes pairs that are already sorted by key.
    pub(crate) fn in_order(pairs: Vec<(K, V)>) -> Self {
        Self(pairs)
    }

    /// Returns the index of the last value with this key.
    pub(crate) fn position<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let index = self.index_up_to(key)?;
        self.0.get(index).is_some_and(|(known, _)| known.borrow() == key).then_some(index)
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.position(key).and_then(|index| self.at(index))
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.position(key)?;
        self.at_mut(index)
    }

    /// Returns the value at an index that [`Sorted::position`] returned.
    pub(crate) fn at(&self, index: usize) -> Option<&V> {
        self.0.get(index).map(|(_, value)| value)
    }

    /// As [`Sorted::at`], mutably.
    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut V> {
        self.0.get_mut(index).map(|(_, value)| value)
    }

    /// Returns the pairs whose key is `first` or above, ascending by key.
    pub(crate) fn from<Q: Ord + ?Sized>(&self, first: &Q) -> &[(K, V)]
    where
        K: Borrow<Q>,
    {
        let index = self.0.partition_point(|(known, _)| known.borrow() < first);
        self.0.get(index..).unwrap_or_default()
    }

    /// Returns the index of the last pair whose key is not above `key`.
    pub(crate) fn index_up_to<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.0.partition_point(|(known, _)| known.borrow() <= key).checked_sub(1)
    }

    /// Returns the key and value at an index.
    pub(crate) fn pair(&self, index: usize) -> Option<&(K, V)> {
        self.0.get(index)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the pairs, ascending by key.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.0.iter()
    }
}

/// Sorts `items`; equal ones keep their order.
pub(crate) fn sort<T>(items: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    let indices = indices(items.len(), &|one, other| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => order(one, other),
        _ => Ordering::Equal,
    });
    permute(indices, &mut |one, other| items.swap(one, other));
}

/// Returns the indices below `count`, sorted by `order`, which compares the elements at two indices. Empty if the
/// elements are already sorted, as they are in nearly all compilers' output.
///
/// A merge sort from the bottom up: runs of one index are merged to runs of two, these to runs of four, and so on. The
/// standard library's sorts are faster, and twenty times as much code.
#[inline(never)]
fn indices(count: usize, order: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    if (1..count).all(|index| order(index - 1, index).is_le()) {
        return Vec::new();
    }
    let mut indices: Vec<_> = (0..count).collect();
    let mut run = 1;
    while run < count {
        let mut merged = Vec::with_capacity(count);
        for runs in indices.chunks(run * 2) {
            let (mut left, mut right) = runs.split_at(run.min(runs.len()));
            while let ([one, ones @ ..], [other, others @ ..]) = (left, right) {
                if order(*one, *other).is_le() {
                    merged.push(*one);
                    left = ones;
                } else {
                    merged.push(*other);
                    right = others;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        indices = merged;
        run *= 2;
    }
    indices
}

/// Moves each element to its sorted index, along the cycles of the permutation: swaps the element at an index with the
/// one that belongs there, and continues at the index from which that one came.
#[inline(never)]
fn permute(mut indices: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..indices.len() {
        let mut index = start;
        while let Some(from) =
            indices.get_mut(index).map(|from| mem::replace(from, index)).filter(|&from| from != start)
        {
            swap(index, from);
            index = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_of_equal_keys_is_found() {
        let pairs = [(3, 'c'), (1, 'a'), (2, 'b'), (1, 'z'), (3, 'd'), (1, 'y')];
        let sorted = Sorted::of(pairs);
        let all = [(1, 'a'), (1, 'z'), (1, 'y'), (2, 'b'), (3, 'c'), (3, 'd')];
        assert_eq!(sorted.iter().copied().collect::<Vec<_>>(), all);
        assert_eq!([1, 2, 3, 4].map(|key| sorted.get(&key).copied()), [Some('y'), Some('b'), Some('d'), None]);
        assert_eq!((sorted.position(&3), sorted.position(&0)), (Some(5), None));
        assert_eq!(sorted.from(&2), [(2, 'b'), (3, 'c'), (3, 'd')]);
        assert_eq!(
            (sorted.index_up_to(&7).and_then(|index| sorted.pair(index)), sorted.index_up_to(&0)),
            (Some(&(3, 'd')), None)
        );
    }

    #[test]
    fn sort_is_stable() {
        let mut numbers: Vec<u32> = (0..1000).map(|number| number * 7919 % 1000).collect();
        sort(&mut numbers, |one, other| (other / 10).cmp(&(one / 10)));
        let mut expected: Vec<u32> = (0..1000).map(|number| number * 7919 % 1000).collect();
        expected.sort_by_key(|number| std::cmp::Reverse(number / 10));
        assert_eq!(numbers, expected);
    }
}
