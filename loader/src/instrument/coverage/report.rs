//! The coverage report: which lines and functions of the source ran.
//!
//! ```text
//!     report/values.rs     CoverageReport and its parts, and how reports are merged
//!     report/function.rs   the input: a function's code, lines and blocks
//!     report/of.rs         blocks that ran × line information ──▶ report
//!     report/parts.rs      the parts of a line ──▶ the line
//!     report/unlined.rs    blocks without a line, and the lines that lead to them
//!     report/totals.rs     counts and percentages
//!     report/lcov.rs       report ──▶ lcov
//!     report/parse.rs      lcov ──▶ report
//! ```
//!
//! A report is a plain value: it needs no kernel. A line that was not measured is never called a line that did not run.

mod function;
mod lcov;
mod of;
mod parse;
mod parts;
#[cfg(test)]
mod tests;
mod totals;
mod unlined;
mod values;

pub(crate) use self::function::FunctionRun;
pub use self::{
    parse::LcovError,
    totals::Totals,
    values::{CoverageReport, FileCoverage, FunctionCoverage, LineCoverage, NotMeasured, Run},
};
