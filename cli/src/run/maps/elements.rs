//! The elements of a map.

use std::cmp::Ordering;

use cutaway::{Error, Map, btf::Btf};

use super::number;
use crate::run::output::read;

/// An element: its key, and its value, or that of each CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    /// One value, with the CPU 0, unless the map is per-CPU.
    pub(super) values: Vec<(u32, Vec<u8>)>,
}

impl Element {
    pub(super) fn is_zero(&self) -> bool {
        self.values.iter().all(|(_, bytes)| bytes.iter().all(|&byte| byte == 0))
    }
}

/// Reads all elements, in the kernel's order.
pub(super) fn read_all(map: &Map) -> Result<Vec<Element>, Error> {
    let mut elements = Vec::new();
    for entries in map.entries() {
        for (key, value) in entries?.iter() {
            // Another process or a program may remove an element between the two calls.
            let values = match map.map_type().is_per_cpu() {
                true => map.lookup_per_cpu(key)?,
                false => Some(vec![(0, value.to_vec())]),
            };
            elements.extend(values.map(|values| Element { key: key.to_vec(), values }));
        }
    }
    Ok(elements)
}

/// Sorts by value, largest first. The value of a structure is that of its first member that is a number, and that of a
/// per-CPU map the sum. Elements with equal values, or without a number, are in the order of their keys.
pub(super) fn sort(elements: &mut Vec<Element>, btf: Option<&Btf<'_>>, value_type: Option<u32>) {
    let mut weighed: Vec<_> = elements
        .drain(..)
        .map(|element| {
            let values: Vec<_> = element.values.iter().map(|(_, bytes)| read(btf, value_type, bytes)).collect();
            let weight = number::sum(values.iter().map(Option::as_ref)).as_ref().and_then(number::weight);
            (weight, element)
        })
        .collect();
    weighed.sort_by(|(left, one), (right, other)| {
        let by_value = match (left, right) {
            (Some(left), Some(right)) => right.compare(left),
            // Those without a number are last.
            _ => right.is_some().cmp(&left.is_some()),
        };
        if by_value == Ordering::Equal { number::compare_keys(&one.key, &other.key) } else { by_value }
    });
    elements.extend(weighed.into_iter().map(|(_, element)| element));
}
