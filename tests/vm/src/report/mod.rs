//! What came of it: outcomes of tests, of guests, of a matrix, and their three forms (lines, a table, JUnit XML).

pub mod junit;
pub mod lines;
pub mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::console::Crash;
use crate::requirements;
use crate::version::Version;

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and passed.
    Passed,
    /// It did not run, and its reason holds on this kernel.
    Skipped(String),
    /// It failed; why, in one line.
    Failed(String),
    /// It outlived its limit; where its threads were.
    TimedOut(String),
    /// The guest died while it ran.
    Died,
    /// The guest died before its turn.
    NotRun,
}

impl Outcome {
    /// Whether it makes the run fail.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped(_))
    }
}

impl Outcome {
    /// Turns a skip that the kernel gives no reason for into a failure.
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
    /// The test's name; empty for a plain program, and for a binary of whose tests nothing is known.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Wall-clock seconds in the guest.
    pub seconds: f64,
    /// What it printed, stdout and stderr as they came.
    pub output: String,
    /// Bytes of output that were dropped.
    pub dropped: u64,
}

impl Test {
    /// `LABEL NAME`, or `LABEL` for a plain program.
    #[must_use]
    pub fn title(&self) -> String {
        if self.name.is_empty() { self.binary.clone() } else { format!("{} {}", self.binary, self.name) }
    }
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It did all it was asked and powered off.
    Clean,
    /// Its kernel died.
    Crashed(Crash),
    /// It was heard no more; the trace, if an NMI brought one.
    Hung(Option<Crash>),
    /// The limit of the whole run passed.
    OutOfTime,
    /// It ended without a word of why; what is known.
    Broken(String),
    /// Ctrl-C.
    Interrupted,
}

/// One kernel's run.
#[derive(Debug, Clone, PartialEq)]
pub struct Guest {
    /// The kernel as it was asked for: the column's head.
    pub name: String,
    /// `uname -r`, once it has booted.
    pub release: Option<String>,
    /// Its version, for judging skips.
    pub version: Option<Version>,
    /// Every test, in the order they ran.
    pub tests: Vec<Test>,
    /// How it ended.
    pub end: End,
    /// Seconds from QEMU's start to the guest's first word.
    pub boot_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
    /// The exit status of a plain program, as a shell would say it.
    pub exit_code: Option<i32>,
    /// What process 1 and the kernel complained about.
    pub notes: Vec<String>,
    /// Where the console and the tests' files are kept, if they are.
    pub folder: Option<PathBuf>,
}

impl Guest {
    /// Whether everything asked for happened and nothing failed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.end == End::Clean && !self.tests.iter().any(|test| test.outcome.is_failure())
    }

    /// Passed, skipped, failed.
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

/// All kernels of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// In the order asked for.
    pub guests: Vec<Guest>,
    /// Kernels that could not be had, with the reason, and whether the user named them (then the run fails).
    pub absent: Vec<(String, String, bool)>,
}

impl Matrix {
    /// The tests of all kernels in the order they first ran, each with its place in every guest's list.
    #[must_use]
    pub fn rows(&self) -> Vec<(Row, Vec<Option<&Test>>)> {
        let mut places: BTreeMap<Row, usize> = BTreeMap::new();
        let mut rows: Vec<(Row, Vec<Option<&Test>>)> = Vec::new();
        for (column, guest) in self.guests.iter().enumerate() {
            for test in &guest.tests {
                let row = Row { binary: test.binary.clone(), name: test.name.clone() };
                let place = *places.entry(row.clone()).or_insert_with(|| {
                    rows.push((row, vec![None; self.guests.len()]));
                    rows.len() - 1
                });
                if let Some(cell) = rows.get_mut(place).and_then(|(_, cells)| cells.get_mut(column)) {
                    *cell = Some(test);
                }
            }
        }
        rows
    }

    /// Tests that were skipped on every kernel of a matrix of two or more: nobody ran them, so nobody knows that
    /// they work. With one kernel there is no telling, for another may be new enough.
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

    /// Whether everything that was asked for was done, and passed.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        !self.guests.is_empty()
            && self.guests.iter().all(Guest::succeeded)
            && self.never_ran().is_empty()
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
    fn a_skip_that_the_kernel_gives_no_reason_for_fails() {
        let judged = |reason: &str, kernel: &str| skip(reason).judged(kernel.parse().ok());
        assert_eq!(judged("needs 5.15", "5.10"), skip("needs 5.15"));
        assert!(judged("needs 5.8", "5.10").is_failure());
        assert_eq!(judged("needs 5.8", ""), skip("needs 5.8"), "a kernel that never booted judges nothing");
        let links = judged("needs 5.15", "5.10");
        let guest = guest("5.10", vec![test("links", links), test("ring", judged("needs 5.8", "5.10"))]);
        assert!(!guest.succeeded());
        assert_eq!(guest.counts(), (0, 1, 1));
    }

    #[test]
    fn a_test_that_no_kernel_ran_fails_the_matrix() {
        let on =
            |name: &str, links: Outcome| guest(name, vec![test("links", links), test("slow", skip("takes an hour"))]);
        let mut matrix = Matrix { guests: vec![on("5.10", skip("needs 5.15"))], absent: vec![] };
        assert!(matrix.succeeded(), "one kernel cannot tell");
        matrix.guests.push(on("6.1", Outcome::Passed));
        assert_eq!(matrix.never_ran(), [Row { binary: "suite".into(), name: "slow".into() }]);
        assert!(!matrix.succeeded());
    }

    #[test]
    fn absent_kernels_matter_only_when_named() {
        let mut matrix = Matrix { guests: vec![guest("6.1", vec![test("a", Outcome::Passed)])], absent: vec![] };
        matrix.absent.push(("5.10".into(), "gone".into(), false));
        assert!(matrix.succeeded());
        matrix.absent.push(("5.10".into(), "gone".into(), true));
        assert!(!matrix.succeeded());
        assert!(!Matrix::default().succeeded(), "nothing at all is no success");
    }
}
