//! BPF perf buffers, read from their own mapped pages.
//!
//! A BPF program sends an event with `bpf_perf_event_output`; the kernel copies it into a ring of the CPU it runs on,
//! and that ring is mapped into this process. This crate reads it where it lies: no copy, no callback across a language
//! border, no system call but the one it sleeps in. It needs no bpf(2) and makes none: the program's loader puts
//! the events into its map ([`EventArray`]).
//!
//! ```no_run
//! # fn set_slot(cpu: u32, event: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> { Ok(()) }
//! use perf_reader::{Options, Record, AdaptiveReader};
//!
//! // 256 KiB on each CPU, and each CPU's event put under the CPU's number into the program's PERF_EVENT_ARRAY.
//! let mut stream = AdaptiveReader::open(256 * 1024, &Options::new(), set_slot)?;
//! stream.run(|cpu, record| match record {
//!     // The program sends 16 bytes at a time. Only it knows: see `Sample`.
//!     Ok(Record::Sample(sample)) => match sample.array::<16>() {
//!         Ok(event) => println!("CPU {cpu}: {event:?}"),
//!         Err(wrong) => eprintln!("CPU {cpu}: {wrong}"),
//!     },
//!     Ok(Record::Lost(samples)) => eprintln!("CPU {cpu}: {samples} lost here"),
//!     Ok(_) => {}
//!     Err(corrupt) => eprintln!("CPU {cpu}: {corrupt}"),
//! })?;
//! # Ok::<(), perf_reader::Error>(())
//! ```
//!
//! The same is told at leisure by the repository's book: `docs/3-perf.md` and `docs/5-waking-up.md`.
//!
//! # The pages
//!
//! ```text
//!   control page             data area: 2^n pages, mapped once
//! ┌────────────────────┐  ┌──────────────────────────────────────────────────────────┐
//! │ 1024  data_head  ──┼──┼────────────────────────────────────┐                     │
//! │ 1032  data_tail  ──┼──┼──────────┐                         │                     │
//! │ 1040  data_offset  │  │          ▼                         ▼                     │
//! │ 1048  data_size    │  │ given    │ SAMPLE │ LOST │ SAMPLE │ the next record      │
//! └────────────────────┘  │ back     │   ours to read         │ begins here          │
//!   the kernel writes     └──────────────────────────────────────────────────────────┘
//!   head, we write tail
//! ```
//!
//! Both positions count bytes since the buffer was made and only grow; masked with the data area's size they are
//! offsets in it. The kernel writes a record behind `data_head` and moves that; we read up to it and move `data_tail`.
//! When what lies between leaves no room, the kernel drops the sample and counts it.
//!
//! A record is `{u32 type, u16 misc, u16 size}` and a body, a multiple of 8 bytes in all. Whoever knows the BPF ring
//! buffer finds five differences:
//!
//! - **No busy bit.** A CPU writes into its own ring only, strictly nested, and moves `data_head` behind complete
//!   records. No writer waits for a slower one. The price is one ring for each CPU: order holds on one, and across them
//!   there is none but what [`Merge`] restores.
//! - **Records wrap.** The data is mapped once and not twice, so a record that meets the end goes on at the beginning:
//!   [`Bytes`] is one slice or two, and copies only when asked to.
//! - **Readiness is consumed by polling.** It is no state but a message, reported once, to the first poll. A reader
//!   that is woken drains all CPUs, fully ([`PerCpuBuffers::drain`]).
//! - **Wake-ups are the reader's choice.** With fewer than one for each record ([`Wakeup`]), the last records of a
//!   burst send none: every wait looks for them within 100 ms ([`IDLE_POLL_INTERVAL`]).
//! - **Losses are the kernel's to count.** A LOST record stands in front of the next sample that fits; losses at the
//!   very end are told by [`Buffer::lost`] on Linux 6.0 and later, and remain unknown before, unless the program counts
//!   what the helper refused.
//!
//! # What to beware of
//!
//! - **Padding.** The size that the kernel reports counts up to 7 bytes of stale memory behind the payload. [`Sample`]
//!   offers no payload without a length from the program.
//! - **Payloads over 65,516 bytes.** The record's size has 16 bits and wraps, and the helper tells the program that all
//!   is well. Those of 65,517 to 65,524 bytes are dropped and not counted. Longer ones leave a part, which is reported
//!   as [`Corrupt::Content`], and have been written over whatever lay behind `data_head`, unread records included if
//!   the ring was nearly full. Send less.
//! - **Records larger than the ring**, or than what one free byte and a LOST record of 24 bytes leave of it, are
//!   refused each time, however empty it is. They count as lost. A sample of `n` bytes takes `n + 12` (20 with a time),
//!   rounded up to 8: choose the size accordingly.
//! - **One reader a buffer.** Two would give back each other's records.
//! - **One reader a map.** A slot holds one event: who opens the same `PERF_EVENT_ARRAY` later (a pinned map, an
//!   inherited fd) takes the slots, and the former reader gets nothing from then on, with no error.
//!   [`PerCpuBuffers::refresh`] notices, where the [`EventArray`] can look, and takes back what is empty since the
//!   other reader has ended.
//! - **Fewer slots than CPUs.** Programs on a CPU whose number is not below the map's `max_entries` are refused
//!   (E2BIG), and the kernel does not count it: [`PerCpuBuffers::without_slot`] names those CPUs.
//!
//! # Overview
//!
//! | to | there is |
//! | --- | --- |
//! | read all CPUs, immediately when idle and cheaply when busy | [`AdaptiveReader`] |
//! | the same with wake-ups every n samples or bytes, or from one's own epoll | [`PerCpuBuffers`], [`Wakeup`] |
//! | stop it from another thread or a signal handler | [`Stopper`] |
//! | follow CPUs that come and go | [`PerCpuBuffers::refresh`]; an `AdaptiveReader` does it by itself |
//! | have the events of all CPUs in the order of time | [`Merge`] |
//! | keep the newest and look at them when something has happened | [`OverwriteBuffer`] |
//! | read one CPU | [`Buffer`] |
//! | observe another process's buffer and consume nothing | [`Peek`] |
//! | read pages without a kernel | [`Reader`] over the feature `fake` |
//!
//! The two readers of this project, side by side:
//!
//! | | `mmap_ring` | `perf_reader` |
//! | --- | --- | --- |
//! | one buffer | `Ring::open(map, bytes)` | `Buffer::open(cpu, bytes, &options)` |
//! | several in one wait | `RingSet` | `PerCpuBuffers`, `AdaptiveReader` |
//! | records, borrowed | `batch()`: one store releases them all | `Buffer::batch()`, likewise |
//! | a callback for each | `drain(each)` | `drain(each)` |
//! | wait and read until stopped | `Ring::run(policy, each)`: `each` gets a batch | `AdaptiveReader::run(each)`: `each` gets a CPU and a record |
//! | what a stop leaves | records stay in the ring | `AdaptiveReader::run` reads them: the buffer ends with its reader |
//! | what a callback returns | nothing, or `ControlFlow` | nothing, or `ControlFlow` |
//! | wait once | `wait(timeout)` gives `Wake` | `wait(timeout)` gives `Wake` |
//! | end a wait | `stopper()?`, `resume()` | `stopper()?`, `resume()` |
//! | sleep elsewhere | `as_fd()`, `prepare_wait()` | `as_fd()`, `next_poll()` |
//! | records without a wake-up | `set_idle_poll_interval(time)` | the same; only with another `Wakeup` than `Events(1)` |
//! | a corrupt buffer | an error | `batch()`: an error; `drain(each)`: `each` gets it, and the other CPUs are read |
//! | sizes | bytes: a power of two of pages | bytes: a power of two of pages |
//! | losses | counted by the program; `OverwriteRing::lost()`: a `LossCount` | `lost()`: a `Lost`; `OverwriteBuffer::lost()`: a count |
//! | overwriting the oldest | `OverwriteRing` | `OverwriteBuffer` |
//! | observing | `Peek` | `Peek` |
//! | errors | `Error::errno()` | `Error::errno()` |
//!
//! Readers are `Send`: open one in a thread and read it in another. [`Stopper`] is `Send` and `Sync`. A reader has one
//! user at a time, which its `&mut` methods say.
//!
//! The path of a record through the code: [`Buffer::open`] makes the ring (`event.rs`, `mapping.rs`),
//! [`PerCpuBuffers::wait`] sleeps (`wait.rs`), [`Reader::batch`] looks at `data_head` once (`page.rs`) and opens a
//! [`Batch`] over what is complete, [`Records`] walks over it (`record.rs`), a [`Sample`] borrows from it, and
//! `data_tail` moves when the batch is dropped: also after an early exit or a panic.
//!
//! # Without a kernel
//!
//! The protocol runs over any [`Memory`]. With the feature `fake` there is one on the heap, and a producer that
//! plays the kernel: tests, Miri, fuzzing and benchmarks need no privileges.
//!
//! # Privileges
//!
//! CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or `perf_event_paranoid` at 0 or below; and pages beyond
//! `perf_event_mlock_kb` count against RLIMIT_MEMLOCK. [`Error`] says which of it is missing, and which size would fit.

