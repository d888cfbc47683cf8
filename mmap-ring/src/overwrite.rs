//! A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19).
//!
//! Nothing waits for its reader. When there is no room, the kernel moves
//! `overwrite_pos` over as many of the oldest records as it needs and writes
//! there; only a record not yet committed stands in its way. Bytes from
//! `overwrite_pos` to `producer_pos` are whole, whether they were read or not.
//!
//! So a record cannot be borrowed, only copied, and the copy counts only if
//! `overwrite_pos` has not passed the record afterwards:
//!
//! ```text
//!   1. load producer_pos (acquire), then overwrite_pos; go there if behind it
//!   2. load the header, copy the payload
//!   3. fence, load overwrite_pos again: passed? throw the copy away, begin anew
//! ```
//!
//! This is sound where the kernel's store of `overwrite_pos` becomes visible
//! before what it writes afterwards over the freed bytes: on x86-64 and s390x,
//! whose stores stay in order. `__bpf_ringbuf_reserve` has no barrier between
//! the two, so on other machines a copy can in theory be torn: stop the
//! producers there and read what is left, which is sound everywhere.

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

/// The reader of a ring that overwrites its oldest records.
#[doc(alias = "BPF_F_RB_OVERWRITE")]
pub struct OverwriteRing<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
    /// The copy that was handed out last.
    copy: Vec<u8>,
}

/// The reader and what it waits for: what sleeps, apart from how.
pub(crate) struct Endpoint<M> {
    memory: M,
    fd: OwnedFd,
    /// Behind the last record that was read or passed over.
    read: u64,
    losses: LossCount,
}

/// What a reader of an overwriting ring did not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossCount {
    /// Times that the reader found itself overtaken.
    pub overtaken: u64,
    /// Bytes of the ring, headers included, that were overwritten before they
    /// were read. How many records these were, nobody can tell any more.
    pub bytes: u64,
    /// Records skipped because their producer discarded them.
    pub discarded: u64,
}

impl OverwriteRing<Mapped> {
    /// Maps the ring behind the fd of a `BPF_MAP_TYPE_RINGBUF` map that
    /// was made with `BPF_F_RB_OVERWRITE` (Linux 6.19) and whose `max_entries` is
    /// `bytes`.
    ///
    /// # Errors
    /// As [`Ring::open`](crate::Ring::open), but for [`Error::OverwriteMode`]. A ring
    /// made without the flag can be read so, too: it gets full.
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

    /// The oldest record that is whole and was not read before: a copy, which the
    /// next call replaces. `None` if there is none or if it is not committed yet.
    ///
    /// # Errors
    /// [`Corrupt`] if the ring holds what no kernel writes.
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
    /// The kernel wakes a reader whose position is the committed record's. That of a
    /// reader that was overtaken is no record's, so it polls every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)
    /// (90 ms) or what [`set_idle_poll_interval`](Self::set_idle_poll_interval) says; for less, let the program force a
    /// wake-up (`BPF_RB_FORCE_WAKEUP`) now and then.
    ///
    /// # Errors
    /// As [`Ring::wait`](crate::Ring::wait).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Makes ready for a sleep of one's own making on the ring's fd
    /// ([`AsFd`]), and tells what there is to do instead: see
    /// [`Ring::prepare_wait`](crate::Ring::prepare_wait).
    ///
    /// # Errors
    /// [`Corrupt`] as for [`record`](Self::record).
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.prepare_wait()?)
    }

    /// Sets how long [`wait`](Self::wait) sleeps at most before it looks at the ring by itself: see
    /// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval).
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// A handle that ends [`wait`](Self::wait) from elsewhere.
    ///
    /// # Errors
    /// [`Error::Syscall`] if there is no fd left for its pipe.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Takes back all [stops](Stopper::stop) so far.
    ///
    /// # Errors
    /// [`Error::Syscall`] if the stopper's pipe cannot be read.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.waiter.resume()
    }

    /// What was lost since the ring was opened.
    #[must_use]
    pub fn lost(&self) -> LossCount {
        self.endpoint.losses
    }

    /// The positions that the ring's pages show.
    #[must_use]
    pub fn positions(&self) -> Positions {
        positions(&self.endpoint.memory)
    }

    /// Size of the ring's data in bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.endpoint.memory.size()
    }
}

/// What a look at the ring brought.
pub(crate) enum Taken {
    Record,
    Nothing,
    Skipped,
}

/// What stands where the reader wants to go on.
enum Next {
    Nothing(Head),
    Record {
        header: RecordHeader,
        discarded: bool,
    },
    /// The ring moved on while it was looked at.
    Overtaken,
}

impl<M: Consume> Endpoint<M> {
    pub(crate) fn new(memory: M, fd: OwnedFd) -> Self {
        Self { read: memory.consumer(), memory, fd, losses: LossCount::default() }
    }

    pub(crate) fn take(&mut self, copy: &mut Vec<u8>) -> Result<Taken, Corrupt> {
        self.catch_up();
        let (header, discarded) = match self.look()? {
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
        // Relaxed: nobody writes because of this position. It only says whether
        // there is something to wait for, and `prepare_wait` fences before a sleep.
        self.memory.set_consumer(self.read, Ordering::Relaxed);
        if discarded {
            self.losses.discarded = self.losses.discarded.wrapping_add(1);
            return Ok(Taken::Skipped);
        }
        Ok(Taken::Record)
    }

    /// Looks at the record at `read`. The answer is consistent, but what it tells
    /// of may be overwritten at any time.
    fn look(&self) -> Result<Next, Corrupt> {
        let position = self.read;
        let producer = self.memory.producer();
        // `is_overtaken` fences before it looks. Behind that fence the headers up to
        // `producer`, and the overwrite position that made room for them, are
        // visible: smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve.
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
        // `is_overtaken` fences before it looks, which also makes this the
        // acquiring load that pairs with the xchg() in bpf_ringbuf_commit.
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

    /// Whether what was read at `read` up to now may have been overwritten.
    fn is_overtaken(&self) -> bool {
        // ATOMICS: the kernel stores overwrite_pos before it writes over what that
        // frees (__bpf_ringbuf_reserve, on machines that keep stores in order).
        // Whoever has read anything that was written there sees the store behind
        // this fence.
        M::fence(Ordering::Acquire);
        self.ahead() > 0
    }

    /// How far the overwrite position is ahead of this reader.
    fn ahead(&self) -> i64 {
        self.memory.overwrite().wrapping_sub(self.read).cast_signed()
    }

    /// Goes to the oldest whole record if that is ahead.
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
        Ok(match self.look()? {
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

/// The map's fd, readable while the ring holds anything that was not
/// read. Call [`OverwriteRing::prepare_wait`] before waiting for it.
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
