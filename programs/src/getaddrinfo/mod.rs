//! The program under study: it is attached to `getaddrinfo` and sends one event for each call, by one of three
//! transports.
//!
//! ```text
//!     entry.rs         on entry    keeps the arguments and the time, by thread and stack frame, in the map `calls`
//!     return_probe.rs  on return   finds them again and fills the event: the code that all transports share
//!       stack.rs                   … in a struct on the BPF stack, then bpf_perf_event_output copies it
//!       heap.rs                    … in a value of a per-CPU array, then bpf_perf_event_output copies it
//!       ring.rs                    … in a reservation inside the ring itself, then bpf_ringbuf_submit: no copy
//!     losses.rs                    counts the events that could not be sent, for each CPU and by reason
//!     follow.rs        on fork     maintains the set of processes that descend from a followed one
//!     event.rs                     the event as user space receives it, and its decoding
//! ```
//!
//! To compare the transports, read `stack.rs`, `heap.rs` and `ring.rs` side by side: each is a page.

mod entry;
mod event;
mod filter;
mod follow;
mod frame;
mod heap;
mod host_glob;
mod losses;
pub mod names;
mod object;
mod registers;
mod return_probe;
mod ring;
mod stack;
mod target;
mod transport;

pub use event::{Address, DecodedEvent, Event, EventError, EventHeader, StackEvent, Text};
pub use filter::Filter;
pub use host_glob::{HostGlob, HostGlobError};
pub use losses::{Losses, Reason};
pub use target::{FUNCTION, LIBRARY};
pub use transport::Transport;
