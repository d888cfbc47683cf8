//! Reads BPF perf buffers from their own mapped pages.
//!
//! A BPF program sends an event with `bpf_perf_event_output`. The kernel copies it into the ring of the CPU that the
//! program runs on, and that ring is mapped into this process. This crate reads the event in place: no copy, no
//! callback across a language boundary, no system call except the one it sleeps in. It makes no bpf(2) calls: the
//! program's loader puts the perf events into its map ([`EventArray`]).
//!
//! ```no_run
//! # fn set_slot(cpu: u32, event: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> { Ok(()) }
//! use perf_reader::{Options, Record, AdaptiveReader};
//!
//! // 256 KiB on each CPU. `set_slot` puts each CPU's event into its slot of the program's PERF_EVENT_ARRAY.
//! let mut stream = AdaptiveReader::open(256 * 1024, &Options::new(), set_slot)?;
//! stream.run(|cpu, record| match record {
//!     // The program sends 16 bytes at a time. The record does not say so: see `Sample`.
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
//! The repository's book explains the same at length: `docs/3-perf.md` and `docs/5-waking-up.md`.
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
//! Both positions count bytes since the buffer was created, and only grow. Masked with the data area's size minus one,
//! they are offsets in it. The kernel writes a record at `data_head` and moves `data_head` past it. The reader reads up
//! to `data_head` and moves `data_tail`. If the unread records leave no room, the kernel drops the sample and counts
//! it.
//!
//! A record is a header `{u32 type, u16 misc, u16 size}` and a body, together a multiple of 8 bytes. A perf buffer
//! differs from the BPF ring buffer in five points:
//!
//! - **No busy bit.** A CPU writes only into its own ring, strictly nested, and moves `data_head` only past complete
//!   records. No writer waits for a slower one. The price is one ring for each CPU: records are in order on each CPU,
//!   but not across CPUs unless [`Merge`] restores the order.
//! - **Records wrap.** The data is mapped once, not twice, so a record that reaches the end continues at the beginning.
//!   [`Bytes`] is one slice or two, and copies only on request.
//! - **Readiness is consumed by polling.** Readiness is not a state but a message, which the kernel reports once, to
//!   the first poll. A reader that is woken must drain all CPUs completely ([`PerCpuBuffers::drain`]).
//! - **Wake-ups are the reader's choice.** With fewer than one for each record ([`Wakeup`]), the last records of a
//!   burst send none. Every wait polls for them within 100 ms ([`IDLE_POLL_INTERVAL`]).
//! - **The kernel counts losses.** A LOST record precedes the next sample that fits. Losses that no later sample
//!   follows are reported by [`Buffer::lost`] since Linux 6.0. On older kernels they remain unknown, unless the program
//!   counts the failures of the helper.
//!
//! # Limitations
//!
//! - **Padding.** The size that the kernel reports includes up to 7 bytes of stale memory after the payload. [`Sample`]
//!   returns no payload without a length from the program.
//! - **Payloads over 65,516 bytes.** The record's size has 16 bits and wraps, and the helper still returns success.
//!   Payloads of 65,517 to 65,524 bytes are dropped and not counted. A longer payload leaves a part of itself, which is
//!   reported as [`Corrupt::Content`]. It also overwrites the bytes after `data_head`, including unread records if the
//!   ring was nearly full. Send less.
//! - **Records larger than the ring.** One byte of the ring always stays free, and after a loss a LOST record of 24
//!   bytes precedes the next sample. The kernel refuses a record that does not fit in the rest, even if the ring is
//!   empty. It counts as lost. A sample of `n` bytes takes `n + 12` bytes (`n + 20` with a time), rounded up to a
//!   multiple of 8: choose the size accordingly.
//! - **One reader per buffer.** Two readers would release each other's records.
//! - **One reader per map.** A slot holds one event. A reader that opens the same `PERF_EVENT_ARRAY` later (a pinned
//!   map, an inherited fd) takes the slots. From then on the former reader gets no records, and no error.
//!   [`PerCpuBuffers::refresh`] notices this if the [`EventArray`] can query slots. It takes back slots that are empty
//!   because the other reader has ended.
//! - **Fewer slots than CPUs.** On a CPU whose id is not below the map's `max_entries`, the helper fails (E2BIG), and
//!   the kernel does not count the loss. [`PerCpuBuffers::without_slot`] returns those CPUs.
//!
//! # Overview
//!
//! | task | item |
//! | --- | --- |
//! | read all CPUs, immediately when idle and cheaply when busy | [`AdaptiveReader`] |
//! | read all CPUs with wake-ups every n samples or bytes, or from the caller's own epoll | [`PerCpuBuffers`], [`Wakeup`] |
//! | end a wait from another thread or a signal handler | [`Stopper`] |
//! | follow CPU hotplug | [`PerCpuBuffers::refresh`]; an `AdaptiveReader` calls it by itself |
//! | read the events of all CPUs in the order of time | [`Merge`] |
//! | keep the newest records, and read them when something has happened | [`OverwriteBuffer`] |
//! | read one CPU | [`Buffer`] |
//! | observe another process's buffer and consume nothing | [`Peek`] |
//! | read pages without a kernel | [`Reader`] over the pages of `fake` (feature `fake`) |
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
//! | unread records at a stop | stay in the ring | `AdaptiveReader::run` reads them: the buffer ends with its reader |
//! | return value of a callback | `()`, or `ControlFlow` | `()`, or `ControlFlow` |
//! | wait once | `wait(timeout)` returns a `Wake` | `wait(timeout)` returns a `Wake` |
//! | end a wait | `stopper()?`, `resume()` | `stopper()?`, `resume()` |
//! | sleep by other means | `as_fd()`, `prepare_wait()` | `as_fd()`, `next_poll()` |
//! | records without a wake-up | `set_idle_poll_interval(time)` | the same; only with another `Wakeup` than `Events(1)` |
//! | a corrupt buffer | an error | `batch()`: an error; `drain(each)`: `each` gets it, and the other CPUs are read |
//! | sizes | bytes: a power of two of pages | bytes: a power of two of pages |
//! | losses | counted by the program; `OverwriteRing::lost()`: a `LossCount` | `lost()`: a `Lost`; `OverwriteBuffer::lost()`: a count |
//! | overwriting the oldest | `OverwriteRing` | `OverwriteBuffer` |
//! | observing | `Peek` | `Peek` |
//! | errors | `Error::errno()` | `Error::errno()` |
//!
//! Readers are `Send`: one thread can open a reader, and another thread read with it. [`Stopper`] is `Send` and `Sync`.
//! A reader has one user at a time: the methods that read take `&mut self`. A [`Batch`] is `Send`, not `Sync`;
//! [`Records`] stay in their thread. A [`Sample`] is `Send` and `Sync`.
//!
//! The path of a record through the code: [`Buffer::open`] creates the ring (`event.rs`, `mapping.rs`).
//! [`PerCpuBuffers::wait`] sleeps (`wait.rs`). [`Reader::batch`] loads `data_head` once (`page.rs`) and opens a
//! [`Batch`] over the complete records. [`Records`] walks over them (`record.rs`), and a [`Sample`] borrows from the
//! batch. `data_tail` moves when the batch is dropped, also after an early exit or a panic.
//!
//! # Without a kernel
//!
//! The protocol runs over any [`Memory`]. The feature `fake` adds pages on the heap and a producer in the kernel's
//! role. So tests, Miri, fuzzing and benchmarks need no privileges.
//!
//! # Privileges
//!
//! Opening a buffer needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or `perf_event_paranoid` at 0 or below. Pages
//! beyond `perf_event_mlock_kb` count against RLIMIT_MEMLOCK. [`Error`] says which of these is missing, and which size
//! would fit.

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
