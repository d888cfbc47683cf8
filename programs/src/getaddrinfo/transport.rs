//! The transports of an event from the program to user space.

use std::{fmt, str::FromStr};

/// The transport of an event from the program to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The event is built on the BPF stack and copied into the perf buffer of the CPU.
    PerfStack,
    /// The event is built in a per-CPU value and copied into the perf buffer of the CPU.
    PerfHeap,
    /// The event is built inside the ring buffer that all CPUs share. Needs Linux 5.8.
    Ring,
}

impl Transport {
    /// All transports, in the book's order: two copies, two copies without the limit of the stack, no copy.
    pub const ALL: [Self; 3] = [Self::PerfStack, Self::PerfHeap, Self::Ring];

    /// Returns the name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PerfStack => "perf-stack",
            Self::PerfHeap => "perf-heap",
            Self::Ring => "ring",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|transport| transport.name() == name).ok_or_else(|| {
            format!("unknown transport `{name}`; the transports are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
