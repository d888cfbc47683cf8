//! A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19).
//!
//! The kernel does not wait for the reader. When there is no room, it moves `overwrite_pos` over as many of the oldest
//! records as it needs and writes there; only an uncommitted record stops it. Records from `overwrite_pos` to
//! `producer_pos` are whole, whether they were read or not.
//!
//! So a record cannot be borrowed, only copied. The copy is valid only if `overwrite_pos` has not passed the record
//! afterwards:
//!
//! ```text
//!   1. load producer_pos (acquire), then overwrite_pos; move there if behind it
//!   2. load the header, copy the payload
//!   3. fence, load overwrite_pos again: passed? discard the copy, begin again
//! ```
//!
//! This is sound where the kernel's store of `overwrite_pos` becomes visible before its later writes to the freed
//! bytes: on x86-64 and s390x, which keep stores in order. `__bpf_ringbuf_reserve` has no barrier between the two, so
//! on other machines a copy can in theory be torn. There, stop the producers and then read the remaining records, which
//! is sound everywhere.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::consumer::Head;
use crate::error::{Corrupt, Error};
use crate::map::Purpose;
use crate::memory::mapped::Mapped;
use crate::memory::{Consume, Data};
use crate::peek::{RecordHeader, copy_payload};
use crate::positions::{Positions, positions};
use crate::record::{BUSY, DISCARD, LENGTH, space};
use crate::wait::watch_ring;
use crate::wait::{Sleeper, Stopper, Waiter, Wake};
use cutaway_sys::epoll::{Epoll, Interest};

/// The reader of a ring that overwrites its oldest records. `Send`, not `Sync`.
#[doc(alias = "BPF_F_RB_OVERWRITE")]
pub struct OverwriteRing<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
    /// The copy that `record` returned last.
    copy: Vec<u8>,
}

/// The reader and the fd that it waits for. The [`Waiter`] does the sleeping.
pub(crate) struct Endpoint<M> {
    memory: M,
    fd: OwnedFd,
    /// The end of the last record that was read or skipped.
    read: u64,
    losses: LossCount,
}

/// The losses of the reader of an overwriting ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossCount {
    /// The number of times that the reader was overtaken.
    pub overtaken: u64,
    /// The number of bytes, headers included, that were overwritten before they were read. How many records these were
    /// is unknown.
    pub bytes: u64,
    /// The number of records skipped because their producer discarded them.
    pub discarded: u64,
}

impl OverwriteRing<Mapped> {
    /// Maps the ring of a `BPF_MAP_TYPE_RINGBUF` map that was created with `BPF_F_RB_OVERWRITE` (Linux 6.19). `map` is
    /// its fd, and `bytes` its `max_entries`.
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), except [`Error::OverwriteMode`]. A ring that was created without the flag
    /// can be read as well; it does not overwrite, and can be full.
    #[doc(alias = "BPF_F_RB_OVERWRITE")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = Mapped::new(fd.as_fd(), Purpose::Copy, bytes)?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Consume> OverwriteRing<M> {
    pub(crate) fn over(memory: M, fd: OwnedFd) -> Self {
        Self { endpoint: Endpoint::new(memory, fd), waiter: Waiter::default(), copy: Vec::new() }
    }

    /// Returns a copy of the oldest record that is whole and was not read before; the next call replaces the copy.
    /// `None` if there is none, or if it is not committed yet.
    ///
    /// # Errors
    /// [`Corrupt`] if the ring holds a value that no kernel writes.
    pub fn record(&mut self) -> Result<Option<&[u8]>, Error> {
        loop {
            match self.endpoint.take(&mut self.copy)? {
                Taken::Record => return Ok(Some(&self.copy)),
                Taken::Nothing => return Ok(None),
                Taken::Skipped => {}
            }
        }
    }

    /// Sleeps until there is a record, as [`Ring::wait`](crate::Ring::wait) does.
    ///
    /// The kernel wakes a reader only if its position is that of the committed record. The position of an overtaken
    /// reader is no record's, so the reader polls every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms), or
    /// at the interval of [`set_idle_poll_interval`](Self::set_idle_poll_interval). For a shorter delay, let the
    /// program force a wake-up (`BPF_RB_FORCE_WAKEUP`) now and then.
    ///
    /// # Errors
    /// As [`Ring::wait`](crate::Ring::wait).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Prepares for a sleep that the caller does by other means on the ring's fd ([`AsFd`]). Returns the state of the
    /// head: see [`Ring::prepare_wait`](crate::Ring::prepare_wait).
    ///
    /// # Errors
    /// [`Corrupt`] as for [`record`](Self::record).
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.prepare_wait()?)
    }

    /// Sets how long [`wait`](Self::wait) sleeps at most before it polls the ring: see
    /// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval).
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// Returns a handle that ends [`wait`](Self::wait) from another thread or from a signal handler.
    ///
    /// # Errors
    /// [`Error::Syscall`] if no fd is left for its pipe (EMFILE, ENFILE).
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Cancels all [stops](Stopper::stop) so far, so that the next wait waits again.
    ///
    /// # Errors
    /// [`Error::Syscall`] if the stopper's pipe cannot be read.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.waiter.resume()
    }

    /// Returns the losses since the ring was opened.
    #[must_use]
    pub fn lost(&self) -> LossCount {
        self.endpoint.losses
    }

    /// Returns the positions that the ring's pages show.
    #[must_use]
    pub fn positions(&self) -> Positions {
        positions(&self.endpoint.memory)
    }

    /// Returns the size of the ring's data in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.endpoint.memory.size()
    }
}

