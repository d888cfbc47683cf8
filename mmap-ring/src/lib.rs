//! Reads BPF ring buffers in place, from the kernel's pages mapped into this process.
//!
//! A BPF program passes records to user space through memory that the kernel and this process share. The kernel's side
//! of the protocol is `kernel/bpf/ringbuf.c`; this crate is the other side. It needs Linux 5.8, the map's fd and the
//! ring's size in bytes. The fd must be open for reading and writing, and the map must not be frozen.
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
//! `map_fd()` stands for the loader, which returns the map's fd as an `OwnedFd`:
//!
//! | loader | the fd |
//! | --- | --- |
//! | cutaway | `cutaway::Map::ring` opens the ring itself |
//! | libbpf-rs | `map.as_fd().try_clone_to_owned()?` |
//! | aya | `map_data.fd().as_fd().try_clone_to_owned()?` |
//!
//! Two chapters of the repository's book explain the ring buffer at length: `docs/2-ring.md` and `docs/5-waking-up.md`.
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
//!    user space writes   the kernel writes   the kernel writes headers, BPF programs write payloads
//!
//!  in the data:   consumer_pos                             producer_pos
//!                 v                                        v
//!  ...free space][header|record][header|record][header|....][free space...
//! ```
//!
//! Positions count bytes since the ring was created, and only grow. A position modulo the ring's size is an offset into
//! the data. A record that crosses the end of the data continues in the second view of the data, so it
//! reads as one slice.
//!
//! A header has two 32-bit words. The first word, the length word, holds the payload's length in bytes. Its two top
//! bits are BUSY and DISCARD. BUSY means that the record is *reserved*: its producer is still writing. A producer
//! *commits* a record, or discards it, by clearing BUSY. DISCARD means that the producer gave the record up. The second
//! word is for the kernel alone. Each record starts at a multiple of 8 bytes.
//!
//! # The protocol in five steps
//!
//! The third column names the kernel's counterpart in `kernel/bpf/ringbuf.c`. [`Ordering`](std::sync::atomic::Ordering)
//! explains release and acquire, and [`fence`](std::sync::atomic::fence) explains fences.
//!
//! | | this crate | the kernel |
//! | --- | --- | --- |
//! | 1 | Loads `producer_pos`, then executes an acquire fence: all headers before this position are valid. | `smp_store_release(&rb->producer_pos, …)` in `__bpf_ringbuf_reserve` |
//! | 2 | Loads the length word, then executes an acquire fence. BUSY: stops here, even if later records are committed, because records are read in order. DISCARD: skips the record. | `xchg(&hdr->len, …)` in `bpf_ringbuf_commit` |
//! | 3 | Lends the payload in place. No producer writes there before `consumer_pos` has passed the record. | `__bpf_ringbuf_reserve` fails while `new_prod_pos - cons_pos > rb->mask` |
//! | 4 | Moves past the record, to the next multiple of 8 bytes. | `round_up(len + BPF_RINGBUF_HDR_SZ, 8)` |
//! | 5 | When the whole [batch](Ring::batch) is dropped, stores `consumer_pos` (release): the space of its records is free. | `smp_load_acquire(&rb->consumer_pos)` in `__bpf_ringbuf_reserve` |
//!
//! The reader trusts nothing on the pages. It checks positions and lengths against each other. For a value that no
//! kernel writes it returns an error ([`Corrupt`]). It does not panic, and never reads outside of the pages.
//!
//! # The sleep race
//!
//! After a commit the kernel wakes the consumer only if the record is exactly at `consumer_pos`. The consumer is then
//! *caught up*: it has read all earlier records. Both sides write one word and then read the word of the other side:
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
//! With a full fence on both sides, at least one side sees what the other side wrote. Without the fences, each side can
//! load before its own store is visible. Then the consumer sleeps, and the producer does not wake it. The record stays
//! unread until a later wake-up or poll.
//!
//! [`Ring::wait`] stores, fences and loads in this order before it sleeps. [`Ring::prepare_wait`] does these steps for
//! callers that sleep by other means. The directory `examples` has an example each for epoll, mio and tokio.
//!
//! # Records without a wake-up
//!
//! A commit or discard with the flag `BPF_RB_NO_WAKEUP` sends no wake-up. Afterwards the consumer is no longer caught
//! up, so a later commit without flags does not wake it either. Therefore these waits also poll their rings every
//! [`IDLE_POLL_INTERVAL`] (90 ms), whatever flags the program uses: [`Ring::wait`], [`Ring::run`], [`RingSet::wait`],
//! [`OverwriteRing::wait`] and [`UserRing::reserve_within`].
//!
//! An idle reader thus wakes up 11 times a second. `set_idle_poll_interval(Some(time))` sets another interval, and
//! `set_idle_poll_interval(None)` turns polling off. A caller that sleeps by other means needs a timeout of
//! `IDLE_POLL_INTERVAL`.
//!
//! # Trailing release
//!
//! The wake-up rule is expensive with a fast reader. Such a reader is always caught up, so nearly every record sends a
//! wake-up, which costs the program far more time than the record. [`Ring::run`] avoids this while a stream is *dense*:
//! while the reader finds more than one record at a time. It then publishes (stores in `consumer_pos`) the *start* of
//! the last record that it has read, instead of the end:
//!
//! ```text
//!                                      published    read up to here
//!                                      v            v
//!  ...free for the producer...........[ last record ][ next one: no wake-up
//! ```
//!
//! `cons_pos == rec_pos` in `bpf_ringbuf_commit` is then never true, so no record sends a wake-up. All records except
//! the last one are free. The reader polls the ring on a timer. After a few polls without a record, it publishes the
//! end of the last record and sleeps, in the order of [the sleep race](#the-sleep-race). After a single record on an
//! idle stream, it sleeps at once. [`WakeupPolicy`] sets the times, or turns trailing release off.
//!
//! The reader keeps a record back only if the record takes at most 1/32 of the ring. So trailing release takes at most
//! 1/32 of the ring from the producer. If a new record and all unread records take at most 31/32 of the ring, trailing
//! release never causes a refusal. A second condition for keeping a record back is that the rest of the ring has room
//! for one more record. The reader assumes that this record is as large as the largest record so far that was the last
//! of its batch.
//!
//! # When a reader dies
//!
//! The consumer position is stored in the ring, not in the process. A process that opens a pinned ring after its reader
//! was killed continues at the published position. No record is lost, but some records are read twice: those of the
//! batch that was open, and the one that trailing release kept back.
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
//! | [`Memory`] | access to a ring's words, either on the mapped pages or in a test's model of the pages |
//! | `fake` | the kernel's side in user space, for tests (feature `fake`) |
//!
//! Readers are `Send`: one thread can open a reader, and another thread can read with it. [`Ring`], [`RingSet`],
//! [`OverwriteRing`] and [`UserRing`] are not `Sync`, and their methods that read, wait or write take `&mut self`. A
//! [`Batch`] is not `Send`, but other threads can borrow its records. [`Stopper`] and [`Peek`] are `Send` and `Sync`.
//!
//! Every system call is reported to the crate `log`, with target `syscall` and level `trace`.
//!
//! # This crate and `perf_reader`
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

/// Compiles the example of `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
