//! One QEMU process: its command line, its start and its guaranteed end.
//!
//! ```text
//!   guest                     QEMU                    here
//!   console  printk ─────────────────────────────────> console.log
//!   port     frames ──────────── stdout ─────────────> protocol::read
//!                   monitor <──── QMP socket ────────── inject-nmi or a break, when the guest hangs
//! ```
//!
//! `arch.rs` names the two ports of each architecture.

mod accelerator;
pub(crate) mod alarm;
mod machine;
pub(crate) mod monitor;
mod process;

pub use accelerator::Accelerator;
pub(crate) use machine::Files;
pub use machine::Machine;
pub(crate) use process::Running;
