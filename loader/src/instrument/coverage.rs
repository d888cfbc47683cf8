//! Marks the basic blocks that ran, and reports the source lines.
//!
//! ```text
//!     blocks.rs      the basic blocks of a function       liveness.rs   the registers that are free at a block
//!     marks.rs       the inserted instructions            inference.rs  unmarked blocks, from the blocks around them
//!     scratch.rs     a free slot of the stack              needless.rs   blocks that need no mark
//!     dominators.rs  the blocks on every path to a block
//!     measured.rs    Coverage: reads the marks            report.rs     CoverageReport: source lines, lcov
//!     directory.rs   leaves reports of test binaries in a directory
//! ```

mod blocks;
mod directory;
mod dominators;
mod inference;
#[cfg(test)]
mod interpreter;
mod liveness;
mod marks;
mod measured;
mod needless;
#[cfg(test)]
mod random_programs;
mod report;
mod scratch;

pub(super) use self::{
    directory::directory,
    marks::{Marks, Unmarked},
    measured::{Covering, NAME},
};
pub use self::{
    measured::Coverage,
    report::{CoverageReport, FileCoverage, FunctionCoverage, LcovError, LineCoverage, NotMeasured, Run, Totals},
};
