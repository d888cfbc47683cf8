//! A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19).
//!
//! The kernel does not wait for the reader. If there is no room for a new record, the kernel moves `overwrite_pos` past
//! the oldest records and overwrites them. The kernel refuses the new record only if one of these oldest records is
//! uncommitted, if the new record is as large as the ring or larger, or if the ring's lock is not free. All records
//! from `overwrite_pos` to `producer_pos` are intact, whether the reader has read them or not. Some of these records
//! may be uncommitted.
//!
//! The kernel can overwrite a record at any time, so the reader copies records and never lends them. A copy is valid
//! only if `overwrite_pos` has not passed the record when the copy is complete:
//!
//! ```text
//!   1. load producer_pos (acquire), then overwrite_pos;
//!      if overwrite_pos is ahead of the reader, move the reader there
//!   2. load the header, copy the payload
//!   3. fence, load overwrite_pos again;
//!      if it has passed the record, discard the copy and begin again
//! ```
//!
//! Step 3 requires that the kernel's store of `overwrite_pos` becomes visible before the kernel overwrites the freed
//! bytes. x86-64 and s390x keep stores in order. On other machines a copy that passes step 3 can in theory mix bytes of
//! two records, because `__bpf_ringbuf_reserve` has no barrier between the stores. On such machines, stop the producers
//! before reading.

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
use crate::wait::{Stopper, WaitSource, Waiter, Wake};
use cutaway_sys::epoll::{Epoll, Interest};

/// The reader of a ring that overwrites its oldest records. `Send`, not `Sync`.
///
/// On machines other than x86-64 and s390x, stop the producers before reading: the kernel does not order its stores,
/// so a copy can in theory mix bytes of two records.
#[doc(alias = "BPF_F_RB_OVERWRITE")]
pub struct OverwriteRing<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
    /// The copy that `record` returned last.
    copy: Vec<u8>,
}

/// The reader's state, and the fd on which the [`Waiter`] sleeps.
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
    /// The number of times that the kernel overwrote records that this reader had not read.
    pub overtaken: u64,
    /// The number of bytes, headers included, that were overwritten before this reader read them. The number of
    /// overwritten records is unknown.
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
    /// can be opened, too. Such a ring does not overwrite records, and refuses new ones while it is full.
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

    /// Returns a copy of the oldest unread record that the kernel has not overwritten. The next call replaces the copy.
    /// Returns `None` if there is no such record, or if it is not committed yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the ring holds a value that no kernel writes.
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
    /// After a commit, the kernel wakes the reader only if the record begins at the reader's offset (`consumer_pos`
    /// modulo the ring's size). After the kernel has overwritten unread records, a new record need not begin at this
    /// offset. Then its commit sends no wake-up. The next wake-up comes when a later record happens to begin at this
    /// offset. So the reader polls every [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms), or at the interval
    /// of [`set_idle_poll_interval`](Self::set_idle_poll_interval). For a shorter delay, the program can commit some
    /// records with `BPF_RB_FORCE_WAKEUP`.
    ///
    /// # Errors
    /// As [`Ring::wait`](crate::Ring::wait).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Prepares for a sleep that the caller does by other means on the ring's fd ([`AsFd`]). Returns the state of the
    /// oldest unread record: see [`Ring::prepare_wait`](crate::Ring::prepare_wait).
    ///
    /// # Errors
    /// [`Error::Corrupt`], as [`record`](Self::record).
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.prepare_wait()?)
    }

    /// Sets how long [`wait`](Self::wait) sleeps at most before it polls the ring: see
    /// [`Ring::set_idle_poll_interval`](crate::Ring::set_idle_poll_interval).
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// Returns a handle that ends [`wait`](Self::wait) from another thread or from a signal handler: see
    /// [`Ring::stopper`](crate::Ring::stopper).
    ///
    /// # Errors
    /// [`Error::Syscall`] if no fd is left for the handle's pipe (EMFILE, ENFILE).
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Cancels all [stops](Stopper::stop) so far. Without this call, every wait after a stop returns
    /// [`Wake::Stopped`].
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

    /// Returns the positions on the ring's pages.
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

/// The state of the record at the reader's position.
enum Next {
    Nothing(Head),
    Record {
        header: RecordHeader,
        discarded: bool,
    },
    /// The kernel has moved `overwrite_pos` past the reader's position.
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
        // Relaxed: the kernel overwrites records whatever this position is. It uses the position only to decide whether
        // to send a wake-up, and `prepare_wait` fences before a sleep.
        self.memory.set_consumer(self.read, Ordering::Relaxed);
        if discarded {
            self.losses.discarded = self.losses.discarded.wrapping_add(1);
            return Ok(Taken::Skipped);
        }
        Ok(Taken::Record)
    }

    /// Reads the state of the record at the reader's position. The position and the header in the result belong to the
    /// same record. The kernel may overwrite the record at any time after that.
    fn next(&self) -> Result<Next, Corrupt> {
        let position = self.read;
        let producer = self.memory.producer();
        // `is_overtaken` begins with a fence. After the fence, this thread sees all headers before `producer`, and
        // every store of overwrite_pos that came before the store of `producer`. The fence pairs with
        // smp_store_release(&rb->producer_pos) in __bpf_ringbuf_reserve.
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
        // `is_overtaken` fences before it loads. This fence makes the load of `word` an acquire load, which pairs with
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

    /// Returns whether the kernel may have overwritten the record at the reader's position before this call.
    fn is_overtaken(&self) -> bool {
        // ATOMICS: the kernel stores overwrite_pos before it overwrites the freed bytes (__bpf_ringbuf_reserve, on
        // machines that keep stores in order). So if this thread has read any new byte, the load after this fence
        // returns the new overwrite_pos.
        M::fence(Ordering::Acquire);
        self.ahead() > 0
    }

    /// Returns how many bytes `overwrite_pos` is ahead of the reader. The number is negative if `overwrite_pos` is
    /// behind.
    fn ahead(&self) -> i64 {
        self.memory.overwrite().wrapping_sub(self.read).cast_signed()
    }

    /// Moves the reader to `overwrite_pos`, the position of the oldest record that is not overwritten, if the reader is
    /// behind. Counts the loss.
    fn catch_up(&mut self) {
        let ahead = self.ahead();
        if ahead > 0 {
            self.losses.overtaken = self.losses.overtaken.wrapping_add(1);
            self.losses.bytes = self.losses.bytes.wrapping_add(ahead.cast_unsigned());
            self.read = self.read.wrapping_add(ahead.cast_unsigned());
        }
    }
}

impl<M: Consume> WaitSource for Endpoint<M> {
    fn head(&self) -> Result<Head, Corrupt> {
        Ok(match self.next()? {
            Next::Nothing(head) => head,
            Next::Record { .. } | Next::Overtaken => Head::Ready,
        })
    }

    fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        self.memory.set_consumer(self.read, Ordering::Relaxed);
        // ATOMICS: pairs with the xchg() in bpf_ringbuf_commit, as in `Consumer::prepare_wait`.
        M::fence(Ordering::SeqCst);
        self.head()
    }

    fn watch(&self, epoll: &Epoll) -> Result<(), Error> {
        watch_ring(epoll, self.fd.as_fd(), Interest::ReadableEdge, 0)
    }
}

/// Returns the map's fd, which is readable while the ring holds unread records. Call [`OverwriteRing::prepare_wait`]
/// before each sleep on the fd.
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
