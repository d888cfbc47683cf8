//! The run loop, with trailing release.
//!
//! The kernel wakes a consumer only if the record just committed is exactly at the consumer position
//! (`bpf_ringbuf_commit` in `kernel/bpf/ringbuf.c`). A fast consumer has always read everything, so its position is
//! always there. Nearly every record then sends a wake-up, which costs the producer far more than the record itself.
//!
//! So while records arrive densely, this loop publishes the *start of the last record it has read* instead of its end:
//!
//! ```text
//!   consumer_pos, plain     ................................v
//!   consumer_pos, trailing  .......................v........
//!                           | read | read | ... | last read | next one
//! ```
//!
//! The next record is committed one record further, so the kernel sends no wake-up. All records but one are free for
//! the producer again. That one is kept back only if it takes at most 1/32 of the ring. There must also be room beside
//! it for a record as large as the largest that ended a batch so far. Meanwhile the loop lingers: it sleeps on a timer
//! for a short time and polls. After a few polls without a record, it stores its true position and sleeps until a
//! wake-up, in the order that [`Ring::prepare_wait`] explains. It never lingers for a stream whose events come one by
//! one, nor for one whose records are too large to be kept back. Their records are delivered as fast as by waiting
//! alone.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use cutaway_sys::IntoControlFlow;

use crate::batch::Batch;
use crate::consumer::{Consumer, Head};
use crate::error::Error;
use crate::memory::Consume;
use crate::publish::KEPT_BACK;
use crate::ring::Ring;
use crate::wait::Wake;

/// The policy of [`Ring::run`] for a dense stream.
#[doc(alias("BPF_RB_NO_WAKEUP", "BPF_RB_FORCE_WAKEUP"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct WakeupPolicy {
    trailing: bool,
    poll_interval: Duration,
    idle_polls: u32,
}

impl Default for WakeupPolicy {
    /// Returns a policy with trailing release, a poll interval of 50 µs, and 2 idle polls.
    fn default() -> Self {
        Self { trailing: true, poll_interval: Duration::from_micros(50), idle_polls: 2 }
    }
}

impl WakeupPolicy {
    /// Returns a policy without trailing release: the published position is always the true one, and the producer sends
    /// a wake-up whenever the reader has caught up with it.
    pub fn immediate() -> Self {
        Self { trailing: false, ..Self::default() }
    }

    /// Sets how long the reader sleeps between two polls while it lingers. A record of a dense stream waits at most
    /// that long, plus the slack of the kernel's timers: 50 microseconds for an ordinary thread (`PR_SET_TIMERSLACK`).
    /// The ring must hold the records that arrive during that time.
    pub fn poll_interval(self, poll_interval: Duration) -> Self {
        Self { poll_interval, ..self }
    }

    /// Sets the number of polls in a row without a record before the reader sleeps until the kernel sends a wake-up.
    pub fn idle_polls(self, idle_polls: u32) -> Self {
        Self { idle_polls, ..self }
    }
}

/// Ends trailing release and publishes the true position when dropped, however a run ends.
struct Trailing<'r, M: Consume>(&'r mut Ring<M>);

impl<M: Consume> Drop for Trailing<'_, M> {
    fn drop(&mut self) {
        self.0.consumer_mut().end_trailing();
    }
}

impl<M: Consume> Ring<M> {
    /// Calls `each` with every batch, and sleeps between batches, until `each` breaks or a [`Stopper`](crate::Stopper)
    /// is used. Returns the value that `each` broke with, or `None` if stopped.
    ///
    /// ```
    /// # use mmap_ring::fake::{Commit, Kernel};
    /// # let (kernel, mut ring) = Kernel::new(4096)?;
    /// # kernel.output(b"1", Commit::default());
    /// # kernel.output(b"last", Commit::default());
    /// use std::ops::ControlFlow;
    /// use mmap_ring::WakeupPolicy;
    ///
    /// let mut count = 0;
    /// let last = ring.run(WakeupPolicy::default(), |batch| {
    ///     for record in batch {
    ///         count += 1;
    ///         if record == b"last" {
    ///             return ControlFlow::Break(count);
    ///         }
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(last, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Records that `each` leaves in a batch are in the next batch, at once. If the process is killed while this
    /// trails, the last record it read stays in the ring, and the next reader reads it again.
    ///
    /// # Errors
    /// As [`wait`](Ring::wait) and [`batch`](Ring::batch). The true position is published even then.
    #[doc(alias = "ring_buffer__poll")]
    pub fn run<R: IntoControlFlow>(
        &mut self,
        policy: WakeupPolicy,
        mut each: impl FnMut(&mut Batch<'_, M>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        let keep = if policy.trailing { self.capacity() / KEPT_BACK } else { 0 };
        self.consumer_mut().keep_back(keep);
        let run = Trailing(self);
        let ring = &mut *run.0;
        // How many more polls without a record before sleeping.
        let mut rounds = 0;
        loop {
            if ring.waiter_mut().is_stopped_meanwhile()? {
                return Ok(None);
            }
            if ring.consumer_mut().head()? == Head::Ready {
                let before = ring.consumer_mut().state().read;
                let mut batch = ring.batch()?;
                let flow = each(&mut batch).into_control_flow();
                drop(batch);
                if let ControlFlow::Break(value) = flow {
                    return Ok(Some(value));
                }
                rounds = if is_dense(ring.consumer_mut(), before) { policy.idle_polls } else { 0 };
            } else if rounds > 0 {
                rounds -= 1;
                thread::sleep(policy.poll_interval);
            } else if ring.wait(None)? == Wake::Stopped {
                return Ok(None);
            }
        }
    }
}

/// Returns whether more than one record was passed since `before` and the last one is kept back. If it is not kept
/// back, the next record sends a wake-up, and there is no reason to linger.
fn is_dense<M: Consume>(consumer: &Consumer<M>, before: u64) -> bool {
    let state = consumer.state();
    consumer.is_trailing() && state.read != before && state.last != before
}
