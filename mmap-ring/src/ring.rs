//! The reader of a BPF ring buffer: its pages, its fd, and the wait.

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
use crate::wait::{Stopper, WaitSource, Waiter, Wake};
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
/// # One consumer
///
/// A ring can have only one consumer. A second consumer would free records that the first one has lent, and the kernel
/// would overwrite bytes that are still borrowed. So a process can have only one `Ring` or
/// [`OverwriteRing`](crate::OverwriteRing) of a map at a time. Until this reader is dropped,
/// `open` returns [`Error::AlreadyOpen`] for every fd of the map. A process can have any number of observers
/// ([`Peek`](crate::Peek)).
///
/// Neither the kernel nor this crate prevents a second consumer in another process. Such a consumer can change bytes
/// that this process has borrowed. So give write access to the map only to processes that you trust as much as this
/// process.
///
/// This type detects a second consumer by `consumer_pos`. If `consumer_pos` is not the value that this type stored
/// last, it returns [`Corrupt::Consumer`] and lends no more records. It checks when a batch begins, when a batch ends
/// (the next call returns the error) and before it sleeps. Until a check fails, both consumers may read the same
/// records. A second consumer that has not stored a position is not detected.
#[doc(alias = "BPF_MAP_TYPE_RINGBUF")]
#[doc(alias = "ring_buffer")]
pub struct Ring<M: Consume = Mapped> {
    endpoint: Endpoint<M>,
    waiter: Waiter,
}

/// A consumer, and the fd on which the [`Waiter`] sleeps.
struct Endpoint<M> {
    consumer: Consumer<M>,
    /// The map's fd. It is readable while the producer position differs from the consumer position.
    fd: OwnedFd,
}

impl<M: Consume> WaitSource for Endpoint<M> {
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
    /// Reading continues at the position that the last consumer of the map published ([`Positions::consumer`]). The fd
    /// must be open for reading and writing. The ring keeps the fd, and waits on it.
    ///
    /// # Errors
    /// - [`Error::InvalidSize`] if `bytes` is not a power of two or not a multiple of the page size.
    /// - [`Error::WrongType`] if the fd is not a map of this type. The crate queries the type by bpf(2)
    ///   (`BPF_OBJ_GET_INFO_BY_FD`). If bpf(2) fails, it reads `/proc/thread-self/fdinfo`.
    /// - [`Error::UnknownType`] if bpf(2) fails and `/proc` cannot be read.
    /// - [`Error::SizeMismatch`] if the map's `max_entries` is not `bytes`.
    /// - [`Error::OverwriteMode`] if the map was created with `BPF_F_RB_OVERWRITE`.
    /// - [`Error::Map`] if the kernel refuses a mapping: EACCES if the fd is read-only, EPERM if the map is frozen.
    /// - [`Error::AlreadyOpen`] if this process has the map open for reading.
    #[doc(alias = "ring_buffer__new")]
    pub fn open(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        let memory = Mapped::new(fd.as_fd(), Purpose::Lend, bytes)?;
        Ok(Self::over(memory, fd))
    }

    /// Maps the ring as [`open`](Self::open) does, without querying the map's type. Use it if the caller already knows
    /// the type, for example because it created the map.
    ///
    /// # Errors
    /// [`Error::InvalidSize`], [`Error::Map`] and [`Error::AlreadyOpen`], as [`open`](Self::open).
    ///
    /// # Safety
    /// The fd is a map of type `BPF_MAP_TYPE_RINGBUF`, its `max_entries` is `bytes`, and its `map_flags` do not contain
    /// `BPF_F_RB_OVERWRITE`. The caller has queried these values (`BPF_OBJ_GET_INFO_BY_FD`), or has created the map
    /// with them.
    #[expect(unsafe_code, reason = "the caller vouches for the map")]
    pub unsafe fn open_unchecked(map: impl Into<OwnedFd>, bytes: u32) -> Result<Self, Error> {
        let fd = map.into();
        // SAFETY: the caller promises the same.
        let memory = unsafe { Mapped::of_ring(fd.as_fd(), bytes) }?;
        Ok(Self::over(memory, fd))
    }
}

impl<M: Consume> Ring<M> {
    /// Creates a ring over any memory. `fd` is readable while the memory holds unreleased records.
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

