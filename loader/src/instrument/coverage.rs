//! Marks the basic blocks that ran.

mod blocks;
#[cfg(test)]
mod interpreter;
mod liveness;
mod marks;
mod report;

pub use self::report::{CoverageReport, FileCoverage, FunctionCoverage, LcovError, LineCoverage, Run, Totals};
