//! Waits for several rings at once.

use std::time::Duration;

use crate::consumer::Head;
use crate::error::{Corrupt, Error};
use crate::memory::Consume;
use crate::memory::mapped::Mapped;
use crate::ring::Ring;
use crate::wait::{Stopper, WaitSource, Waiter, Wake};
use cutaway_sys::IntoControlFlow;
use cutaway_sys::epoll::Epoll;

/// Several rings in one wait. `Send`, not `Sync`.
///
/// ```
/// # use mmap_ring::fake::{Commit, Kernel};
/// # let (first, ring_of_first) = Kernel::new(4096)?;
/// # let (second, ring_of_second) = Kernel::new(4096)?;
/// use mmap_ring::{RingSet, Wake};
///
/// let mut set = RingSet::new();
/// set.push(ring_of_first);
/// set.push(ring_of_second);
/// second.output(b"here", Commit::default());
/// if set.wait(None)? == Wake::Ready {
///     for (index, ring) in set.ready() {
///         assert_eq!(index, 1);
///         assert_eq!(ring.batch()?.records().next(), Some(b"here".as_slice()));
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "ring_buffer")]
#[derive(Debug)]
pub struct RingSet<M: Consume = Mapped> {
    rings: Rings<M>,
    waiter: Waiter,
    /// The index of the ring with which the next drain begins. After `Break`, it is the ring after the one that was
    /// drained last.
    first: usize,
}

#[derive(Debug)]
struct Rings<M: Consume>(Vec<Ring<M>>);

impl<M: Consume> WaitSource for Rings<M> {
    fn head(&self) -> Result<Head, Corrupt> {
        let mut most = Head::Empty;
        for ring in &self.0 {
            most = most.max(ring.head()?);
        }
        Ok(most)
    }

    fn prepare_wait(&mut self) -> Result<Head, Corrupt> {
        let mut most = Head::Empty;
        for ring in &mut self.0 {
            most = most.max(ring.consumer_mut().prepare_wait()?);
        }
        Ok(most)
    }

    fn watch(&self, epoll: &Epoll) -> Result<(), Error> {
        self.0.iter().try_for_each(|ring| ring.watch(epoll))
    }
}

impl<M: Consume> Default for RingSet<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Consume> RingSet<M> {
    /// Creates a set without rings.
    #[must_use]
    pub fn new() -> Self {
        Self { rings: Rings(Vec::new()), waiter: Waiter::default(), first: 0 }
    }

    /// Adds a ring and returns its index: 0, 1, 2 and so on.
    #[doc(alias = "ring_buffer__add")]
    pub fn push(&mut self, ring: Ring<M>) -> usize {
        self.rings.0.push(ring);
        self.waiter.forget();
        self.rings.0.len() - 1
    }

    /// Removes the ring of this index and returns it. Returns `None` if there is no such ring. The indices of later
    /// rings decrease by one. A corrupt ring must be removed: until then every wait returns its error.
    pub fn remove(&mut self, index: usize) -> Option<Ring<M>> {
        if index >= self.rings.0.len() {
            return None;
        }
        self.waiter.forget();
        Some(self.rings.0.remove(index))
    }

    /// Sleeps until one of the rings has a record to read or skip: see [`Ring::wait`]. An uncommitted record in one
    /// ring does not delay the records of other rings. To find records without a wake-up, all rings are polled every
    /// [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms), or at the interval of
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval) of this set.
    ///
    /// # Errors
    /// As [`Ring::wait`], for any of the rings. The other rings can still be read, and [`remove`](Self::remove) removes
    /// a corrupt ring.
    #[doc(alias = "ring_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.rings, timeout)
    }

    /// Returns the rings that have a record to read or skip, with their indices. Corrupt rings are included, and their
    /// [`Ring::batch`] returns the error. This method reads the state of all rings again, without a system call.
    pub fn ready(&mut self) -> impl Iterator<Item = (usize, &mut Ring<M>)> {
        let rings = self.rings.0.iter_mut().enumerate();
        rings.filter(|(_, ring)| !matches!(ring.head(), Ok(Head::Empty | Head::Busy)))
    }

    /// Drains one ring after another: calls `each` with every record of a ring's [`batch`](Ring::batch) and the ring's
    /// index. See [`Ring::drain`]. Makes no system call.
    ///
    /// If `each` returns `Break` for a record, the next drain begins with the ring after that record's ring. So a ring
    /// that always has records does not delay the other rings.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for the first corrupt ring, after the other rings were read. [`remove`](Self::remove) removes
    /// the corrupt ring.
    #[doc(alias = "ring_buffer__consume")]
    pub fn drain<R: IntoControlFlow>(
        &mut self,
        mut each: impl FnMut(usize, &[u8]) -> R,
    ) -> Result<Option<R::Break>, Error> {
        let mut corrupt = None;
        let all = self.rings.0.len();
        let first = std::mem::take(&mut self.first).min(all);
        for index in (first..all).chain(0..first) {
            let Some(ring) = self.rings.0.get_mut(index) else { break };
            match ring.drain(|record| each(index, record)) {
                Ok(None) => {}
                Ok(ended) => {
                    self.first = index.saturating_add(1);
                    return Ok(ended);
                }
                Err(error) => {
                    corrupt.get_or_insert(error);
                }
            }
        }
        corrupt.map_or(Ok(None), Err)
    }

    /// Returns the rings, by index.
    #[must_use]
    pub fn rings(&self) -> &[Ring<M>] {
        &self.rings.0
    }

    /// Returns the rings, by index, to read from. Do not replace a ring (by [`std::mem::swap`]): the set would not
    /// receive the wake-ups of the new ring. Use [`remove`](Self::remove) and [`push`](Self::push).
    #[must_use]
    pub fn rings_mut(&mut self) -> &mut [Ring<M>] {
        &mut self.rings.0
    }

    /// Sets how long [`wait`](Self::wait) sleeps at most before it polls all rings: see
    /// [`Ring::set_idle_poll_interval`]. The intervals of the rings themselves have no effect in a set.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.waiter.set_idle_poll_interval(time);
    }

    /// Returns a handle that ends [`wait`](Self::wait) from another thread or from a signal handler: see
    /// [`Ring::stopper`].
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
}
