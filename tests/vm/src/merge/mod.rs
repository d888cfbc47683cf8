//! `cutaway-vm merge-junit`: one verdict from the reports of several machines.
//!
//! ```text
//!     read.rs      a JUnit report of this program becomes results again
//!     combine.rs   results of shards become those of one run, if they belong together; a missing shard is a failure
//! ```

mod combine;
mod read;

use std::path::PathBuf;

use crate::error::Result;
use crate::report::Matrix;

/// Merges reports. Each of `kernels` must be in one of them.
pub(crate) fn merge(files: &[PathBuf], kernels: &[String]) -> Result<Matrix> {
    let parts = files.iter().map(|file| read::read(file)).collect::<Result<Vec<_>>>()?;
    combine::combine(parts, kernels)
}
