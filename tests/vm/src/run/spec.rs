//! A guest to run: its kernel, machine, time limits and files.

use std::path::Path;
use std::time::Duration;

use crate::kernel::Kernel;
use crate::orders::Task;
use crate::plan::Plan;
use crate::qemu::{Accelerator, Machine};
use crate::saved::Saved;

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

/// The start of a guest.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// It boots, with this initramfs.
    Boot(&'a Path),
    /// It is restored.
    Restore(&'a Saved),
}

/// A guest to run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its name in the report.
    pub name: &'a str,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The machine.
    pub machine: &'a Machine,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// How it starts.
    pub start: Start<'a>,
    /// Its plan.
    pub plan: &'a Plan,
    /// The part of the plan that it executes.
    pub task: &'a Task,
    /// Time limits.
    pub limits: Limits,
    /// Directory for the console, QEMU's messages and the tests' files.
    pub folder: &'a Path,
}