/// The result of one attempt to take a record.
pub(crate) enum Taken {
    Record,
    Nothing,
    Skipped,
}

/// The state of the ring at the reader's position.
enum Next {
    Nothing(Head),
    Record {
        header: RecordHeader,
        discarded: bool,
    },
    /// The kernel overwrote the reader's position meanwhile.
    Overtaken,
}

impl<M: Consume> Endpoint<M> {
    pub(crate) fn new(memory: M, fd: OwnedFd) -> Self {
        Self { read: memory.consumer(), memory, fd, losses: LossCount::default() }
    }

    pub(crate) fn take(&mut self, copy: &mut Vec<u8>) -> Result<Taken, Corrupt> {
        self.catch_up();
        let (header, discarded) = match self.next()? {
            Next::Nothing(_) => return Ok(Taken::Nothing),
            Next::Overtaken => return Ok(Taken::Skipped),
            Next::Record { header, discarded } => (header, discarded),
        };
        if !discarded {
            copy_payload(&self.memory, header, copy);
        }
        if self.is_overtaken() {
            return Ok(Taken::Skipped);
        }
        self.read = header.position.wrapping_add(space(header.length));
        // Relaxed: the kernel does not write over records because of this position. It only shows whether there is a
        // record to wait for, and `prepare_wait` fences before a sleep.
        self.memory.set_consumer(self.read, Ordering::Relaxed);
        if discarded {
            self.losses.discarded = self.losses.discarded.wrapping_add(1);
            return Ok(Taken::Skipped);
        }
        Ok(Taken::Record)
    }

    /// Reads the state of the record at `read`. The result is consistent, but the record may be overwritten at any
    /// time.
    fn next(&self) -> Result<Next, Corrupt> {
        let position = self.read;
        let producer = self.memory.producer();
        // `is_overtaken` fences before it loads. Behind that fence the headers up to `producer`, and the overwrite
        // position that made room for them, are visible: smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve.
        if self.is_overtaken() {
            return Ok(Next::Overtaken);
        }
        for (which, position) in [("consumer_pos", position), ("producer_pos", producer)] {
            if position % 8 != 0 {
                return Err(Corrupt::Misaligned { which, position });
            }
        }
        let available = producer.wrapping_sub(position);
        let size = self.memory.size();
        if available == 0 {
            return Ok(Next::Nothing(Head::Empty));
        }
        if available > size {
            return Err(Corrupt::Span { consumer: position, producer, size });
        }
        let word = self.memory.data().header(position);
        // `is_overtaken` fences before it loads. That also makes the load of `word` the acquiring load that pairs with
        // the xchg() in bpf_ringbuf_commit.
        if self.is_overtaken() {
            return Ok(Next::Overtaken);
        }
        if word & BUSY != 0 {
            return Ok(Next::Nothing(Head::Busy));
        }
        let length = word & LENGTH;
        if space(length) > available {
            return Err(Corrupt::Length { position, length, available });
        }
        let discarded = word & DISCARD != 0;
        let header = RecordHeader { position, length };
        Ok(Next::Record { header, discarded })
    }

    /// Returns whether the bytes that were read at `read` so far may have been overwritten.
    fn is_overtaken(&self) -> bool {
        // ATOMICS: the kernel stores overwrite_pos before it writes over the bytes that this frees
        // (__bpf_ringbuf_reserve, on machines that keep stores in order). A reader that has read any byte written there
        // sees the store after this fence.
        M::fence(Ordering::Acquire);
        self.ahead() > 0
    }

    /// Returns how many bytes the overwrite position is ahead of this reader; negative if it is behind.
    fn ahead(&self) -> i64 {
        self.memory.overwrite().wrapping_sub(self.read).cast_signed()
    }

    /// Moves to the oldest whole record if that is ahead, and counts the loss.
    fn catch_up(&mut self) {
        let ahead = self.ahead();
        if ahead > 0 {
            self.losses.overtaken = self.losses.overtaken.wrapping_add(1);
            self.losses.bytes = self.losses.bytes.wrapping_add(ahead.cast_unsigned());
            self.read = self.read.wrapping_add(ahead.cast_unsigned());
        }
    }
}

impl<M: Consume> Sleeper for Endpoint<M> {
    fn head(&self) -> Result<Head, Corrupt> {
        Ok(match self.next()? {
            Next::Nothing(head) => head,
            Next::Record { .. } | Next::Overtaken => Head::Ready,
        })
    }

    fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        self.memory.set_consumer(self.read, Ordering::Relaxed);
        // ATOMICS: as in `Consumer::prepare_wait`, with the xchg() in
        // bpf_ringbuf_commit.
        M::fence(Ordering::SeqCst);
        self.head()
    }

    fn watch(&self, epoll: &Epoll) -> Result<(), Error> {
        watch_ring(epoll, self.fd.as_fd(), Interest::ReadableEdge, 0)
    }
}

/// Returns the map's fd, which is readable while the ring holds unread records. Call [`OverwriteRing::prepare_wait`]
/// before waiting for it.
impl<M: Consume> AsFd for OverwriteRing<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.fd.as_fd()
    }
}

impl<M: Consume> fmt::Debug for OverwriteRing<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverwriteRing")
            .field("fd", &self.endpoint.fd)
            .field("capacity", &self.capacity())
            .field("positions", &self.positions())
            .field("losses", &self.lost())
            .finish_non_exhaustive()
    }
}
