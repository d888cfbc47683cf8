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

/// Runs the subcommand, if the command line names one. Other command lines are not touched.
pub(crate) fn run_if_named() -> Option<ExitCode> {
    let first = std::env::args_os().nth(1)?;
    if first == OsStr::new("compat") {
        Some(cli::main())
    } else if first == OsStr::new(worker::NAME) {
        Some(worker::main())
    } else {
        None
    }
}
