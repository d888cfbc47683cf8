//! One QEMU process: its command line, its start and its guaranteed end.
//!
//! ```text
//!   guest                     QEMU                    here
//!   ttyS0  printk  ──────────────────────────────────> console.log
//!   ttyS1  frames  ───────────── stdout ─────────────> protocol::read
//!                   monitor <──── QMP socket ────────── inject-nmi, when the guest hangs
//! ```

mod accelerator;
mod machine;
pub(crate) mod monitor;
mod process;

pub use accelerator::Accelerator;
pub use machine::Machine;
pub(crate) use machine::{ADVICE, Files, PROGRAM};
pub(crate) use process::Running;
