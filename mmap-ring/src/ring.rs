//! A ring opened for reading: pages, fd, and the way to sleep.

use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::batch::{Batch, Record};
use crate::consumer::{Consumer, Head};
use crate::error::{Corrupt, Error};
use crate::map::Purpose;
use crate::memory::Consume;
use crate::memory::mapped::Mapped;
use crate::positions::Positions;
use crate::wait::watch_ring;
use crate::wait::{Sleeper, Stopper, Waiter, Wake};
use cutaway_sys::IntoControlFlow;
use cutaway_sys::epoll::{Epoll, Interest};

/// The one consumer of a BPF ring buffer.
///
/// ```no_run
/// # fn map_fd() -> std::os::fd::OwnedFd { unimplemented!() }
/// use mmap_ring::{Ring, Wake};
///
/// let mut ring = Ring::open(map_fd(), 256 * 1024)?;
/// while ring.wait(None)? == Wake::Ready {
///     for record in &mut ring.batch()? {
///         println!("{} bytes: {record:?}", record.len());
///     }
/// }
/// # Ok::<(), mmap_ring::Error>(())
/// ```
///
/// A ring has one consumer: a second one would free what the first has lent, and
/// the kernel would write over bytes that are still borrowed. So this process
/// opens a map once at a time, as a `Ring` or as an
/// [`OverwriteRing`](crate::OverwriteRing): the second is refused
/// ([`Error::AlreadyOpen`]) until the first is dropped, by whatever fd it comes.
/// Lookers-on ([`Peek`](crate::Peek)) do not count.
///
/// The kernel does not prevent a second consumer, and this crate cannot keep another process from being one: whoever
/// may write to the map has to be kept from it, as from the memory of this process. It notices one: a position that
/// this type did not store is [`Corrupt::Consumer`], before anything more is lent. It looks when a batch begins and
/// ends (what the end finds is the error of the next call) and before it sleeps, never in between; records that both
/// have read until then are read twice, and a second consumer that has read nothing yet goes unnoticed.
#[doc(alias = "BPF_MAP_TYPE_RINGBUF")]
#[doc(alias = "ring_buffer")]
pub struct Ring<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
}

/// A consumer and what it waits for: what sleeps, apart from how.
struct Endpoint<M> {
    consumer: Consumer<M>,
    /// Readable when the producer's position is not the consumer's.
    fd: OwnedFd,
}

impl<M: Consume> Sleeper for Endpoint<M> {
    fn head(&self) -> Result<Head, Corrupt> {
        self.consumer.head()
    }

    fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        self.consumer.prepare_wait()
    }

    fn watch(&self, epoll: &Epoll) -> Result<(), Error> {
        watch_ring(epoll, self.fd.as_fd(), Interest::ReadableEdge, 0)
    }
}

