//! Waits for rings, perf buffers and other file descriptors together.
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
//! everything before the record (`bpf_ringbuf_commit` in `kernel/bpf/ringbuf.c`). So before the sleep each ring
//! publishes its position, fences and checks for records once more. Any record committed after that sends a wake-up, an
//! edge that epoll keeps. Records committed with `BPF_RB_NO_WAKEUP` are the exception: for those all rings are checked
//! on a timer (`timers`).
//!
//! **Perf buffers** report readiness only once (`perf_poll` in `kernel/events/core.c` clears the flag), so the poller
//! keeps it until the caller has drained the source. While their wake-ups are turned off, they return the time of the
//! next poll (`AdaptiveReader::next_poll`).

//!
//! | file | content |
//! | --- | --- |
//! | `source` | the sources, and their errors |
//! | `sources` | [`Poller`]: adding, removing and reading sources |
//! | `wait` | the wait |
//! | `timers` | when rings are polled without a wake-up |

mod source;
mod sources;
mod timers;
mod wait;

pub use self::{
    source::{PollError, Source, Token},
    sources::Poller,
};
