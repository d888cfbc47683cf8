//! BPF perf buffers, read from their own mapped pages.
//!
//! A BPF program sends an event with `bpf_perf_event_output`; the kernel copies it into a ring of the CPU it runs on, and
//! that ring is mapped into this process. This crate reads it where it lies: no copy, no callback, no system call but
//! the one it sleeps in.
//!
//! # The pages
//!
//! ```text
//!  control page (1)        data pages (2^n)
//! ┌──────────────────────┬───────────────────────────────────────────────────────────┐
//! │ 1024 data_head   ────┼─────────────────────────────────────┐  the kernel writes   │
//! │ 1032 data_tail   ────┼───────────┐                         ▼  here next           │
//! │ 1040 data_offset     │ …given back│ SAMPLE │ LOST │ SAMPLE │ free …               │
//! │ 1048 data_size       │           ▲ we read here                                   │
//! └──────────────────────┴───────────────────────────────────────────────────────────┘
//! ```
//!
//! Each record is `{u32 type, u16 misc, u16 size}` and a body. Three things are unlike the BPF ring buffer:
//!
//! - **No busy bit.** A CPU writes into its own ring only, strictly nested, and moves `data_head` behind complete records.
//!   Order holds on one CPU; across CPUs there is none.
//! - **Records wrap.** The data is mapped once, so a record that meets the end goes on at the beginning: [`Bytes`] is one
//!   slice or two.
//! - **Readiness is consumed by polling.** The kernel says once that there is something, to whoever asks first. Who is
//!   woken drains all ([`Set::drain`]).
//!
//! And one thing is a trap: the length that the kernel reports counts padding, and the padding is stale memory. See
//! [`Sample`].
//!
//! # The way of a record
//!
//! [`Buffer::open`] makes a CPU's ring, [`Set::open`] those of all that are online. Their descriptors go into the program's map
//! by other hands: bpf(2) is not this crate's business. [`Set::wait`] sleeps, [`Buffer::drain`] looks at `data_head` once and opens
//! a [`Drain`] over all that is complete; [`Records`] walks over it; a [`Sample`] borrows from it, and `data_tail` moves when the
//! drain ends.
//!
//! What got lost is told by LOST records in the stream and, from Linux 6.0 on, exactly and to the end by
//! [`Buffer::lost_total`].
//!
//! # Without a kernel
//!
//! The protocol, [`Reader`], runs over any [`Memory`]. With the feature `fake` there is one on the heap, and a producer that
//! plays the kernel: tests, Miri, fuzzing and benchmarks that need no privileges.

mod buffer;
mod bytes;
mod corrupt;
mod cpus;
mod error;
mod event;
#[cfg(feature = "fake")]
pub mod fake;
mod mapping;
mod memory;
mod merge;
mod options;
mod pace;
mod page;
mod reader;
mod record;
mod recorder;
mod sample;
mod set;
mod slots;
mod stream;
mod sys;
mod wait;

pub use buffer::{Buffer, Lost, LostSource};
pub use bytes::Bytes;
pub use corrupt::Corrupt;
pub use cpus::online_cpus;
pub use error::Error;
pub use mapping::Mapping;
pub use memory::Memory;
pub use merge::{Merge, Timed};
pub use options::{Options, Wakeup};
pub use reader::{Drain, Reader};
pub use record::{Record, Records};
pub use recorder::{Recorded, Recorder, Snapshot};
pub use sample::{MAX_PADDING, Sample, WrongLength};
pub use set::{Changes, Set};
pub use slots::Slots;
pub use stream::Stream;
pub use wait::{Stopper, Wake};
