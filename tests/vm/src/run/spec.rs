//! A guest to run: what it boots, on what, for how long, and where its files go.

use std::path::Path;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::plan::Plan;
use crate::qemu::{Accelerator, Machine};

/// What a guest's folder holds: its console, QEMU's complaints, the tests' files.
pub(crate) const CONSOLE: &str = "console.log";
pub(crate) const COMPLAINTS: &str = "qemu.log";
pub(crate) const FILES: &str = "files";

/// How long a guest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to the guest's first word.
    pub boot: Duration,
    /// Between two words; the guest beats every second.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

/// A guest to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the report calls it.
    pub name: &'a str,
    /// What to boot.
    pub kernel: &'a Kernel,
    /// On what.
    pub machine: &'a Machine,
    /// By what.
    pub accelerator: Accelerator,
    /// The packed initramfs, which holds the plan.
    pub initramfs: &'a Path,
    /// The same plan.
    pub plan: &'a Plan,
    /// How long it may take.
    pub limits: Limits,
    /// Where the console, the channel's record and the tests' files go.
    pub folder: &'a Path,
}
