//! Runs test binaries as root on chosen kernels, in throw-away virtual machines, and reports the outcome of each test.
//!
//! ```text
//!   cargo's binaries ──> plan ──> initramfs ─┐
//!   distribution's package ──────> kernel ───┼──> QEMU ──> result channel ──> run ──> report
//!   canary guest ──────────> accelerator ────┘    │
//!                                                 └─────> console, for diagnosis
//! ```
//!
//! `docs/vm.md` describes the command (`cutaway-vm`, `cargo xtask vm`). The same executable is the guest's process 1,
//! so the `main` of a program that uses this library begins with
//!
//! ```no_run
//! cutaway_vm::guest::run_if_init();
//! ```

mod accel;
mod apt;
mod arch;
mod base;
mod cache;
pub mod cli;
mod compat;
pub mod console;
mod coverage;
mod error;
mod frames;
mod fresh;
pub mod guest;
pub mod initramfs;
mod interrupt;
pub mod kernel;
pub mod libtest;
pub mod listing;
mod matrix;
mod merge;
mod modules;
pub mod orders;
pub mod plan;
pub mod prepare;
mod progress;
pub mod protocol;
mod qemu;
pub mod report;
pub mod requirements;
pub mod run;
pub mod saved;
pub mod shard;
pub mod shell;
pub mod slice;
mod start;
pub mod suite;
mod tool;
mod version;

pub use accel::{Choice, Decision, decide};
pub use arch::Arch;
pub use base::Source;
pub use cache::Cache;
pub use error::{Error, Result};
pub use qemu::{Accelerator, Machine};
pub use version::Version;
