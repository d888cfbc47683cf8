//! Marks the basic blocks that ran, and reports the source lines.
//!
//! ```text
//!     blocks.rs      the basic blocks of a function       liveness.rs   the registers that are free at a block
//!     marks.rs       the inserted instructions            inference.rs  unmarked blocks, from the blocks around them
//!     scratch.rs     a free slot of the stack
//!     measured.rs    Coverage: reads the marks            report.rs     CoverageReport: source lines, lcov
//! ```

mod blocks;
mod inference;
#[cfg(test)]
mod interpreter;
mod liveness;
mod marks;
mod measured;
#[cfg(test)]
mod random_programs;
mod report;
mod scratch;

pub(super) use self::{marks::Unmarked, measured::Covering};
pub use self::{
    measured::{Coverage, NotMeasured},
    report::{CoverageReport, FileCoverage, FunctionCoverage, LcovError, LineCoverage, Run, Totals},
};
