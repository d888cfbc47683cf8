//! Programs in the kernel: loaded, and what can be done with them besides attaching.
//!
//! | file | content |
//! | --- | --- |
//! | `loaded` | [`Program`]: its name, description and pins |
//! | `load` | `BPF_PROG_LOAD`, and what is tried where the kernel refuses it |
//! | `shared` | what the programs of an object have in common |
//! | `verify`, `verifier`, `explain` | the verifier's log, its reason, and what the loader knows of the cause |
//! | `private_stack` | a work-around for programs that share a private stack |
//! | `usdt_specs` | the maps that tell USDT programs where their arguments are |
//! | `run`, `statistics` | test runs, and how often and how long programs ran |

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

pub(crate) use self::shared::Shared;
#[cfg(feature = "usdt")]
pub(crate) use self::usdt_specs::{Taken, UsdtSpecs};
pub use self::{
    loaded::Program,
    run::{TestRun, TestRunResult},
    statistics::{ProgramStats, StatsGuard},
};
