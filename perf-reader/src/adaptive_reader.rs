//! The run loop: all CPUs, with silent events.
//!
//! A wake-up costs the program's CPU several microseconds, fifty times what writing the record does, and the kernel
//! sends as many as the event in the map's slot asks for. A consumer cannot tell it to hold them. But it can own two
//! events a CPU that share one ring, one that wakes for each record and one that never does (its output is redirected
//! into the ring of the first), and decide by the slot through which of them programs write. So an idle stream is
//! delivered at once, and a busy one pays for no wake-ups:
//!
//! ```text
//!                    ┌──► waking event: wakeup_events = 1 ───┐
//!  slot of the CPU ──┤                                       ├──► one ring ──► reader
//!                    └──► silent event: wakeup_events = 0 ───┘ SET_OUTPUT
//! ```
//!
//! When the reader changes from one to the other is decided in `wakeup_policy.rs`.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cutaway_sys::IntoControlFlow;

use crate::buffer::Lost;
use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::event_array::EventArray;
use crate::options::Options;
use crate::per_cpu_buffers::PerCpuBuffers;
use crate::per_cpu_buffers::changes::HotplugChanges;
use crate::record::Record;
use crate::wait::{Stopper, Wake};

/// How often [`AdaptiveReader::run`] looks for CPUs that came or went.
const REFRESH: Duration = Duration::from_secs(1);

/// All CPUs' buffers in their slots, read with wake-ups while they are idle and without while they are busy.
///
/// Delivery of single records is immediate, or within 100 ms if the options ask for fewer wake-ups than one for each
/// record ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)). A CPU that sends more than 64 within a millisecond is
/// looked at each millisecond instead, and when half of its ring is full, until it has sent fewer than 16 in each of 16
/// of them (up to 256, if it keeps coming back within 100 ms). Each CPU is judged by itself.
///
/// ```no_run
/// # fn slots(cpu: u32, event: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> { Ok(()) }
/// use perf_reader::{Options, Record, AdaptiveReader};
///
/// let mut stream = AdaptiveReader::open(256 * 1024, &Options::new(), slots)?;
/// let stopper = stream.stopper()?; // for another thread, or a signal handler
/// stream.run(|cpu, record| match record {
///     Ok(Record::Sample(sample)) => println!("CPU {cpu}: {:?}", sample.payload(8)),
///     Ok(_) => {}
///     Err(corrupt) => eprintln!("CPU {cpu}: {corrupt}"),
/// })?;
/// println!("lost: {}", stream.lost()?.samples);
/// # Ok::<(), perf_reader::Error>(())
/// ```
///
/// Costs two events a CPU, one ring each; half of [`run`](AdaptiveReader::run) is [`wait`](AdaptiveReader::wait), the
/// other [`drain`](AdaptiveReader::drain), for those who have a loop of their own.
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
#[doc(alias = "perf_buffer")]
#[derive(Debug)]
pub struct AdaptiveReader<S> {
    set: PerCpuBuffers,
    slots: S,
    switches: u64,
}

impl<S: EventArray> AdaptiveReader<S> {
    /// Opens a buffer of `bytes` bytes (a power of two and a multiple of the page size) on each CPU that is online, and
    /// puts it into its slot. The options' [`wakeup`](Options::wakeup) is taken for idle times.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::open`]; as [`PerCpuBuffers::connect`] if a slot cannot be set. CPUs that the map has no slot
    /// for are no error: see [`PerCpuBuffers::without_slot`].
    #[doc(alias = "perf_buffer__new")]
    pub fn open(bytes: u32, options: &Options, slots: S) -> Result<Self, Error> {
        let mut set = PerCpuBuffers::open_with_silent_events(bytes, options)?;
        set.connect(&slots)?;
        Ok(Self { set, slots, switches: 0 })
    }

