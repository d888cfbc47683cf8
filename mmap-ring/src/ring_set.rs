//! Waits for several rings at once.

use std::time::Duration;

use crate::consumer::Head;
use crate::error::{Corrupt, Error};
use crate::memory::Consume;
use crate::memory::mapped::Mapped;
use crate::ring::Ring;
use crate::wait::{Sleeper, Stopper, Waiter, Wake};
use cutaway_sys::IntoControlFlow;
use cutaway_sys::epoll::Epoll;

/// Several rings that are waited for together. `Send`, not `Sync`.
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
    /// The index of the ring that the next drain begins with: the one after the ring at which the last drain broke.
    first: usize,
}

#[derive(Debug)]
struct Rings<M: Consume>(Vec<Ring<M>>);

impl<M: Consume> Sleeper for Rings<M> {
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

    /// Removes the ring of this index and returns it; `None` if there is none. The indices of later rings decrease by
    /// one. Remove a corrupt ring to go on: until then every wait returns its error.
    pub fn remove(&mut self, index: usize) -> Option<Ring<M>> {
        if index >= self.rings.0.len() {
            return None;
        }
        self.waiter.forget();
        Some(self.rings.0.remove(index))
    }

    /// Sleeps until one of the rings has a record to read or skip: see [`Ring::wait`]. A ring with a busy head does not
    /// keep the others from being waited for. All rings are polled every
    /// [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL) (90 ms), or at the interval of
    /// [`set_idle_poll_interval`](Self::set_idle_poll_interval) of this set, for records that were sent without a
    /// wake-up.
    ///
    /// # Errors
    /// As [`Ring::wait`], for any of the rings. The others can still be read, and [`remove`](Self::remove) removes a
    /// corrupt one.
    #[doc(alias = "ring_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        self.waiter.wait(&mut self.rings, timeout)
    }

    /// Returns the rings that have a record to read or skip, with their indices. A corrupt ring is among them; its
    /// [`Ring::batch`] returns the error. This reads the state of all rings again and makes no system call.
    pub fn ready(&mut self) -> impl Iterator<Item = (usize, &mut Ring<M>)> {
        let rings = self.rings.0.iter_mut().enumerate();
        rings.filter(|(_, ring)| !matches!(ring.head(), Ok(Head::Empty | Head::Busy)))
    }

    /// Calls `each` with every record that is committed now and the index of its ring, one ring after another: see
    /// [`Ring::drain`]. Makes no system call.
    ///
    /// If `each` breaks, the next drain begins with the ring after the one that it broke at. So a ring that always has
    /// records does not keep the others from being read.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for the first corrupt ring, after the others were read; [`remove`](Self::remove) removes it.
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

    /// Returns the rings, by index, to read from. Do not exchange a ring for another one (by [`std::mem::swap`]): the
    /// set would not see its wake-ups. Use [`remove`](Self::remove) and [`push`](Self::push).
    #[must_use]
    pub fn rings_mut(&mut self) -> &mut [Ring<M>] {
        &mut self.rings.0
    }

    /// Sets how long [`wait`](Self::wait) sleeps at most before it polls all rings: see
    /// [`Ring::set_idle_poll_interval`], which has no effect on a ring in a set.
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
}
