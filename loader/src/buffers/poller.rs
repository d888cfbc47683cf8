//! One wait for rings, perf buffers and other file descriptors.
//!
//! ```text
//!     ring ────────────┐ edges: each ring is prepared (`Ring::prepare_wait`) before the sleep
//!     ring ────────────┤
//!     perf buffers ────┼──▶ one epoll instance ──▶ the sources that are ready
//!     (an epoll of all │         ▲
//!      CPUs' events)   │         └── a stop, a deadline
//!     pipe, socket … ──┘
//! ```
//!
//! **The sleep race.** A ring's producer sends a wake-up only if the consumer position says that the consumer has read
//! all before the record (`bpf_ringbuf_commit` in `kernel/bpf/ringbuf.c`). So each ring publishes its position, fences
//! and looks once more before the sleep: what comes later sends a wake-up, an edge that epoll keeps. The exception are
//! records that are sent with `BPF_RB_NO_WAKEUP`: for those all rings are looked at on a timer (`timers`).
//!
//! **Perf buffers** say once that they are ready (`perf_poll` in `kernel/events/core.c` clears the flag), so this is
//! kept until the caller has seen it. While their wake-ups are turned off they say when to look next
//! (`AdaptiveReader::next_poll`).

//!
//! | file | content |
//! | --- | --- |
//! | `source` | what is waited for, and the error of a source |
//! | `sources` | [`Poller`]: adding, removing and reading sources |
//! | `wait` | the wait |
//! | `timers` | when rings are looked at without a wake-up |

mod source;
mod sources;
mod timers;
mod wait;

pub use self::{
    source::{PollError, Source, Token},
    sources::Poller,
};
