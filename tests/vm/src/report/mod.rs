//! Results: outcomes of tests, of guests and of a matrix, and their three formats (lines, a table, JUnit XML).

pub mod junit;
pub mod lines;
mod output;
pub mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::console::Crash;
use crate::requirements;
use crate::slice::Slice;
use crate::version::Version;

pub use output::Output;

/// The outcome of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It did not run, and its reason is true for this kernel.
    Skipped(String),
    /// It failed: the reason, in one line.
    Failed(String),
    /// It exceeded its time limit: the stacks of its threads.
    TimedOut(String),
    /// The guest died during the test.
    Died,
    /// The guest died before the test.
    NotRun,
}

impl Outcome {
    /// Returns true if it makes the run fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped(_))
    }
}

impl Outcome {
    /// Turns a skip into a failure if its reason is not true for the kernel.
    #[must_use]
    pub fn judged(self, kernel: Option<Version>) -> Self {
        match (&self, kernel) {
            (Self::Skipped(reason), Some(kernel)) => {
                requirements::judge(reason, kernel).err().map_or(self, Self::Failed)
            }
            _ => self,
        }
    }
}

/// One test on one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The binary's label.
    pub binary: String,
    /// The test's name; empty for a plain program, and for a binary whose tests are unknown.
    pub name: String,
    /// The test's outcome.
    pub outcome: Outcome,
    /// The duration in the guest, in seconds of wall-clock time.
    pub seconds: f64,
    /// Its output: stdout and stderr in the order of arrival.
    pub output: Output,
    /// The bytes of output that were dropped.
    pub dropped: u64,
}

impl Test {
    /// Returns `LABEL NAME`, or `LABEL` for a plain program.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.binary.clone() } else { format!("{} {}", self.binary, self.name) }
    }
}

/// The end of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ran everything and powered off.
    Clean,
    /// Its kernel crashed.
    Crashed(Crash),
    /// It sent no more messages; the trace, if an NMI or SysRq produced one.
    Hung(Option<Crash>),
    /// The time limit of the guest was exceeded.
    OutOfTime,
    /// It ended for an unknown reason; the known details.
    Broken(String),
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// One kernel's run.
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// The kernel as requested: the heading of its column.
    pub name: String,
    /// `uname -r`, once it has booted.
    pub release: Option<String>,
    /// The kernel's version, used to judge skips.
    pub version: Option<Version>,
    /// All tests, in the order in which they ran.
    pub tests: Vec<Test>,
    /// The end of the guest.
    pub end: End,
    /// The seconds from QEMU's start to the guest's first message.
    pub boot_seconds: f64,
    /// The duration in seconds.
    pub seconds: f64,
    /// The exit status of a plain program, as a shell reports it.
    pub exit_code: Option<i32>,
    /// The notes of process 1, and the kernel's warnings.
    pub notes: Vec<String>,
    /// The directory with the console and the tests' files, if they are kept.
    pub folder: Option<PathBuf>,
    /// A digest of the list of all tests of each binary, by label, where `--shard` selected among them.
    pub lists: BTreeMap<String, String>,
}

impl Guest {
    /// Returns true if everything ran and nothing failed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.end == End::Clean && !self.tests.iter().any(|test| test.outcome.is_failure())
    }

    /// Returns the numbers of passed, skipped and failed tests.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| self.tests.iter().filter(|test| wanted(&test.outcome)).count();
        (
            count(|outcome| *outcome == Outcome::Passed),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            count(Outcome::is_failure),
        )
    }
}

/// One row of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The binary's label.
    pub binary: String,
    /// The test's name.
    pub name: String,
}

/// The results of all kernels of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// The guests, in the order of the request.
    pub guests: Vec<Guest>,
    /// The kernels that were not available: name, reason, and whether the user named it (then the run fails).
    pub absent: Vec<(String, String, bool)>,
    /// The share of this machine, if several machines divide the tests among them.
    pub slice: Option<Slice>,
    /// The digest of the plan: shards with the same digest belong together.
    pub plan: String,
    /// The reasons why merged reports do not make up a whole run; each makes it fail.
    pub problems: Vec<String>,
}

