//! How many lines and functions ran.

use std::{iter::Sum, ops::Add};

use super::values::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, Run};

/// Numbers of lines or functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Those that ran, as a whole or in part.
    pub ran: usize,
    /// Those of them that ran in part, see [`LineCoverage::partial`]. 0 for functions.
    pub ran_in_part: usize,
    /// Those that did not run.
    pub not_run: usize,
    /// Those that were not measured.
    pub not_measured: usize,
}

impl Totals {
    /// Returns the number of those that were measured.
    pub fn measured(&self) -> usize {
        self.ran.saturating_add(self.not_run)
    }

    /// Returns the percentage of those that ran among those that were measured. `None` if none was measured.
    ///
    /// Lines that ran in part count as run, so 100 % of lines is not 100 % of branches.
    pub fn percent(&self) -> Option<f64> {
        let measured = self.measured();
        (measured > 0).then(|| self.ran as f64 * 100.0 / measured as f64)
    }
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            ran: self.ran.saturating_add(other.ran),
            ran_in_part: self.ran_in_part.saturating_add(other.ran_in_part),
            not_run: self.not_run.saturating_add(other.not_run),
            not_measured: self.not_measured.saturating_add(other.not_measured),
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

impl FromIterator<Run> for Totals {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        let mut totals = Self::default();
        for run in runs {
            match run {
                Run::Ran(_) => totals.ran += 1,
                Run::NotRun => totals.not_run += 1,
                Run::NotMeasured => totals.not_measured += 1,
            }
        }
        totals
    }
}

impl FileCoverage {
    /// Returns the numbers of lines of this file.
    pub fn line_totals(&self) -> Totals {
        let totals: Totals = self.lines.iter().map(|line: &LineCoverage| line.runs).collect();
        Totals { ran_in_part: self.lines.iter().filter(|line| line.partial).count(), ..totals }
    }

    /// Returns the numbers of functions of this file.
    pub fn function_totals(&self) -> Totals {
        self.functions.iter().map(|function: &FunctionCoverage| function.runs).collect()
    }
}

impl CoverageReport {
    /// Returns the numbers of lines of all files.
    pub fn line_totals(&self) -> Totals {
        self.files.iter().map(FileCoverage::line_totals).sum()
    }

    /// Returns the numbers of functions of all files, and of those without line information.
    pub fn function_totals(&self) -> Totals {
        let others: Totals = self.functions_without_lines.iter().map(|function| function.runs).collect();
        self.files.iter().map(FileCoverage::function_totals).sum::<Totals>() + others
    }
}
