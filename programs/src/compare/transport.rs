//! The transport of a record: how it is built and sent.

use std::fmt;

/// The transport of a record: how it is built and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The record is built on the BPF stack and copied by `bpf_perf_event_output`.
    Stack,
    /// The record is built in a per-CPU value and copied by `bpf_perf_event_output`.
    Heap,
    /// The record is built inside the ring, between `bpf_ringbuf_reserve` and `bpf_ringbuf_submit`.
    Reserve,
    /// The record is built in a per-CPU value and copied by `bpf_ringbuf_output`.
    Output,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 4] = [Self::Stack, Self::Heap, Self::Reserve, Self::Output];

    /// Returns true if records go into a ring, false if they go into perf buffers.
    #[must_use]
    pub fn is_ring(self) -> bool {
        matches!(self, Self::Reserve | Self::Output)
    }

    /// Returns the name in tables and plots.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stack => "perf, stack",
            Self::Heap => "perf, heap",
            Self::Reserve => "ring, reserve",
            Self::Output => "ring, output",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
