//! Merges the records of all CPUs in order of time.
//!
//! Each CPU writes to its own ring. An event on one CPU and its consequence on another CPU are in two rings. A reader
//! that reads one ring after the other may get the consequence first, for example an exit before its fork. With
//! [`timestamps`](crate::Options::timestamps), each sample carries the time at which it was sent, by a clock that all
//! CPUs share. A merge puts the samples in order. It must handle two problems:
//!
//! ```text
//!  CPU 0   ──10──14──────20──│            merged up to the horizon: 10 11 12 14 16
//!  CPU 1   ────11──16────────│─(19)       sent at 19, but not yet visible at the time of the poll: if the merge had
//!  CPU 2   ──12──────────21──│            returned 20 already, 19 would come too late
//!                        ▲   └ now
//!                     horizon = now - delay
//! ```
//!
//! - A sample gets its time before it becomes visible. So the merge holds back all samples younger than
//!   [`delay`](Merge::delay). A sample that was being written during the poll normally becomes visible within the
//!   delay. The helper takes microseconds, or longer if a hypervisor or an interrupt delays it.
//! - Samples that are held back need room. They stay in the rings, so the merge needs no memory of its own. But when a
//!   ring is half full, avoiding losses is more important than order, and the horizon moves to now.
//!
//! A sample that still comes too late is returned at once, marked and counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use cutaway_sys::IntoControlFlow;

use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::per_cpu_buffers::PerCpuBuffers;
use crate::reader::Batch;
use crate::record::{Checkpoint, Record, Records};
use crate::sample::Sample;

/// Merges the samples of all CPUs of a [`PerCpuBuffers`] into one stream, in order of time.
///
/// - **Delay.** The first [`drain`](Merge::drain) that begins more than [`delay`](Merge::delay) after a sample was sent
///   returns the sample. If a ring is half full, an earlier drain returns it.
/// - **Memory.** The merge uses no memory except the rings.
/// - **Order.** Samples are in order of time, except for those that [`late`](Merge::late) counts. The samples of one
///   CPU are always in the order of writing.
///
/// ```no_run
/// use std::time::Duration;
/// use perf_reader::{Merge, Options, PerCpuBuffers, Wake};
///
/// let mut set = PerCpuBuffers::open(256 * 1024, &Options::new().timestamps(true))?;
/// let mut merge = Merge::new(Duration::from_millis(5));
/// loop {
///     // A sample that was held back sends no second wake-up: wait no longer than the delay.
///     let stopped = set.wait(Some(merge.delay()))? == Wake::Stopped;
///     merge.drain(&mut set, |event| println!("{} ns, CPU {}", event.time, event.cpu))?;
///     if stopped {
///         merge.finish(&mut set, |event| println!("{} ns, CPU {}", event.time, event.cpu))?;
///         break;
///     }
/// }
/// println!("{} came too late to be in order", merge.late());
/// # Ok::<(), perf_reader::Error>(())
/// ```
#[doc(alias = "ordered_events")]
#[derive(Debug)]
pub struct Merge {
    delay: Duration,
    /// The time of the last sample that was returned.
    newest: u64,
    late: u64,
    /// The error of a drain that ended early. The next drain returns it.
    corrupt: Option<Error>,
}

/// A sample with its time and CPU.
#[derive(Clone, Copy, Debug)]
pub struct TimedSample<'d> {
    /// The time at which the sample was sent, in nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// The CPU that sent it.
    pub cpu: u32,
    /// The sample.
    pub sample: Sample<'d>,
    /// Whether the merge has already returned a sample that was sent later.
    pub late: bool,
}

/// The records of one CPU in a merge.
struct Lane<'d> {
    cpu: u32,
    records: Records<'d>,
    /// The next sample.
    next: Option<Sample<'d>>,
    /// The state of the iterator before this sample.
    before: Checkpoint<'d>,
}

impl Merge {
    /// Creates a merge that holds samples back for `delay` after they were sent. A few milliseconds are enough on an
    /// idle machine. In a virtual machine, use the longest time for which the hypervisor may stop a CPU.
    pub fn new(delay: Duration) -> Self {
        Self { delay, newest: 0, late: 0, corrupt: None }
    }

