//! The programs of `cutaway compare`: the same work, sent in every way.
//!
//! ```text
//!     burst.rs   so many records of one size, built and sent one after the other       most experiments
//!     varied.rs  one record of any length, cut from bytes that user space has provided  variable-length
//!     life.rs    fork, exec and exit of every process, into two kinds of buffer at once order
//!     shelf.rs   times put into a plain map, which tells nobody                         wake-ups
//! ```
//!
//! All but `life.rs` are raw tracepoint programs that hang on no tracepoint: user space runs them with
//! `BPF_PROG_TEST_RUN` (Linux 5.10 for this kind), on the CPU of the thread that asks. So a record is made when the
//! experiment wants one, where it wants it, and by nobody else: there is no breakpoint, no other process's event, and
//! nothing to filter. What they are to do is in their context, of which the kernel makes the words that a tracepoint's
//! arguments would be. What they answer is the run's return value.

mod burst;
mod life;
mod shelf;
mod varied;

use std::fmt;

pub use burst::{Burst, Tally, Work};
pub use life::{Life, Moment};
pub use shelf::{SHELF_SLOTS, shelf};
pub use varied::{LONGEST, varied};

/// The names in the objects.
pub mod names {
    /// The one program that is run.
    pub const PROGRAM: &str = "send";
    /// The map that records come out of: a `RINGBUF` or a `PERF_EVENT_ARRAY`.
    pub const EVENTS: &str = "events";
    /// What records are cut from: an array with one value.
    pub const BYTES: &str = "bytes";
    /// The ring of `life.rs`.
    pub const RING: &str = "ring";
    /// The perf buffers of `life.rs`, to be read as they come.
    pub const PERF: &str = "perf";
    /// The perf buffers of `life.rs`, to be merged by time.
    pub const MERGED: &str = "merged";
    /// The times of `shelf.rs`: an array of `u64`.
    pub const SLOTS: &str = "slots";
    /// How many times were put there, an array with one `u64`.
    pub const NEXT: &str = "next";
}

/// How a record is built and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Built on the BPF stack, copied by `bpf_perf_event_output`.
    Stack,
    /// Built in a per-CPU value, copied by `bpf_perf_event_output`.
    Heap,
    /// Built inside the ring, between `bpf_ringbuf_reserve` and `bpf_ringbuf_submit`.
    Reserve,
    /// Built in a per-CPU value, copied by `bpf_ringbuf_output`.
    Output,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stack, Self::Heap, Self::Reserve, Self::Output];

    /// Whether records go into a ring, or into perf buffers.
    #[must_use]
    pub fn is_ring(self) -> bool {
        matches!(self, Self::Reserve | Self::Output)
    }

    /// The name in tables and plots.
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

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
