//! Saved guests: booted once, restored for each run.
//!
//! ```text
//!   boot ──> ready ──> QEMU: stop, migrate ──> cache/saved/KEY/{memory, about.json, console.log}
//!                                                        │ checksum
//!   orders, clock, random numbers <── cont <── QEMU -incoming
//! ```
//!
//! The key covers all that makes one guest differ from another, so a saved guest is never out of date. The plan is not
//! part of it: a guest gets that after the restore.
//!
//! ```text
//!     key.rs      the hash of all that makes a guest differ
//!     entry.rs    a saved guest in the cache, and its restore
//!     make.rs     boots a guest and saves it
//!     prune.rs    removes what is old, too much, or left by a run that was killed
//!     command.rs  `cutaway-vm saved`
//!     slots.rs    the number of guests at the same time, over all runs
//! ```

pub(crate) mod command;
mod entry;
mod key;
mod make;
mod prune;
pub(crate) mod slots;

pub use entry::Saved;
pub(crate) use key::Key;
pub(crate) use make::{Recipe, obtain};