impl Ring<Mapped> {
    /// Maps the ring behind the fd of a `BPF_MAP_TYPE_RINGBUF` map
    /// (Linux 5.8) whose `max_entries` is `bytes`.
    ///
    /// Reading goes on at the position where the last consumer of the map
    /// stopped; see [`Positions::consumer`]. The fd must have been opened
    /// for reading and writing, and is kept for waiting.
    ///
    /// # Errors
    /// - [`Error::InvalidSize`] if `bytes` is not a power of two and a multiple of the
    ///   page size.
    /// - [`Error::WrongType`] if the fd is not a map of this type. The kernel is asked: by bpf(2)
    ///   (`BPF_OBJ_GET_INFO_BY_FD`), or where that is refused by `/proc/thread-self/fdinfo`.
    /// - [`Error::UnknownType`] if neither tells.
    /// - [`Error::SizeMismatch`] if the map's `max_entries` is not `bytes`.
    /// - [`Error::OverwriteMode`] if it was made with `BPF_F_RB_OVERWRITE`.
    /// - [`Error::Map`] if the kernel refuses a mapping: EACCES if the fd is read-only, EPERM if the map is frozen.
    /// - [`Error::AlreadyOpen`] if this process has it open.
    #[doc(alias = "ring_buffer__new")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = Mapped::new(fd.as_fd(), Purpose::Lend, bytes)?;
        Ok(Self::over(memory, fd))
    }

    /// As [`open`](Self::open), for those who have asked the kernel themselves what the map is, as a loader does that
    /// made it: spares the question.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for [`Error::WrongType`], [`Error::UnknownType`], [`Error::SizeMismatch`] and
    /// [`Error::OverwriteMode`].
    ///
    /// # Safety
    /// The kernel has said (`BPF_OBJ_GET_INFO_BY_FD`) that this fd is a map of type `BPF_MAP_TYPE_RINGBUF`, that its
    /// `max_entries` is `bytes`, and that its `map_flags` do not have `BPF_F_RB_OVERWRITE`.
    #[expect(unsafe_code, reason = "the caller vouches for the map")]
    pub unsafe fn open_unchecked(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        // SAFETY: handed on to the caller.
        let memory = unsafe { Mapped::of_ring(fd.as_fd(), bytes) }?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Consume> Ring<M> {
    /// A ring over any memory, which `fd` is readable for.
    pub(crate) fn over(memory: M, fd: OwnedFd) -> Self {
        Self { endpoint: Endpoint { consumer: Consumer::new(memory), fd }, waiter: Waiter::default() }
    }

    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn memory(&self) -> &M {
        self.endpoint.consumer.memory()
    }

    pub(crate) fn consumer_mut(&mut self) -> &mut Consumer<M> {
        &mut self.endpoint.consumer
    }

    pub(crate) fn watch(&self, epoll: &Epoll) -> Result<(), Error> {
        self.endpoint.watch(epoll)
    }

    pub(crate) fn waiter_mut(&mut self) -> &mut Waiter {
        &mut self.waiter
    }

    /// Borrows all records that are committed now; none if there are none.
    ///
    /// Whatever the producer adds meanwhile is left for the next batch, so going
    /// through a batch ends even if the producer never stops.
    ///
    /// # Errors
    /// [`Corrupt`] if the record at the head or a position is not what a kernel
    /// writes. Nothing is consumed then, and the next call says the same.
    pub fn batch(&mut self) -> Result<Batch<'_, M>, Error> {
        Ok(self.endpoint.consumer.batch()?)
    }

    /// Borrows the oldest record, if it is committed, until the result is
    /// dropped.
    ///
    /// # Errors
    /// As for [`batch`](Self::batch).
    #[doc(alias = "ring__consume")]
    pub fn record(&mut self) -> Result<Option<Record<'_, M>>, Error> {
        Ok(Record::first(self.endpoint.consumer.batch()?))
    }

    /// Calls `each` with every record that is committed now, oldest first, and releases what was read, in one store.
    ///
    /// `each` returns nothing, or [`ControlFlow`]: `Break(value)` ends the drain early, which then returns
    /// `Some(value)`. The record that it broke at is read; those behind it stay in the ring.
    ///
    /// ```
    /// # use mmap_ring::fake::{Commit, Kernel};
    /// # let (kernel, mut ring) = Kernel::new(4096)?;
    /// # kernel.output(b"one", Commit::default());
    /// ring.drain(|record| println!("{record:?}"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`batch`](Self::batch).
    #[doc(alias = "ring_buffer__consume")]
    pub fn drain<R: IntoControlFlow>(&mut self, mut each: impl FnMut(&[u8]) -> R) -> Result<Option<R::Break>, Error> {
        for record in &mut self.batch()? {
            if let ControlFlow::Break(value) = each(record).into_control_flow() {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Sleeps until there is a record to read or skip.
    ///
    /// With a record at the head this returns at once and makes no system call.
    /// A head that is reserved but not committed is waited for in the same way as
    /// an empty ring, without spinning: its commit sends the wake-up. In case it
    /// is one that sends none, the head is also looked at after 1, 2, 4, 8 and
    /// then every 16 milliseconds.
    ///
    /// A program that commits or discards with `BPF_RB_NO_WAKEUP` leaves a consumer
    /// asleep, and later records without a flag do not wake it either, because
    /// `consumer_pos` is behind them. So an empty ring is looked at every 90 milliseconds
    /// ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or what
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval) says): no record waits for longer than 100 ms on a
    /// machine that is not overloaded, whatever flags its program uses. While such looks find records, they come
    /// sooner, down to every millisecond.
    ///
    /// `timeout` is rounded up to a millisecond; `None` is for ever. The looks do not end
    /// a wait.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll cannot be set up or waited for;
    /// [`Error::Corrupt`] if the ring is.
    #[doc(alias = "ring_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Sets how long [`wait`](Self::wait) and [`run`](Self::run) sleep at most before they look at the ring by
    /// themselves, rounded up to a millisecond; at first [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL).
    ///
    /// `None` turns these looks off and spares an idle reader its 11 wake-ups a second. Then a record that was sent
    /// with `BPF_RB_NO_WAKEUP` waits, and every later one without a flag, until a time-out or a forced wake-up: only
    /// for programs that are known to use no such flag.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// A handle that ends [`wait`](Self::wait) from another thread or from a
    /// signal handler. All handles of one ring are the same.
    ///
    /// # Errors
    /// [`Error::Syscall`] if there is no fd left for its pipe.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Takes back all [stops](Stopper::stop) so far: waiting waits again.
    ///
    /// # Errors
    /// [`Error::Syscall`] if the stopper's pipe cannot be read.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.waiter.resume()
    }

    /// Makes ready for a sleep of one's own making (epoll, mio, an async
    /// runtime), and tells what there is to do instead of sleeping.
    ///
    /// Sleep on the ring's fd ([`AsFd`]) only when this says
    /// [`Head::Empty`], or [`Head::Busy`] for a short while. Then no wake-up is
    /// lost, with level- and with edge-triggered waiting.
    ///
    /// A record that is sent without a wake-up (`BPF_RB_NO_WAKEUP`) ends no such sleep if it is edge-triggered; a
    /// level-triggered one looks only when it begins or is woken. So sleep for at most
    /// [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) at a time unless the program is known to use no such flag,
    /// then look at the ring, whether or not it was reported.
    ///
    /// # Errors
    /// [`Corrupt`] as for [`batch`](Self::batch).
    #[doc(alias = "enable_notification")]
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.consumer.prepare_wait()?)
    }

    /// What stands at the head of the ring.
    ///
    /// # Errors
    /// [`Corrupt`] as for [`batch`](Self::batch).
    pub fn head(&self) -> Result<Head, Corrupt> {
        self.endpoint.consumer.head()
    }

    /// The positions that the ring's pages show.
    #[doc(alias = "ring__consumer_pos")]
    #[doc(alias = "ring__producer_pos")]
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.endpoint.consumer.positions()
    }

    /// Size of the ring's data in bytes: the map's `max_entries`.
    ///
    /// The most that it can hold is one byte less, so the longest record has
    /// `capacity - 16` bytes (`__bpf_ringbuf_reserve` in `kernel/bpf/ringbuf.c`).
    #[doc(alias = "ring__size")]
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.endpoint.consumer.memory().size()
    }

    /// What happened since the ring was opened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let state = self.endpoint.consumer.state();
        Counters {
            discarded: state.discarded,
            releases: state.publications,
            sleeps: self.waiter.sleeps(),
            wakeups: self.waiter.wakeups(),
        }
    }
}

/// What a consumer counted since its ring was opened.
///
/// What the kernel had no room for is not among it: a failed reservation is
/// known to the program alone, which has to count it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Records skipped because their producer discarded them.
    pub discarded: u64,
    /// Times that the consumer position was stored.
    pub releases: u64,
    /// Times that a wait went to sleep.
    pub sleeps: u64,
    /// Times that a sleep ended because of the ring.
    pub wakeups: u64,
}

/// The map's fd, readable while the ring holds anything that was not
/// released. Call [`Ring::prepare_wait`] before waiting for it.
impl<M: Consume> AsFd for Ring<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.fd.as_fd()
    }
}

impl<M: Consume> fmt::Debug for Ring<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.endpoint.fd)
            .field("capacity", &self.capacity())
            .field("positions", &self.positions())
            .finish_non_exhaustive()
    }
}