impl Matrix {
    /// Returns the tests of all kernels in the order in which they first ran, each with its result in every guest, if
    /// it has one.
    #[must_use]
    pub fn rows(&self) -> Vec<(Row, Vec<Option<&Test>>)> {
        let mut indexes: BTreeMap<Row, usize> = BTreeMap::new();
        let mut rows: Vec<(Row, Vec<Option<&Test>>)> = Vec::new();
        for (column, guest) in self.guests.iter().enumerate() {
            for test in &guest.tests {
                let row = Row { binary: test.binary.clone(), name: test.name.clone() };
                let index = *indexes.entry(row.clone()).or_insert_with(|| {
                    rows.push((row, vec![None; self.guests.len()]));
                    rows.len() - 1
                });
                if let Some(cell) = rows.get_mut(index).and_then(|(_, cells)| cells.get_mut(column)) {
                    *cell = Some(test);
                }
            }
        }
        rows
    }

    /// Returns the tests that were skipped on every kernel of a matrix of two or more: they are not known to work. With
    /// one kernel it returns none, because a newer kernel may run them.
    #[must_use]
    pub fn never_ran(&self) -> Vec<Row> {
        if self.guests.len() < 2 {
            return Vec::new();
        }
        self.rows()
            .into_iter()
            .filter(|(_, cells)| {
                cells.iter().all(|cell| cell.is_some_and(|test| matches!(test.outcome, Outcome::Skipped(_))))
            })
            .map(|(row, _)| row)
            .collect()
    }

    /// Returns true if everything that was requested ran and passed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        !self.guests.is_empty()
            && self.guests.iter().all(Guest::succeeded)
            && self.never_ran().is_empty()
            && self.problems.is_empty()
            && !self.absent.iter().any(|(_, _, named)| *named)
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    pub(crate) fn test(name: &str, outcome: Outcome) -> Test {
        Test {
            binary: "suite".into(),
            name: name.into(),
            outcome,
            seconds: 0.25,
            output: "said <this>\n".into(),
            dropped: 0,
        }
    }

    pub(crate) fn guest(name: &str, tests: Vec<Test>) -> Guest {
        Guest {
            name: name.into(),
            release: Some(format!("{name}.0-1-cloud-amd64")),
            version: Version::leading(name).map(|(version, _)| version),
            tests,
            end: End::Clean,
            boot_seconds: 3.0,
            seconds: 10.0,
            exit_code: None,
            notes: Vec::new(),
            folder: None,
            lists: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::examples::{guest, test};
    use super::*;

    fn skip(reason: &str) -> Outcome {
        Outcome::Skipped(reason.into())
    }

    #[test]
    fn skip_without_reason_in_the_kernel_fails() {
        let judged = |reason: &str, kernel: &str| skip(reason).judged(kernel.parse().ok());
        assert_eq!(judged("needs 5.15", "5.10"), skip("needs 5.15"));
        assert!(judged("needs 5.8", "5.10").is_failure());
        assert_eq!(judged("needs 5.8", ""), skip("needs 5.8"), "without a booted kernel a skip is not judged");
        let links = judged("needs 5.15", "5.10");
        let guest = guest("5.10", vec![test("links", links), test("ring", judged("needs 5.8", "5.10"))]);
        assert!(!guest.succeeded());
        assert_eq!(guest.counts(), (0, 1, 1));
    }

    #[test]
    fn test_skipped_on_every_kernel_fails_the_matrix() {
        let on =
            |name: &str, links: Outcome| guest(name, vec![test("links", links), test("slow", skip("takes an hour"))]);
        let mut matrix = Matrix { guests: vec![on("5.10", skip("needs 5.15"))], ..Matrix::default() };
        assert!(matrix.succeeded(), "with one kernel a skip is allowed");
        matrix.guests.push(on("6.1", Outcome::Passed));
        assert_eq!(matrix.never_ran(), [Row { binary: "suite".into(), name: "slow".into() }]);
        assert!(!matrix.succeeded());
    }

    #[test]
    fn absent_kernels_matter_only_when_named() {
        let mut matrix = Matrix { guests: vec![guest("6.1", vec![test("a", Outcome::Passed)])], ..Matrix::default() };
        matrix.absent.push(("5.10".into(), "gone".into(), false));
        assert!(matrix.succeeded());
        matrix.absent.push(("5.10".into(), "gone".into(), true));
        assert!(!matrix.succeeded());
        assert!(!Matrix::default().succeeded(), "an empty run is not a success");
    }
}
