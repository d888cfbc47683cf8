//! Inserts instructions into linked programs: counts of the records that a buffer refused, and marks of the basic
//! blocks that ran.
//!
//! ```text
//!     insertions.rs      the insertion itself: jumps, calls, func_info and line_info stay right
//!     code.rs            one instruction: its jump target, the registers that it reads and writes
//!     stage.rs           Instrumentation: what is inserted into the programs of one object
//!     preview.rs         the insertions of a dry run
//!     map.rs             the array map that the inserted instructions write to
//!     losses/            Object::count_losses: sites, the map of each site, counters, counts
//!     coverage/          Object::cover: blocks, liveness, marks, reports
//! ```
//!
//! The stage is between [`crate::link`] and [`crate::load`]. A program into which nothing is inserted is byte for byte
//! the linked program.

mod code;
mod coverage;
mod insertions;
mod losses;
mod map;
mod preview;
mod stage;

pub use self::{
    coverage::{
        Coverage, CoverageReport, FileCoverage, FunctionCoverage, LcovError, LineCoverage, NotMeasured, Run, Totals,
    },
    losses::{LossSite, Losses, MapLosses, SourceLine},
    preview::Insertion,
};
pub(crate) use self::{
    preview::Preview,
    stage::{Instrumentation, Note},
};
