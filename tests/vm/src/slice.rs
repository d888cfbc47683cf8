//! The tests of one run, divided among several machines: `--shard 2/5`.
//!
//! Not the same as [`crate::shard`], which divides the tests of one machine among the guests of a kernel. Here a
//! hash of a test's name decides, and nothing else. A new test therefore moves no other test to another machine,
//! and a test is in the same slice on every kernel. So one machine sees all kernels' results of its tests, and can
//! judge a test that is skipped on all of them. The price is that slices are only about equally large.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The largest number of shards, so that a damaged report cannot have billions of missing ones.
const MOST: u32 = 10_000;

/// The share of one machine: number `number` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    number: u32,
    of: u32,
}

impl Slice {
    /// The share of a machine that runs everything.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Returns the number of this share, from 1 on.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    /// Returns the number of shares.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Returns true if the test `name` of the binary `label` belongs to the slice. A plain program has an empty name.
    #[must_use]
    pub fn has(self, label: &str, name: &str) -> bool {
        let mut hash = Sha256::new();
        hash.update(label);
        hash.update([0]);
        hash.update(name);
        let start = hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        start % u64::from(self.of) == u64::from(self.number - 1)
    }
}

/// Returns the digest of a binary's list of tests, in any order: machines whose digests differ do not share one run.
#[must_use]
pub fn digest<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name);
        hash.update([0]);
    }
    hex(hash)
}

/// Returns the first 64 bits of a hash as text.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Slice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "not of the form K/N, such as 2/5".to_owned();
        let (number, of) = text.split_once('/').ok_or_else(usage)?;
        let (number, of) = (number.parse().map_err(|_| usage())?, of.parse().map_err(|_| usage())?);
        if of > MOST {
            return Err(format!("there are at most {MOST} shards"));
        }
        if number == 0 || number > of {
            return Err(format!("shards are numbered from 1 to {of}"));
        }
        Ok(Self { number, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_is_in_one_slice_of_about_equal_size() {
        let names: Vec<String> = (0..1000).map(|number| format!("module::test_{number}")).collect();
        for of in 1..=7 {
            let slices: Vec<Slice> = (1..=of).map(|number| format!("{number}/{of}").parse().unwrap()).collect();
            let sizes: Vec<usize> =
                slices.iter().map(|slice| names.iter().filter(|name| slice.has("suite", name)).count()).collect();
            assert_eq!(sizes.iter().sum::<usize>(), names.len());
            let fair = names.len() / slices.len();
            assert!(sizes.iter().all(|size| size.abs_diff(fair) < fair / 3), "{sizes:?}");
            for name in &names {
                assert_eq!(slices.iter().filter(|slice| slice.has("suite", name)).count(), 1);
            }
        }
    }

    /// Machines of different versions of this program must agree.
    #[test]
    fn slices_of_known_names_never_change() {
        let number = |label, name| (1..=5).find(|number| Slice { number: *number, of: 5 }.has(label, name));
        assert_eq!([number("ring", "reads"), number("ring", "writes"), number("perf", "reads")], KNOWN);
    }

    const KNOWN: [Option<u32>; 3] = [Some(4), Some(5), Some(4)];

    #[test]
    fn impossible_slices_are_refused() {
        for wrong in ["", "1", "0/3", "4/3", "0/0", "a/b", "-1/2", "1/99999999999", "1/10001"] {
            assert!(wrong.parse::<Slice>().is_err(), "{wrong}");
        }
        assert_eq!("2/5".parse::<Slice>().unwrap().to_string(), "2/5");
    }
}
