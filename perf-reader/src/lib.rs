//! Reads BPF perf buffers in place, from the kernel's pages mapped into this process.
//!
//! A BPF program sends a sample with the helper `bpf_perf_event_output`. The kernel copies the sample into the ring of
//! the CPU on which the program runs. This crate maps the rings of all CPUs and reads the samples in place. It copies
//! nothing, and makes no system call except to sleep.
//!
//! Each ring belongs to a *perf event*, the kernel object that perf_event_open(2) creates. A program finds the perf
//! events in the slots of a map, a `BPF_MAP_TYPE_PERF_EVENT_ARRAY`. This crate makes no bpf(2) calls: the program's
//! loader puts the perf events into the slots ([`EventArray`]).
//!
//! ```no_run
//! # fn set_slot(cpu: u32, event: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> { Ok(()) }
//! use perf_reader::{Options, Record, AdaptiveReader};
//!
//! // 256 KiB on each CPU. `set_slot` puts a CPU's perf event into its slot of the program's PERF_EVENT_ARRAY.
//! let mut stream = AdaptiveReader::open(256 * 1024, &Options::new(), set_slot)?;
//! stream.run(|cpu, record| match record {
//!     // The program sends 16 bytes at a time. The record does not contain this number: see `Sample`.
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
//! Two chapters of the repository's book explain perf buffers at length: `docs/3-perf.md` and `docs/5-waking-up.md`.
//!
//! # The pages
//!
//! ```text
//!   control page             data area: 2^n pages, mapped once
//! ┌────────────────────┐  ┌──────────────────────────────────────────────────────────┐
//! │ 1024  data_head  ──┼──┼────────────────────────────────────┐                     │
//! │ 1032  data_tail  ──┼──┼──────────┐                         │                     │
//! │ 1040  data_offset  │  │          ▼                         ▼                     │
//! │ 1048  data_size    │  │ free     │ SAMPLE │ LOST │ SAMPLE │ the next record      │
//! └────────────────────┘  │          │   not yet read         │ begins here          │
//!   the kernel writes     └──────────────────────────────────────────────────────────┘
//!   head, the reader tail
//! ```
//!
//! The positions `data_head` and `data_tail` count bytes since the buffer was created, and only grow. A position modulo
//! the data area's size is an offset in the data area. The kernel writes a record at `data_head` and moves `data_head`
//! past the record. The reader reads up to `data_head` and moves `data_tail`. If the unread records leave no room for a
//! sample, the kernel drops the sample and counts it.
//!
//! A record is a header `{u32 type, u16 misc, u16 size}` and a body, together a multiple of 8 bytes. A perf buffer
//! differs from the BPF ring buffer in five points:
//!
//! - **No busy bit.** A CPU writes only into its own ring, and moves `data_head` only past complete records. An
//!   interrupt handler that writes while another record is being written completes its own record first. No writer
//!   waits for another CPU. The price is one ring for each CPU. Records are in order on each CPU, but not across CPUs.
//!   [`Merge`] restores the order across CPUs.
//! - **Records wrap.** The data is mapped once, not twice. So a record that reaches the end of the data area continues
//!   at its start. [`Bytes`] is one slice or two, and copies only on request.
//! - **Readiness is consumed by polling.** The kernel reports each wake-up once, to the first poll(2) or epoll_wait(2)
//!   after it, even if records remain unread. A reader that is woken must drain all CPUs completely
//!   ([`PerCpuBuffers::drain`]).
//! - **The reader chooses the wake-ups.** By default each record sends a wake-up. With fewer wake-ups ([`Wakeup`]), the
//!   last records of a burst may send none. Every wait then polls for such records every 90 ms
//!   ([`IDLE_POLL_INTERVAL`]).
//! - **The kernel counts losses.** It writes a LOST record before the next sample that fits. [`Buffer::lost`] also
//!   counts the losses after the last record, since Linux 6.0. On older kernels these losses are unknown, unless the
//!   program counts the failures of the helper.
//!
//! # Limitations
//!
//! - **Padding.** The size that the kernel reports includes up to 7 bytes of stale memory after the payload. So
//!   [`Sample`] needs the payload's length from the caller.
//! - **Payloads over 65,516 bytes.** The record's size has 16 bits and wraps, and the helper still returns success.
//!   Payloads of 65,517 to 65,524 bytes are dropped and not counted. A longer payload is cut, and is reported as
//!   [`Corrupt::Content`]. It also overwrites the bytes after `data_head`, including unread records if the ring was
//!   nearly full. A program must send less.
//! - **Records larger than the ring.** One byte of the ring always stays free. After a loss, a LOST record of 24 bytes
//!   precedes the next sample. The kernel drops a sample that does not fit in the rest, even if the ring is empty, and
//!   counts it as lost. A sample of `n` bytes takes `n + 12` bytes (`n + 20` with a time), rounded up to a
//!   multiple of 8. Choose the ring's size accordingly.
//! - **One reader per buffer.** Two readers would release each other's records.
//! - **One reader per map.** A slot holds one perf event. If a second reader opens the same `PERF_EVENT_ARRAY` (through
//!   a pin or an inherited fd), the second reader takes the slots. From then on the first reader gets no records, and
//!   no error. [`PerCpuBuffers::refresh`] notices the second reader if the [`EventArray`] can query slots. When the
//!   second reader has ended, the slots are empty, and `refresh` takes them back.
//! - **Fewer slots than CPUs.** On a CPU whose id is not below the map's `max_entries`, the helper fails (E2BIG), and
//!   the kernel does not count the loss. [`PerCpuBuffers::without_slot`] returns these CPUs.
//!
//! # Overview
//!
//! | task | item |
//! | --- | --- |
//! | read all CPUs: a wake-up for each record while a CPU is idle, polling while it is busy | [`AdaptiveReader`] |
//! | read all CPUs with a wake-up every n samples or bytes, or from the caller's own epoll | [`PerCpuBuffers`], [`Wakeup`] |
//! | end a wait from another thread or a signal handler | [`Stopper`] |
//! | follow CPU hotplug | [`PerCpuBuffers::refresh`], which [`AdaptiveReader::run`] calls by itself |
//! | read the samples of all CPUs in order of their times | [`Merge`] |
//! | keep the newest records, and read them on demand | [`OverwriteBuffer`] |
//! | read one CPU | [`Buffer`] |
//! | observe another process's buffer and consume nothing | [`Peek`] |
//! | read pages without a kernel | [`Reader`] over the pages of `fake` (feature `fake`) |
//!
//! Readers are `Send`: one thread can open a reader, and another thread can read with it. They are also `Sync`, but the
//! methods that read take `&mut self`, so a reader has one user at a time. [`Stopper`] is `Send` and `Sync`. A
//! [`Batch`] is `Send`, not `Sync`. [`Records`] is neither. A [`Sample`] and a [`Record`] are `Send` and `Sync`.
//!
//! A record takes this path through the code. [`Buffer::open`] creates the ring (`event.rs`, `mapping.rs`).
//! [`PerCpuBuffers::wait`] sleeps (`wait.rs`). [`Reader::batch`] loads `data_head` once (`page.rs`) and opens a
//! [`Batch`] over the complete records. [`Records`] walks over them (`record.rs`), and a [`Sample`] borrows from the
//! batch. `data_tail` moves when the batch is dropped, even after an early exit or a panic.
//!
//! # Without a kernel
//!
//! The protocol runs over any [`Memory`]. The feature `fake` adds pages on the heap, and a producer that writes as the
//! kernel does. So tests, Miri, fuzzing and benchmarks need no privileges.
//!
//! # Privileges
//!
//! Opening a buffer needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or a `perf_event_paranoid` of 0 or less. Pages
//! beyond `perf_event_mlock_kb` count against RLIMIT_MEMLOCK. [`Error::Denied`] reports a missing privilege, and
//! [`Error::LockedMemory`] a size that is too large, with the size that would fit.
//!
//! # This crate and `mmap_ring`
//!
//! The two readers of this project have the same shape:
//!
//! | | `mmap_ring` | `perf_reader` |
//! | --- | --- | --- |
//! | one buffer | `Ring::open(map, bytes)` | `Buffer::open(cpu, bytes, &options)` |
//! | several in one wait | `RingSet` | `PerCpuBuffers`, `AdaptiveReader` |
//! | borrowed records | `batch()`: one store releases them all | `Buffer::batch()`: one store releases them all |
//! | a callback for each record | `drain(each)` | `drain(each)` |
//! | wait and read until stopped | `Ring::run(policy, each)`: `each` gets a batch | `AdaptiveReader::run(each)`: `each` gets a CPU and a record |
//! | unread records at a stop | stay in the ring | `AdaptiveReader::run` reads them, because the buffer ends with its reader |
//! | return value of a callback | `()`, or `ControlFlow` | `()`, or `ControlFlow` |
//! | wait once | `wait(timeout)` returns a `Wake` | `wait(timeout)` returns a `Wake` |
//! | end a wait | `stopper()?`, `resume()` | `stopper()?`, `resume()` |
//! | sleep by other means | `as_fd()`, `prepare_wait()` | `as_fd()`, `next_poll()` |
//! | records without a wake-up | polls; `set_idle_poll_interval(time)` | polls, except with `Wakeup::Events(1)`; `set_idle_poll_interval(time)` |
//! | a corrupt buffer | an error | `batch()` returns an error; `drain(each)` passes the error to `each`, and reads the other CPUs |
//! | size in bytes | the page size times a power of two | the page size times a power of two |
//! | losses | the program counts them; `OverwriteRing::lost()` returns a `LossCount` | `lost()` returns a `Lost`; `OverwriteBuffer::lost()` returns a count |
//! | overwriting the oldest records | `OverwriteRing` | `OverwriteBuffer` |
//! | observing | `Peek` | `Peek` |
//! | errors | `Error::errno()` | `Error::errno()` |

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

/// Compiles the example of `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