mod adaptive_reader;
mod buffer;
mod bytes;
mod corrupt;
mod cpus;
mod error;
mod event;
mod event_array;
#[cfg(feature = "fake")]
pub mod fake;
mod idle_poll;
mod mapping;
mod memory;
mod merge;
mod options;
mod overwrite_buffer;
mod page;
mod peek;
mod per_cpu_buffers;
mod reader;
mod record;
mod remote_fd;
mod sample;
mod size;
mod sys;
mod wait;
mod wakeup_policy;

pub use adaptive_reader::AdaptiveReader;
pub use buffer::{Buffer, Lost, LostSource};
pub use bytes::Bytes;
pub use corrupt::Corrupt;
pub use cpus::online_cpus;
pub use cutaway_sys::{Errno, IntoControlFlow};
pub use error::Error;
pub use event_array::{EventArray, Slot};
pub use idle_poll::IDLE_POLL_INTERVAL;
pub use mapping::Mapping;
pub use memory::Memory;
pub use merge::{Merge, TimedSample};
pub use options::{Options, Wakeup};
pub use overwrite_buffer::{OverwriteBuffer, Snapshot, SnapshotRecords};
pub use peek::{Peek, PeekSnapshot, PendingRecord, Positions, RecordCount};
pub use per_cpu_buffers::PerCpuBuffers;
pub use per_cpu_buffers::changes::HotplugChanges;
pub use reader::{Batch, Reader};
pub use record::{Record, Records};
pub use sample::{MAX_PADDING, Sample, WrongLength};
pub use wait::{Stopper, Wake};