    /// Borrows the committed records up to the first uncommitted one. The batch may be empty.
    ///
    /// Records that the producer reserves during the batch belong to the next batch. So a batch ends even if the
    /// producer never pauses.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a position, or the header of the oldest record, has a value that no kernel writes. No
    /// record is consumed, and the next call returns the same error.
    pub fn batch(&mut self) -> Result<Batch<'_, M>, Error> {
        Ok(self.endpoint.consumer.batch()?)
    }

    /// Borrows the oldest record until the returned value is dropped. Skips discarded records before it. Returns `None`
    /// if the oldest record is not committed, or if there is no record.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    #[doc(alias = "ring__consume")]
    pub fn record(&mut self) -> Result<Option<Record<'_, M>>, Error> {
        Ok(Record::first(self.endpoint.consumer.batch()?))
    }

    /// Calls `each` with every record of a [`batch`](Self::batch), oldest first. Then one store releases all records
    /// that were read.
    ///
    /// `each` returns `()` or [`ControlFlow`]. If it returns `Break(value)`, the drain ends and returns `Some(value)`.
    /// The record for which `each` returned `Break` counts as read. Later records stay in the ring. The same applies if
    /// `each` panics.
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
    /// As [`batch`](Self::batch).
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
    /// Returns [`Wake::Ready`] if the ring has such a record, [`Wake::TimedOut`] if `timeout` is over, and
    /// [`Wake::Stopped`] if a [`Stopper`] was used. `timeout` is rounded up to milliseconds. `None` waits forever, and
    /// zero does not sleep. A signal alone does not end the wait.
    ///
    /// The *head* is the oldest unread record. If the head is committed or discarded, this method returns at once. It
    /// then makes no system call, except that every 64th such wait reads the stopper's pipe, if there is a stopper. If
    /// the head is reserved, this method checks it up to 128 times, and then sleeps. The commit of the head normally
    /// sends a wake-up. With `BPF_RB_NO_WAKEUP` it sends none. So this method checks a reserved head again after
    /// sleeps of 1, 2, 4, 8 and then 16 milliseconds each.
    ///
    /// A commit or discard with `BPF_RB_NO_WAKEUP` does not wake the consumer. Later records without a flag do not wake
    /// it either, because `consumer_pos` is not the position of these records. So an empty ring is polled every 90
    /// milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)), or at the interval of
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval). On a machine that is not overloaded, a committed head
    /// is found within 100 ms, whatever flags the program uses. After a poll that finds a record without a wake-up,
    /// later waits poll at a shorter interval, down to one millisecond. A poll that finds no record does not end the
    /// wait.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll cannot be set up or waited for, or if the stopper's pipe cannot be read.
    /// [`Error::Corrupt`] if the ring is corrupt.
    #[doc(alias = "ring_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.endpoint, timeout)
    }

    /// Sets how long [`wait`](Self::wait) and [`run`](Self::run) sleep at most before they poll the ring. The time is
    /// rounded up to milliseconds, and is 1 millisecond or more. The default is
    /// [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL).
    ///
    /// `None` turns polling off: an idle reader then does not wake up 11 times a second. But a record that was sent
    /// with `BPF_RB_NO_WAKEUP`, and every later record without a flag, stays unread until a timeout or a forced
    /// wake-up. Use `None` only for programs that are known not to use this flag.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// Returns a handle that ends [`wait`](Self::wait) and [`run`](Self::run). Another thread calls
    /// [`Stopper::stop`]. A signal handler instead writes a byte to the handle's fd by write(2), which is
    /// async-signal-safe. All handles of one ring are equivalent.
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

    /// Prepares for a sleep that the caller does by other means (epoll, mio, an async runtime). Publishes the consumer
    /// position, executes a full fence, and returns the state of the oldest unread record.
    ///
    /// If this returns [`Head::Ready`], do not sleep: read the ring. If it returns [`Head::Empty`] or [`Head::Busy`],
    /// sleep on the ring's fd ([`AsFd`]): the commit of the next record to read sends a wake-up. Edge-triggered epoll
    /// (`EPOLLET`, see epoll(7)) returns only for a wake-up. Level-triggered epoll returns as long as the ring has
    /// unread bytes. So with a busy record, a level-triggered sleep ends at once.
    ///
    /// A record that is sent with `BPF_RB_NO_WAKEUP` ends neither kind of sleep. If a wait reported the ring,
    /// level-triggered epoll checks for records at the beginning of the next wait. Otherwise it checks only after a
    /// wake-up. So sleep for at most [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms) at a time. Then read the
    /// ring, even if its fd was not reported. The limit is not needed if the program is known not to use this flag.
    ///
    /// # Errors
    /// [`Error::Corrupt`], as [`batch`](Self::batch).
    #[doc(alias = "enable_notification")]
    pub fn prepare_wait(&mut self) -> Result<Head, Error> {
        Ok(self.endpoint.consumer.prepare_wait()?)
    }

    /// Returns the state of the ring's head, which is the oldest unread record.
    ///
    /// # Errors
    /// [`Corrupt`], for the reasons of [`batch`](Self::batch).
    pub fn head(&self) -> Result<Head, Corrupt> {
        self.endpoint.consumer.head()
    }

    /// Returns the positions on the ring's pages.
    #[doc(alias = "ring__consumer_pos")]
    #[doc(alias = "ring__producer_pos")]
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.endpoint.consumer.positions()
    }

    /// Returns the size of the ring's data in bytes: the map's `max_entries`.
    ///
    /// One byte always stays free (`__bpf_ringbuf_reserve` in `kernel/bpf/ringbuf.c`). A record takes a multiple of 8
    /// bytes, so at most `capacity - 8` bytes. Its header takes 8 of them. So the longest payload has `capacity - 16`
    /// bytes.
    #[doc(alias = "ring__size")]
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.endpoint.consumer.memory().size()
    }

    /// Returns the counters of this reader since it was opened.
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

/// The counters of a [`Ring`] since it was opened.
///
/// There is no counter of lost records. If the ring has no room, the reservation fails in the BPF program, and only the
/// program can count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// The number of records skipped because their producer discarded them.
    pub discarded: u64,
    /// The number of times that this reader stored the consumer position.
    pub releases: u64,
    /// The number of times that a wait went to sleep.
    pub sleeps: u64,
    /// The number of times that a wake-up of the ring ended a sleep.
    pub wakeups: u64,
}

/// Returns the map's fd, which is readable while the ring holds unreleased records. Call [`Ring::prepare_wait`] before
/// each sleep on the fd.
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
