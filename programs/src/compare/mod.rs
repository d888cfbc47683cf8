//! The programs of `cutaway compare`: the same records, sent by every transport.
//!
//! ```text
//!     fixed_size.rs     records of one size, built and sent one after the other              most experiments
//!     variable_size.rs  one record of any length, copied from bytes that user space provides  variable-length
//!     task_event.rs     fork, exec and exit of every process, into two kinds of buffer         order
//!     array_sink.rs     timestamps written to an array map, which user space has to poll       wake-ups
//! ```
//!
//! All but `task_event.rs` are raw tracepoint programs that are attached to no tracepoint. User space runs them with
//! `BPF_PROG_TEST_RUN` (Linux 5.10 for this program type), on the CPU of the calling thread. So only the experiment
//! makes records, when and where it needs them: there is no breakpoint, no other process's event, and nothing to
//! filter.
//!
//! Parameters are in the context: the kernel passes its words where a tracepoint's arguments would be. The result is
//! the run's return value.

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
