//! How an event travels from the program to user space.

use std::{fmt, str::FromStr};

/// How an event travels from the program to user space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Built on the BPF stack, copied into the perf buffer of the CPU.
    PerfStack,
    /// Built in a per-CPU value, copied into the perf buffer of the CPU.
    PerfHeap,
    /// Built inside the ring buffer that all CPUs share. Linux 5.8.
    Ring,
}

impl Transport {
    /// All of them, in the order of the story: two copies, one copy fewer limits, none.
    pub const ALL: [Self; 3] = [Self::PerfStack, Self::PerfHeap, Self::Ring];

    /// The name on the command line and in JSON.
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
            format!("there is no transport `{name}`; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
