//! Programs in the kernel: loading them, and everything done with them besides attaching.
//!
//! | file | content |
//! | --- | --- |
//! | `loaded` | [`Program`]: its name, description and pins |
//! | `load` | `BPF_PROG_LOAD`, and the fallbacks if the kernel refuses |
//! | `shared` | the data that all programs of an object share |
//! | `verify`, `verifier`, `explain` | the verifier's log, its reason, and the cause as far as the loader knows it |
//! | `private_stack` | a work-around for programs that share a private stack |
//! | `usdt_specs` | the maps with the argument locations of USDT probes |
//! | `run`, `statistics` | test runs, and the number and duration of runs |

mod explain;
mod load;
mod loaded;
mod private_stack;
mod run;
mod shared;
mod statistics;
#[cfg(feature = "usdt")]
mod usdt_specs;
mod verifier;
mod verify;

#[cfg(feature = "usdt")]
pub(crate) use self::usdt_specs::{SpecsInUse, UsdtSpecs};
pub(crate) use self::{
    load::choose_attach_method,
    shared::{Shared, Warnings},
};
pub use self::{
    loaded::Program,
    run::{TestRun, TestRunResult},
    statistics::{ProgramStats, StatsGuard},
};
