//! A guest to run: its kernel, machine, time limits and files.

use std::path::Path;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::plan::Plan;
use crate::qemu::{Accelerator, Machine};

/// Files in a guest's directory: its console, QEMU's messages, the tests' files.
pub(crate) const CONSOLE: &str = "console.log";
pub(crate) const COMPLAINTS: &str = "qemu.log";
pub(crate) const FILES: &str = "files";

/// Time limits of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a message or a longer console, until the guest's first message.
    pub boot: Duration,
    /// Between two messages; the guest sends one every second.
    pub silence: Duration,
    /// In total.
    pub whole: Duration,
}

/// A guest to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its name in the report.
    pub name: &'a str,
    /// The kernel to boot.
    pub kernel: &'a Kernel,
    /// The machine.
    pub machine: &'a Machine,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// The packed initramfs, which holds the plan.
    pub initramfs: &'a Path,
    /// The same plan.
    pub plan: &'a Plan,
    /// Time limits.
    pub limits: Limits,
    /// Directory for the console, QEMU's messages and the tests' files.
    pub folder: &'a Path,
}