    /// Sleeps until it is time to [`drain`](AdaptiveReader::drain) ([`Wake::Ready`], although there may be nothing), a
    /// [`Stopper`] is used, or `timeout` is over.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll_wait(2) fails.
    #[doc(alias = "perf_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        let Some(next_poll) = self.set.silent_until() else {
            return self.set.wait(timeout);
        };
        let look_in = next_poll.saturating_duration_since(Instant::now());
        match timeout {
            Some(timeout) if timeout < look_in => self.set.wait(Some(timeout)),
            _ => Ok(match self.set.wait(Some(look_in))? {
                Wake::TimedOut => Wake::Ready,
                wake => wake,
            }),
        }
    }

    /// Returns when to [drain](AdaptiveReader::drain) next even without a wake-up; `None` while each record of each CPU
    /// sends one. [`wait`](AdaptiveReader::wait) knows it by itself: this is for those who sleep elsewhere.
    pub fn next_poll(&self) -> Option<Instant> {
        self.set.silent_until().into_iter().chain(self.set.next_poll()).min()
    }

    /// Sets how long a wait sleeps at most before it looks at idle buffers by itself: see
    /// [`PerCpuBuffers::set_idle_poll_interval`].
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.set.set_idle_poll_interval(time);
    }

    /// Calls `each` with every record that is there now and its CPU's id, as [`PerCpuBuffers::drain`] does; then turns
    /// wake-ups off or on where that is due. Returns what `each` broke with, if it did.
    ///
    /// # Errors
    /// [`Error::Syscall`] if a slot cannot be set; it is tried again the next time. The next drain begins with the CPU
    /// behind it.
    #[doc(alias = "perf_buffer__consume")]
    #[inline]
    pub fn drain<R: IntoControlFlow>(
        &mut self,
        mut each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        let now = Instant::now();
        for index in self.set.begin_drain() {
            let Some(buffer) = self.set.at(index) else { break };
            let cpu = buffer.cpu();
            // After a switch once more: what came in between, through the silent event, sent no wake-up.
            loop {
                let (slot_is_due, flow) =
                    buffer.drain_and_adapt(|cpu, record| each(cpu, record).into_control_flow(), now);
                if let ControlFlow::Break(value) = flow {
                    // The slot stays due: the next drain writes it.
                    self.set.broke_at(index);
                    return Ok(Some(value));
                }
                if !slot_is_due {
                    break;
                }
                match buffer.has_lost_its_slot(&self.slots) {
                    Ok(false) => {}
                    Ok(true) => {
                        buffer.is_in_slot();
                        break;
                    }
                    Err(error) => {
                        self.set.broke_at(index);
                        return Err(error);
                    }
                }
                if let Err(error) = self.slots.set(cpu, buffer.in_slot()) {
                    self.set.broke_at(index);
                    return Err(Error::slot(cpu, &error));
                }
                buffer.is_in_slot();
                self.switches = self.switches.wrapping_add(1);
            }
        }
        self.set.finished();
        Ok(None)
    }

    /// Calls `each` with every record of every CPU as it comes, until it breaks or a [`Stopper`] is used. Returns what
    /// it broke with, or `None` when stopped, after all that was left was read.
    ///
    /// `each` returns nothing, or [`ControlFlow`]. Looks once a second for CPUs that came or went: see
    /// [`refresh`](AdaptiveReader::refresh).
    ///
    /// # Errors
    /// As [`wait`](AdaptiveReader::wait), [`drain`](AdaptiveReader::drain) and [`refresh`](AdaptiveReader::refresh).
    pub fn run<R: IntoControlFlow>(
        &mut self,
        mut each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> R,
    ) -> Result<Option<R::Break>, Error> {
        let mut refreshed = Instant::now();
        loop {
            let wake = self.wait(Some(REFRESH))?;
            let ended = self.drain(&mut each)?;
            if ended.is_some() || wake == Wake::Stopped {
                return Ok(ended);
            }
            if refreshed.elapsed() >= REFRESH {
                self.refresh()?;
                refreshed = Instant::now();
            }
        }
    }

    /// Opens the buffers of CPUs that came online, and brings back those of CPUs that were away: see
    /// [`PerCpuBuffers::refresh`].
    ///
    /// # Errors
    /// As [`PerCpuBuffers::refresh`].
    pub fn refresh(&mut self) -> Result<HotplugChanges, Error> {
        self.set.refresh(&self.slots)
    }

    /// Returns the changes that refreshes found which failed: see [`PerCpuBuffers::take_changes`].
    pub fn take_changes(&mut self) -> HotplugChanges {
        self.set.take_changes()
    }

    /// Gives up all that is in the ring of `cpu`, unread, and answers how many bytes that were; `None` if there is no
    /// buffer of that CPU. The way on after [`Corrupt::Record`] and [`Corrupt::Positions`], with which every drain of
    /// that CPU ends otherwise.
    pub fn skip_to_head(&mut self, cpu: u32) -> Option<u64> {
        Some(self.set.get_mut(cpu)?.reader_mut().skip_to_head())
    }

    /// Returns a handle that ends [`wait`](AdaptiveReader::wait) and [`run`](AdaptiveReader::run) from another thread
    /// or from a signal handler. All handles of one reader are the same.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::stopper`].
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.set.stopper()
    }

    /// Waits again after a stop.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::resume`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.set.resume()
    }

    /// How many samples were lost on all CPUs: see [`PerCpuBuffers::lost`].
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        self.set.lost()
    }

    /// The buffers behind it.
    pub fn set(&self) -> &PerCpuBuffers {
        &self.set
    }

    /// How often wake-ups were turned off or on so far.
    pub fn switches(&self) -> u64 {
        self.switches
    }
}

impl<S> AsFd for AdaptiveReader<S> {
    /// As that of [`PerCpuBuffers`]; but a busy stream has to be looked at without being told: use
    /// [`wait`](AdaptiveReader::wait), or poll no longer than until [`next_poll`](AdaptiveReader::next_poll).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}
