//! `cutaway-vm compat`: on which kernels BPF objects load, and what verifying them costs there.
//!
//! ```text
//!     cli.rs       the command line              objects.rs   the files that are BPF objects
//!     guests.rs    runs the worker in guests     worker.rs    loads one object, in a process of its own
//!     verdict.rs   the results, as in JSON       baseline.rs  what is worse than in an earlier run
//!     table.rs     the table of 80 columns        show.rs      Markdown, JUnit
//!     btf.rs       the types given for a kernel   steps.rs     where a guest crashed
//! ```

mod baseline;
mod btf;
mod cli;
mod guests;
mod objects;
mod show;
mod steps;
mod table;
mod verdict;
mod worker;

use std::ffi::OsStr;
use std::process::ExitCode;

pub(crate) use cli::Args;

/// Runs the worker, if the command line names it. Other command lines are not touched.
pub(crate) fn work_if_named() -> Option<ExitCode> {
    let first = std::env::args_os().nth(1)?;
    (first == OsStr::new(worker::NAME)).then(worker::main)
}