    /// Returns how long samples are held back.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns the number of samples that the merge returned after a sample that was sent later.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Calls `each`, in order of time, with all samples that were sent [`delay`](Merge::delay) ago or earlier. Younger
    /// samples stay in the rings. The buffers count the LOST records ([`PerCpuBuffers::lost`]).
    ///
    /// `each` returns `()` or [`ControlFlow`]. If it returns `Break(value)`, the drain ends and returns `Some(value)`.
    /// The other samples stay in the rings.
    ///
    /// # Errors
    /// - [`Error::Corrupt`] for the first corrupt ring, after the others were read. After `Break`, the next drain
    ///   returns this error.
    /// - [`Error::Syscall`] if the set was opened without [`timestamps`](crate::Options::timestamps).
    pub fn drain<R: IntoControlFlow>(
        &mut self,
        set: &mut PerCpuBuffers,
        each: impl FnMut(TimedSample<'_>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        let now = cutaway_sys::clock::monotonic_ns();
        let pressed = set.iter().any(|buffer| buffer.reader().fill() > buffer.reader().capacity() as u64 / 2);
        let delay = if pressed { 0 } else { u64::try_from(self.delay.as_nanos()).unwrap_or(u64::MAX) };
        self.up_to(set, now.saturating_sub(delay), each)
    }

    /// Calls `each` with all remaining samples, including those that were held back. Use it when no more samples will
    /// come.
    ///
    /// # Errors
    /// As [`drain`](Merge::drain).
    pub fn finish<R: IntoControlFlow>(
        &mut self,
        set: &mut PerCpuBuffers,
        each: impl FnMut(TimedSample<'_>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        self.up_to(set, u64::MAX, each)
    }

    fn up_to<R: IntoControlFlow>(
        &mut self,
        set: &mut PerCpuBuffers,
        horizon: u64,
        mut each: impl FnMut(TimedSample<'_>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        if !set.options().timestamps {
            let error = std::io::Error::from_raw_os_error(libc::EINVAL);
            return Err(Error::system("merge a set that was opened without timestamps", &error));
        }
        let corrupt = &mut self.corrupt;
        let mut note = |cpu, found: Corrupt| {
            corrupt.get_or_insert(Error::Corrupt { cpu, corrupt: found });
        };
        // All heads are loaded before any sample is returned.
        let mut batches = Vec::new();
        // The order of the buffers does not matter, because samples are returned by time.
        let _ = set.begin_drain();
        for buffer in set.buffers_mut() {
            let cpu = buffer.cpu();
            match buffer.batch() {
                Ok(batch) => batches.push((cpu, batch)),
                Err(found) => note(cpu, found),
            }
        }
        let mut lanes: Vec<Lane<'_>> = batches.iter().map(|(cpu, batch)| Lane::new(*cpu, batch)).collect();
        // The next time of each lane, the earliest on top.
        let mut heads = BinaryHeap::with_capacity(lanes.len());
        for (index, lane) in lanes.iter_mut().enumerate() {
            heads.extend(lane.advance(horizon, &mut note).map(|time| Reverse((time, index))));
        }
        let mut ended = None;
        while let Some(Reverse((time, index))) = heads.pop() {
            let Some(lane) = lanes.get_mut(index) else { break };
            let Some(sample) = lane.next.take() else { break };
            let late = time < self.newest;
            self.late = self.late.wrapping_add(u64::from(late));
            self.newest = self.newest.max(time);
            if let ControlFlow::Break(value) =
                each(TimedSample { time, cpu: lane.cpu, sample, late }).into_control_flow()
            {
                ended = Some(value);
                break;
            }
            heads.extend(lane.advance(horizon, &mut note).map(|time| Reverse((time, index))));
        }
        drop(lanes);
        drop(batches);
        if ended.is_some() {
            // This drain must return the value of `Break`, so it cannot return the error. The next drain finds an
            // unreadable ring again, but not a record with corrupt content. So only the latter error is kept.
            self.corrupt.take_if(|found| !matches!(found, Error::Corrupt { corrupt: Corrupt::Content { .. }, .. }));
            return Ok(ended);
        }
        set.finished();
        self.corrupt.take().map_or(Ok(None), Err)
    }
}

impl<'d> Lane<'d> {
    fn new(cpu: u32, batch: &'d Batch<'_, Mapping>) -> Self {
        let records = batch.records();
        Self { cpu, before: records.checkpoint(), records, next: None }
    }

    /// Moves to the next sample that was sent at `horizon` or before. Returns the sample's time.
    fn advance(&mut self, horizon: u64, note: &mut impl FnMut(u32, Corrupt)) -> Option<u64> {
        loop {
            let here = self.records.checkpoint();
            match self.records.next()? {
                Ok(Record::Sample(sample)) => {
                    let time = sample.time()?;
                    if time > horizon {
                        self.records.back_to(here);
                        return None;
                    }
                    (self.next, self.before) = (Some(sample), here);
                    return Some(time);
                }
                Ok(Record::Lost(_)) => {}
                Err(corrupt) => note(self.cpu, corrupt),
            }
        }
    }
}

/// After an early end, or a panic, a sample that was not returned stays in its ring.
impl Drop for Lane<'_> {
    fn drop(&mut self) {
        if self.next.is_some() {
            self.records.back_to(self.before);
        }
    }
}
