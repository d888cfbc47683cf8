//! Programs in the kernel: loading them, and everything done with them besides attaching.
//!
//! | file | content |
//! | --- | --- |
//! | `loaded` | [`Program`]: its name, description and pins |
//! | `build` | loads programs from instructions, without an object |
//! | `load` | `BPF_PROG_LOAD`, and the fallbacks if the kernel refuses |
//! | `shared` | the data that all programs of an object share |
//! | `verify`, `verifier`, `explain` | the verifier's log, its reason, and the cause as far as the loader knows it |
//! | `verifier_stats` | the level of the verifier's log, and the figures in it |
//! | `private_stack` | a work-around for programs that share a private stack |
//! | `usdt_specs`, `usdt_layout` | the maps with the argument locations of USDT probes; the layout of their values |
//! | `usdt_opened` | programs with such maps that this process has not loaded |
//! | `run`, `statistics`, `stream` | test runs, the number and duration of runs, and the text that programs print |
//! | `open`, `opened_target`, `pins` | programs that are already in the kernel |
//! | `info`, `code` | what the kernel knows about a program; its instructions, source lines and machine code |
//! | `bind` | maps that belong to a program although no instruction refers to them |

mod bind;
#[cfg(feature = "programs")]
mod build;
#[cfg(feature = "info")]
mod code;
mod explain;
#[cfg(feature = "info")]
mod info;
mod load;
mod loaded;
#[cfg(feature = "programs")]
mod open;
#[cfg(feature = "programs")]
mod opened_target;
mod pins;
mod private_stack;
#[cfg(feature = "test-run")]
mod run;
mod shared;
#[cfg(feature = "info")]
mod statistics;
#[cfg(feature = "info")]
mod stream;
#[cfg(feature = "usdt")]
mod usdt_layout;
#[cfg(feature = "usdt")]
mod usdt_opened;
#[cfg(feature = "usdt")]
mod usdt_specs;
mod verifier;
#[cfg(feature = "load-options")]
mod verifier_stats;
mod verify;

#[cfg(feature = "programs")]
pub use self::build::ProgramBuilder;
pub use self::loaded::Program;
#[cfg(feature = "test-run")]
pub use self::run::{TestRun, TestRunResult};
#[cfg(feature = "load-options")]
pub use self::verifier_stats::{FunctionCost, LogLevel, VerifierStats};
#[cfg(feature = "info")]
pub use self::{
    code::{ProgramCode, ProgramFunction},
    info::ProgramInfo,
    statistics::{ProgramStats, StatsGuard},
    stream::Stream,
};
pub(crate) use self::{
    load::choose_attach_method,
    shared::{Shared, Warnings},
};
#[cfg(feature = "usdt")]
pub(crate) use self::{
    usdt_layout::{Order, UsdtArgument, UsdtLayout},
    usdt_specs::{SpecsInUse, UsdtSpecs},
};
