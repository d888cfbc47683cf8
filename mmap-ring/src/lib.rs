//! Reads BPF ring buffers from their own mapped pages.
//!
//! A BPF program passes records to user space through memory that both share. The kernel's side of the protocol is
//! `kernel/bpf/ringbuf.c`; this crate is the other side. It needs only the map's fd and size, and asks the kernel
//! whether the fd is a ring.
//!
//! ```no_run
//! # fn map_fd() -> std::os::fd::OwnedFd { unimplemented!() }
//! use mmap_ring::{Ring, Wake};
//!
//! let mut ring = Ring::open(map_fd(), 256 * 1024)?;
//! while ring.wait(None)? == Wake::Ready {
//!     for record in &mut ring.batch()? {
//!         println!("{record:?}");
//!     }
//! }
//! # Ok::<(), mmap_ring::Error>(())
//! ```
//!
//! The repository's book explains the same at length, with pictures of real rings: `docs/2-ring.md` and
//! `docs/5-waking-up.md`.
//!
//! # The pages
//!
//! ```text
//!         page 0               page 1            pages 2 ..          as many again
//!  +-------------------+-------------------+-------------------+-------------------+
//!  | u64 consumer_pos  | u64 producer_pos  | the data          | the same data     |
//!  |                   | u64 pending_pos   |                   | once more         |
//!  |                   | u64 overwrite_pos |                   |                   |
//!  +-------------------+-------------------+-------------------+-------------------+
//!    user space writes   the kernel writes   BPF programs write
//!
//!  in the data:   consumer_pos                             producer_pos
//!                 v                                        v
//!  ...free space][header|record][header|record][header|....][free space...
//! ```
//!
//! Positions count bytes since the ring was created, and only grow. A position masked with the ring's size minus one is
//! an offset into the data. A record that crosses the end continues in the second view of the data, so it reads as one
//! slice. A header has two 32-bit words. The first holds the payload's length in bytes and, in its top bits, BUSY (the
//! producer is still writing) and DISCARD (the producer gave the record up). The second is for the kernel alone.
//! Records start at multiples of eight.
//!
//! # The protocol in five steps
//!
//! | | this crate | pairs with, in `kernel/bpf/ringbuf.c` |
//! | --- | --- | --- |
//! | 1 | Loads `producer_pos` and fences (acquire): all headers before it are valid. | `smp_store_release(&rb->producer_pos, …)` in `__bpf_ringbuf_reserve` |
//! | 2 | Loads the length word and fences (acquire). BUSY: stop, in order, even if later records are done. DISCARD: skip. | `xchg(&hdr->len, …)` in `bpf_ringbuf_commit` |
//! | 3 | Hands out the payload in place. No producer writes there: the consumer position has not passed it. | `new_prod_pos - cons_pos > rb->mask` in `__bpf_ringbuf_reserve`: no room |
//! | 4 | Moves past the record, to the next multiple of eight. | `round_up(len + BPF_RINGBUF_HDR_SZ, 8)` |
//! | 5 | When the whole [batch](Ring::batch) is dropped, stores `consumer_pos` (release): all its records are free. | `smp_load_acquire(&rb->consumer_pos)` in `__bpf_ringbuf_reserve` |
//!
//! Nothing on the pages is trusted. Positions and lengths are checked against each other. A value that no kernel writes
//! is an error ([`Corrupt`]), never a panic and never a read outside the pages.
//!
//! # The sleep race
//!
//! After a commit the kernel wakes the consumer only if the record is exactly at `consumer_pos`. Both sides write one
//! word and then read the other's:
//!
//! ```text
//!  consumer ([`Ring::prepare_wait`])           producer (bpf_ringbuf_commit)
//!  store consumer_pos                    xchg the length word: committed
//!  full fence                            (xchg is a full barrier)
//!  load producer_pos and length word     load consumer_pos
//!    a record? read it                     is it this record? wake
//!    none? sleep
//! ```
//!
//! With a full fence on both sides, at least one of them sees what the other wrote. Without it each can load before its
//! own store is visible: the consumer sleeps, the producer does not wake it, and the record waits until another one
//! comes. [`Ring::wait`] does this. [`Ring::prepare_wait`] is for callers that wait by other means (epoll, mio, an
//! async runtime: see the examples).
//!
//! A commit or discard with `BPF_RB_NO_WAKEUP` sends no wake-up. Afterwards the consumer is no longer caught up, so a
//! later commit without flags does not wake it either. Therefore every wait of this crate polls its ring at least every
//! [`IDLE_POLL_INTERVAL`] (90 ms), whatever flags the program uses: [`Ring::wait`], [`Ring::run`], [`RingSet::wait`],
//! [`OverwriteRing::wait`] and [`UserRing::reserve_within`]. An idle reader thus wakes up 11 times a second.
//! `set_idle_poll_interval` sets another interval, or turns polling off. A wait by other means needs a timeout of that
//! length, too.
//!
//! # Trailing release
//!
//! The same rule makes a fast reader slow. It is always caught up, so the kernel sends a wake-up for nearly every
//! record, and the producer pays for it. While records arrive densely, [`Ring::run`] therefore publishes the *start* of
//! the last record it read:
//!
//! ```text
//!                                      published    read up to here
//!                                      v            v
//!  ...free for the producer...........[ last record ][ next one: no wake-up
//! ```
//!
//! `cons_pos == rec_pos` in `bpf_ringbuf_commit` is then never true, and all records but one are free. The reader polls
//! on a timer. When no record comes, it publishes its true position and sleeps in the order above. It does not linger
//! after a single event on an idle stream. [`WakeupPolicy`] sets the times, or turns trailing release off.
//!
//! The reader keeps a record back only if it takes at most 1/32 of the ring. There must also be room beside it for
//! another record as large as the largest that ended a batch so far. So a trailing reader costs the producer at most
//! 1/32 of the ring. The kernel refuses a record that it would accept with an immediate reader only if that record
//! fills the ring to more than 31/32.
//!
//! # When a reader dies
//!
//! The consumer position is stored in the ring, not in the process. A process that opens a pinned ring after its reader
//! was killed continues at the published position. No record is lost. At most the batch that was open is read again,
//! and after a trailing reader the last record, too.
//!
//! # Overview
//!
//! | | |
//! | --- | --- |
//! | [`Ring`] | the consumer: [batches](Ring::batch), [single records](Ring::record), [waiting](Ring::wait), the [run loop](Ring::run) |
//! | [`RingSet`] | several rings in one wait |
//! | [`Stopper`] | ends a wait from another thread or a signal handler |
//! | [`Peek`] | observes any ring, read-only, without disturbing its reader |
//! | [`OverwriteRing`] | a ring that overwrites its oldest records (Linux 6.19) |
//! | [`UserRing`] | the other direction: samples for a BPF program (Linux 6.1) |
//! | [`Memory`] | access to a ring's words: on its pages, or in a model of them |
//! | `fake` | the kernel's side in user space, for tests (feature `fake`) |
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
//! A reader has one user at a time: its methods take `&mut self`, and it is not `Sync`. A [`Batch`] stays in its
//! thread, but its records can be lent to others. [`Peek`] is `Send` and `Sync`.
//!
//! Every system call is reported to the crate `log`, target `syscall`, level
//! trace.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "mmap-ring supports 64-bit targets only: the positions of a BPF ring buffer have the kernel's type `unsigned \
         long`, and a 32-bit process cannot follow those of a 64-bit kernel"
);

mod batch;
mod consumer;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod map;
mod memory;
mod overwrite;
mod peek;
mod positions;
mod publish;
mod record;
mod ring;
mod ring_set;
mod run;
mod size;
mod user;
mod wait;

pub use batch::{Batch, Record, Records, RecordsWithin};
pub use consumer::Head;
pub use cutaway_sys::{Errno, IntoControlFlow};
pub use error::{Corrupt, Error, Region, Side};
pub use memory::mapped::{Mapped, Pages};
pub use memory::readonly::ReadOnlyMapped;
pub use memory::user::{Produce, UserMapped};
pub use memory::{Consume, Data, Memory};
pub use overwrite::{LossCount, OverwriteRing};
pub use peek::{Peek, Pending, PendingRecord, RecordCount, RecordHeader};
pub use positions::Positions;
pub use ring::{Counters, Ring};
pub use ring_set::RingSet;
pub use run::WakeupPolicy;
pub use user::{Sample, UserRing};
pub use wait::{IDLE_POLL_INTERVAL, Stopper, Wake};

#[cfg(test)]
mod tests;
