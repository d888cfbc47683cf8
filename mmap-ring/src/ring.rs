//! A ring opened for reading: its pages, its fd, and the wait.

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

/// The only consumer of a BPF ring buffer. `Send`, not `Sync`.
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
/// A ring has one consumer. A second one would free records that the first has lent, and the kernel would write over
/// bytes that are still borrowed. So this process can open a map once at a time, as a `Ring` or as an
/// [`OverwriteRing`](crate::OverwriteRing). A second one is refused ([`Error::AlreadyOpen`]) until the first is
/// dropped, through whatever fd it is opened. Observers ([`Peek`](crate::Peek)) do not count.
///
/// The kernel does not prevent a second consumer, and this crate cannot prevent one in another process. A process that
/// may write to the map must be kept from consuming, as it must be kept from the memory of this process. This type does
/// notice a second consumer: a position that it did not store is [`Corrupt::Consumer`], before it lends any more
/// records. It checks when a batch begins, when a batch ends (the next call returns that error) and before it sleeps,
/// never in between. Records that both consumers have read until then are read twice. A second consumer that has read
/// nothing yet goes unnoticed.
#[doc(alias = "BPF_MAP_TYPE_RINGBUF")]
#[doc(alias = "ring_buffer")]
pub struct Ring<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
}

/// A consumer and the fd that it waits for. The [`Waiter`] does the sleeping.
struct Endpoint<M> {
    consumer: Consumer<M>,
    /// Readable while the producer position differs from the consumer position.
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
    /// Maps the ring of a `BPF_MAP_TYPE_RINGBUF` map (Linux 5.8). `map` is its fd, and `bytes` its `max_entries`.
    ///
    /// Reading continues at the position where the last consumer of the map stopped; see [`Positions::consumer`]. The
    /// fd must be open for reading and writing. The ring keeps it for waiting.
    ///
    /// # Errors
    /// - [`Error::InvalidSize`] if `bytes` is not a power of two or not a multiple of the page size.
    /// - [`Error::WrongType`] if the fd is not a map of this type, according to bpf(2) (`BPF_OBJ_GET_INFO_BY_FD`) or,
    ///   if that is refused, `/proc/thread-self/fdinfo`.
    /// - [`Error::UnknownType`] if neither of them can be read.
    /// - [`Error::SizeMismatch`] if the map's `max_entries` is not `bytes`.
    /// - [`Error::OverwriteMode`] if the map was created with `BPF_F_RB_OVERWRITE`.
    /// - [`Error::Map`] if the kernel refuses a mapping: EACCES if the fd is read-only, EPERM if the map is frozen.
    /// - [`Error::AlreadyOpen`] if this process has the map open.
    #[doc(alias = "ring_buffer__new")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = Mapped::new(fd.as_fd(), Purpose::Lend, bytes)?;
        Ok(Self::over(memory, fd))
    }

    /// Maps the ring as [`open`](Self::open) does, without asking the kernel what the map is. For callers that have
    /// asked it themselves, as a loader that created the map.
    ///
    /// # Errors
    /// As [`open`](Self::open), except [`Error::WrongType`], [`Error::UnknownType`], [`Error::SizeMismatch`] and
    /// [`Error::OverwriteMode`].
    ///
    /// # Safety
    /// The kernel has said (`BPF_OBJ_GET_INFO_BY_FD`) that this fd is a map of type `BPF_MAP_TYPE_RINGBUF`, that its
    /// `max_entries` is `bytes`, and that its `map_flags` do not have `BPF_F_RB_OVERWRITE`.
    #[expect(unsafe_code, reason = "the caller vouches for the map")]
    pub unsafe fn open_unchecked(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        // SAFETY: the caller promises the same.
        let memory = unsafe { Mapped::of_ring(fd.as_fd(), bytes) }?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Consume> Ring<M> {
    /// Creates a ring over any memory. `fd` is readable while that memory holds unreleased records.
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

    /// Borrows all records that are committed now; the batch is empty if there are none.
    ///
    /// Records that the producer adds meanwhile are left for the next batch. So a batch ends even if the producer never
    /// stops.
    ///
    /// # Errors
    /// [`Corrupt`] if the record at the head, or a position, is not one that a kernel writes. Then nothing is consumed,
    /// and the next call returns the same error.
    pub fn batch(&mut self) -> Result<Batch<'_, M>, Error> {
        Ok(self.endpoint.consumer.batch()?)
    }

    /// Borrows the oldest record, if it is committed, until the returned value is dropped.
    ///
    /// # Errors
    /// As for [`batch`](Self::batch).
    #[doc(alias = "ring__consume")]
    pub fn record(&mut self) -> Result<Option<Record<'_, M>>, Error> {
        Ok(Record::first(self.endpoint.consumer.batch()?))
    }

    /// Calls `each` with every record that is committed now, oldest first. Then releases, in one store, all records
    /// that were read.
    ///
    /// `each` returns `()` or [`ControlFlow`]: `Break(value)` ends the drain early, which then returns `Some(value)`.
    /// The record that `each` broke at counts as read; later records stay in the ring.
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
    /// With a record at the head this returns at once and makes no system call. A head that is reserved but not
    /// committed is waited for like an empty ring, without spinning: its commit sends the wake-up. In case the commit
    /// sends none, the head is also polled after 1, 2, 4, 8 and then every 16 milliseconds.
    ///
    /// A program that commits or discards with `BPF_RB_NO_WAKEUP` leaves a consumer asleep. Later records without a
    /// flag do not wake it either, because `consumer_pos` is behind them. So an empty ring is polled every 90
    /// milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or the interval of
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval)). On a machine that is not overloaded, no record waits
    /// longer than 100 ms, whatever flags its program uses. While polls find records, the interval shortens, down to
    /// one millisecond.
    ///
    /// `timeout` is rounded up to a millisecond; `None` waits forever. A poll that finds no record does not end the
    /// wait.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll cannot be set up or waited for; [`Error::Corrupt`] if the ring is corrupt.
    #[doc(alias = "ring_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Sets how long [`wait`](Self::wait) and [`run`](Self::run) sleep at most before they poll the ring, rounded up to
    /// a millisecond. The default is [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL).
    ///
    /// `None` turns polling off, which saves an idle reader its 11 wake-ups a second. Then a record that was sent with
    /// `BPF_RB_NO_WAKEUP`, and every later one without a flag, waits until a timeout or a forced wake-up. Use it only
    /// for programs that are known not to use that flag.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// Returns a handle that ends [`wait`](Self::wait) from another thread or from a signal handler. All handles of one
    /// ring are equivalent.
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

    /// Prepares for a sleep that the caller does by other means (epoll, mio, an async runtime). Returns the state of
    /// the head, which decides whether to sleep.
    ///
    /// Sleep on the ring's fd ([`AsFd`]) only if this returns [`Head::Empty`], or for a short time if it returns
    /// [`Head::Busy`]. Then no wake-up is lost, with level- and with edge-triggered waiting.
    ///
    /// A record that is sent without a wake-up (`BPF_RB_NO_WAKEUP`) does not end an edge-triggered sleep. A
    /// level-triggered sleep checks for records only when it begins or is woken. So unless the program is known not to
    /// use that flag, sleep for at most [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) at a time; then read the
    /// ring, whether or not its fd was reported.
    ///
    /// # Errors
    /// [`Corrupt`] as for [`batch`](Self::batch).
    #[doc(alias = "enable_notification")]
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.consumer.prepare_wait()?)
    }

    /// Returns the state of the ring's head, the oldest record that is not consumed.
    ///
    /// # Errors
    /// [`Corrupt`] as for [`batch`](Self::batch).
    pub fn head(&self) -> Result<Head, Corrupt> {
        self.endpoint.consumer.head()
    }

    /// Returns the positions that the ring's pages show.
    #[doc(alias = "ring__consumer_pos")]
    #[doc(alias = "ring__producer_pos")]
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.endpoint.consumer.positions()
    }

    /// Returns the size of the ring's data in bytes: the map's `max_entries`.
    ///
    /// The ring can hold at most one byte less, so the longest record has `capacity - 16` bytes of payload
    /// (`__bpf_ringbuf_reserve` in `kernel/bpf/ringbuf.c`).
    #[doc(alias = "ring__size")]
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.endpoint.consumer.memory().size()
    }

    /// Returns the counters of this reader since the ring was opened.
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

/// Events that a consumer has counted since its ring was opened.
///
/// Records that the kernel had no room for are not counted. Only the program knows of a failed reservation, and must
/// count it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// The number of records skipped because their producer discarded them.
    pub discarded: u64,
    /// The number of times that the consumer position was stored.
    pub releases: u64,
    /// The number of times that a wait went to sleep.
    pub sleeps: u64,
    /// The number of times that the ring ended a sleep.
    pub wakeups: u64,
}

/// Returns the map's fd, which is readable while the ring holds unreleased records. Call [`Ring::prepare_wait`] before
/// waiting for it.
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
