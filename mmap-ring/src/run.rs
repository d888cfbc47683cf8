//! The run loop, with trailing release.
//!
//! After a commit, the kernel wakes the consumer only if the record is exactly at the consumer position
//! (`bpf_ringbuf_commit` in `kernel/bpf/ringbuf.c`). A fast consumer has read all earlier records, so the next record
//! is at its position. Nearly every record then sends a wake-up, which costs the producer far more than the record
//! itself.
//!
//! A stream is *dense* while the reader finds more than one record at a time. In a dense stream, this loop publishes
//! the *start* of the last record that it has read, instead of the end:
//!
//! ```text
//!   consumer_pos, plain     ................................v
//!   consumer_pos, trailing  .......................v........
//!                           | read | read | ... | last read | next one
//! ```
//!
//! The next record is not at the published position, so the kernel sends no wake-up for it. All records except the last
//! one are free. The last record is kept back only if it takes at most 1/32 of the ring. The rest of the ring must also
//! have room for the largest record that was the last of a batch so far.
//!
//! While a record is kept back, the loop *lingers*: it sleeps on a timer for a short time and polls. After a few polls
//! without a record, it publishes the end of the last record and sleeps until a wake-up, in the order of
//! [`Ring::prepare_wait`]. If records come one by one, or are too large to be kept back, the loop does not linger. Such
//! records are delivered without any delay from trailing release.

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

/// Whether [`Ring::run`] uses trailing release in a dense stream, and how often it polls then.
///
/// A stream is dense while the reader finds more than one record at a time. See
/// [trailing release](crate#trailing-release).
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
    /// Returns a policy without trailing release. The reader publishes the end of the last record of each batch. So
    /// each record that the reader waits for sends a wake-up.
    pub fn immediate() -> Self {
        Self { trailing: false, ..Self::default() }
    }

    /// Sets how long the reader sleeps between two polls in a dense stream. This time, plus the slack of the kernel's
    /// timers, is the maximum delay of a record. The slack is 50 microseconds for an ordinary thread
    /// (`PR_SET_TIMERSLACK`). The ring must have room for the records that arrive during the delay.
    pub fn poll_interval(self, poll_interval: Duration) -> Self {
        Self { poll_interval, ..self }
    }

    /// Sets the number of polls in a row without a record, after which the reader sleeps until a wake-up.
    pub fn idle_polls(self, idle_polls: u32) -> Self {
        Self { idle_polls, ..self }
    }
}

/// Ends trailing release and publishes the true position when it is dropped, even after an error or a panic.
struct Trailing<'r, M: Consume>(&'r mut Ring<M>);

impl<M: Consume> Drop for Trailing<'_, M> {
    fn drop(&mut self) {
        self.0.consumer_mut().end_trailing();
    }
}

impl<M: Consume> Ring<M> {
    /// Calls `each` with every batch, and sleeps between batches, until `each` returns `Break` or a
    /// [`Stopper`](crate::Stopper) is used. Returns the value of `Break`, or `None` after a stop.
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
    /// If `each` does not read all records of a batch, the other records are in the next batch, which follows at once.
    /// If the process is killed while [trailing release](crate#trailing-release) keeps a record back, the next reader
    /// of the ring reads this record again.
    ///
    /// # Errors
    /// As [`wait`](Ring::wait) and [`batch`](Ring::batch). All records that were read are released even then.
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
        // How many more polls may find no record before the reader sleeps in `wait`.
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

/// Returns whether more than one record was passed since `before` and the last record is kept back. If no record is
/// kept back, the next record sends a wake-up, so the loop need not linger.
fn is_dense<M: Consume>(consumer: &Consumer<M>, before: u64) -> bool {
    let state = consumer.state();
    consumer.is_trailing() && state.read != before && state.last != before
}
