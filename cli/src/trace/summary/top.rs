//! Counts calls by a name.

use std::collections::HashMap;

use cutaway_programs::getaddrinfo::Text;

/// Names that are counted one by one, at most. Calls with other names are counted together, so that a trace of random
/// names does not use memory without a limit.
const MOST: usize = 16_384;

/// A name, as far as the event has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Name {
    /// There is none.
    Null,
    Unreadable,
    Whole(String),
    /// The beginning of a longer name.
    Cut(String),
}

impl From<Text<'_>> for Name {
    fn from(text: Text<'_>) -> Self {
        let known = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match text {
            Text::Null => Self::Null,
            Text::Unreadable(_) => Self::Unreadable,
            Text::Whole(bytes) => Self::Whole(known(bytes)),
            Text::Cut(bytes) => Self::Cut(known(bytes)),
        }
    }
}

/// The calls with one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calls {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) max_ns: u64,
    total_ns: u128,
}

impl Calls {
    fn add(&mut self, failed: bool, latency_ns: u64) {
        self.calls += 1;
        self.failed += u64::from(failed);
        self.max_ns = self.max_ns.max(latency_ns);
        self.total_ns += u128::from(latency_ns);
    }

    /// Returns the mean latency in nanoseconds.
    pub(super) fn mean_ns(&self) -> u64 {
        u64::try_from(self.total_ns / u128::from(self.calls.max(1))).unwrap_or(u64::MAX)
    }
}

/// The calls by name.
#[derive(Debug, Default)]
pub(super) struct Top {
    named: HashMap<Name, Calls>,
    /// The calls with names that are not counted one by one.
    others: Calls,
}

impl Top {
    pub(super) fn add(&mut self, name: Name, failed: bool, latency_ns: u64) {
        let is_full = self.named.len() >= MOST;
        let calls = match self.named.get_mut(&name) {
            Some(calls) => calls,
            None if is_full => &mut self.others,
            None => self.named.entry(name).or_default(),
        };
        calls.add(failed, latency_ns);
    }

    /// Returns the names with the most calls, at most `most`, and the calls that are not among them.
    pub(super) fn most(&self, most: usize) -> (Vec<(&Name, Calls)>, u64) {
        let mut all: Vec<_> = self.named.iter().map(|(name, calls)| (name, *calls)).collect();
        all.sort_unstable_by(|(left, a), (right, b)| b.calls.cmp(&a.calls).then_with(|| left.cmp(right)));
        let rest: u64 = all.iter().skip(most).map(|(_, calls)| calls.calls).sum();
        all.truncate(most);
        (all, rest + self.others.calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_most_calls_come_first() {
        let mut top = Top::default();
        for (name, failed, latency) in
            [("b", false, 10), ("a", true, 30), ("c", true, 5), ("a", false, 10), ("b", true, 1)]
        {
            top.add(Text::Whole(name.as_bytes()).into(), failed, latency);
        }
        let (most, rest) = top.most(2);
        let seen: Vec<_> = most
            .iter()
            .map(|(name, calls)| (*name, calls.calls, calls.failed, calls.mean_ns(), calls.max_ns))
            .collect();
        let name = |text: &str| Name::Whole(text.to_owned());
        assert_eq!(seen, [(&name("a"), 2, 1, 20, 30), (&name("b"), 2, 1, 5, 10)]);
        assert_eq!(rest, 1);
    }

    #[test]
    fn memory_is_limited_and_calls_are_not_forgotten() {
        let mut top = Top::default();
        for number in 0..MOST + 7 {
            top.add(Name::Whole(number.to_string()), false, 1);
        }
        top.add(Name::Whole("0".to_owned()), false, 1);
        assert_eq!(top.named.len(), MOST);
        let (most, rest) = top.most(1);
        assert_eq!((most[0].1.calls, rest), (2, MOST as u64 - 1 + 7));
    }
}
