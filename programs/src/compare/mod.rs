//! The programs of `cutaway compare`: the same work, sent by every transport.
//!
//! ```text
//!     fixed_size.rs     a number of records of one size, built and sent one after the other   most experiments
//!     variable_size.rs  one record of any length, cut from bytes that user space has provided  variable-length
//!     task_event.rs     fork, exec and exit of every process, into two kinds of buffer        order
//!     array_sink.rs     times written to an array map, which user space has to poll           wake-ups
//! ```
//!
//! All but `task_event.rs` are raw tracepoint programs that are attached to no tracepoint: user space runs them with
//! `BPF_PROG_TEST_RUN` (Linux 5.10 for this kind), on the CPU of the thread that asks. So a record is made when the
//! experiment wants one, where it wants it, and by nobody else: there is no breakpoint, no other process's event, and
//! nothing to filter. What they are to do is in their context, of which the kernel makes the words that a tracepoint's
//! arguments would be. What they answer is the run's return value.

mod array_sink;
mod fixed_size;
pub mod names;
mod task_event;
mod transport;
mod variable_size;

pub use array_sink::{ARRAY_SINK_SLOTS, array_sink};
pub use fixed_size::{FixedSize, SendCount, Work};
pub use task_event::{TaskEvent, TaskEventKind};
pub use transport::Transport;
pub use variable_size::{MAX_RECORD, variable_size};
