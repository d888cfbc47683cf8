//! The tests of one kernel, split into shards that several guests run at the same time.
//!
//! A guest under software emulation keeps one of the host's CPUs busy, whatever its own number of CPUs. Two guests keep
//! two busy, and a test still has its guest for itself while it runs. All guests have the same files
//! and the same plan; each guest's orders name its shard.

use serde::{Deserialize, Serialize};

use crate::report::{End, Guest, Outcome};

/// A guest's share of the tests: every `of`th test, beginning with `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// All tests.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Returns all shards of a plan that `of` guests share.
    pub(crate) fn all(of: usize) -> impl Iterator<Item = Self> {
        (0..of.max(1)).map(move |index| Self { index, of: of.max(1) })
    }

    /// Returns true if the test or program with this index belongs to the shard.
    #[must_use]
    pub fn has(self, number: usize) -> bool {
        number % self.of == self.index
    }

    /// Returns the name of the directory for this guest's files; `None` if there is only one guest.
    pub(crate) fn folder(self) -> Option<String> {
        (self.of > 1).then(|| (self.index + 1).to_string())
    }
}

/// Labels rows of unknown results with the shard. Otherwise another guest's rows for the same binary would replace
/// them.
pub(crate) fn label_unknown(mut guest: Guest, shard: Shard) -> Guest {
    let unknown = guest.tests.iter_mut().filter(|test| test.name.is_empty() && test.outcome == Outcome::NotRun);
    if shard.of > 1 {
        unknown.for_each(|test| test.name = format!("(part {} of {})", shard.index + 1, shard.of));
    }
    guest
}

/// Merges the results of guests that shared a kernel's tests; `None` for an empty list.
pub(crate) fn merge(guests: Vec<Guest>) -> Option<Guest> {
    guests.into_iter().reduce(|mut all, more| {
        if all.succeeded() {
            all.folder = more.folder;
        }
        if all.end == End::Clean {
            all.end = more.end;
        }
        all.release = all.release.or(more.release);
        all.version = all.version.or(more.version);
        all.tests.extend(more.tests);
        all.boot_seconds = all.boot_seconds.max(more.boot_seconds);
        all.seconds = all.seconds.max(more.seconds);
        all.exit_code = all.exit_code.or(more.exit_code);
        all.lists.extend(more.lists);
        for note in more.notes {
            if !all.notes.contains(&note) {
                all.notes.push(note);
            }
        }
        all.tests.sort_by(|a, b| a.binary.cmp(&b.binary));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::examples::{guest, test};

    #[test]
    fn every_test_is_in_one_shard() {
        for of in 1..5 {
            let shards: Vec<Shard> = Shard::all(of).collect();
            for number in 0..20 {
                assert_eq!(shards.iter().filter(|shard| shard.has(number)).count(), 1);
            }
        }
    }

    #[test]
    fn merge_keeps_the_worst_end_and_all_tests() {
        let one = guest("6.1", vec![test("a", Outcome::Passed)]);
        let mut other = guest("6.1", vec![test("b", Outcome::Died), test("", Outcome::NotRun)]);
        other.end = End::OutOfTime;
        other.seconds = 20.0;
        let other = label_unknown(other, Shard { index: 1, of: 2 });
        let all = merge(vec![one, other]).unwrap();
        assert_eq!((all.end, all.seconds), (End::OutOfTime, 20.0));
        let names: Vec<&str> = all.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "(part 2 of 2)"]);
        assert_eq!(merge(Vec::new()), None);
    }
}
