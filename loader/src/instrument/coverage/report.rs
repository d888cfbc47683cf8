//! The coverage report: which lines and functions of the source ran.
//!
//! ```text
//!     report/model.rs      the values, and how reports are merged
//!     report/of.rs         blocks that ran × line information ──▶ report
//!     report/totals.rs     counts and percentages
//!     report/lcov.rs       report ──▶ lcov
//!     report/parse.rs      lcov ──▶ report
//! ```
//!
//! A report is a plain value: it needs no kernel. A line that was not measured is never called a line that did not run.

mod lcov;
mod model;
mod of;
mod parse;
mod totals;

#[cfg(test)]
mod tests;

pub(crate) use self::of::FunctionRun;
pub use self::{
    model::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, Run},
    parse::LcovError,
    totals::Totals,
};
