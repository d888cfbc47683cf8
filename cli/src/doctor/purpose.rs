//! The commands that `cutaway doctor --for` examines the machine for, and the checks of each.

use clap::ValueEnum;

use super::{finding::Finding, guests, machine, observing, privileges, programs, transports};

/// The command that the machine is examined for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Purpose {
    /// Trace `getaddrinfo`
    Trace,
    /// Load and attach objects
    Run,
    /// Observe buffers
    Peek,
    /// Run tests in virtual machines, with cutaway-vm
    Vm,
}

impl Purpose {
    /// Returns the name of the command.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::Trace => "cutaway trace",
            Self::Run => "cutaway run",
            Self::Peek => "cutaway peek",
            Self::Vm => "cutaway-vm",
        }
    }

    /// Makes the checks. Those that decide whether the command works are the last ones.
    pub(super) fn findings(self) -> Vec<Finding> {
        match self {
            Self::Trace => [machine::for_trace(), privileges::findings(), transports::findings()].concat(),
            Self::Run => {
                [machine::for_run(), programs::attachable(), privileges::findings(), programs::loadable()].concat()
            }
            Self::Peek => [machine::for_peek(), observing::findings()].concat(),
            Self::Vm => guests::findings(),
        }
    }
}
