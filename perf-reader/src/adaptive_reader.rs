//! The run loop over all CPUs, with silent events.
//!
//! A wake-up costs the program's CPU several microseconds, fifty times the cost of writing the record. The event in the
//! map's slot determines how many the kernel sends, and a consumer cannot hold them back. But a consumer can own two
//! events per CPU that share one ring. One wakes for each record; the other never does, and its output is redirected
//! into the ring of the first. The event in the slot is the one that programs write through. So an idle stream is
//! delivered at once, and a busy one pays for no wake-ups:
//!
//! ```text
//!                    ┌──► waking event: wakeup_events = 1 ───┐
//!  slot of the CPU ──┤                                       ├──► one ring ──► reader
//!                    └──► silent event: wakeup_events = 0 ───┘ SET_OUTPUT
//! ```
//!
//! `wakeup_policy.rs` decides when the reader changes from one to the other.

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

/// The interval at which [`AdaptiveReader::run`] checks for CPU hotplug.
const REFRESH: Duration = Duration::from_secs(1);

/// The buffers of all CPUs in their slots, read with wake-ups while they are idle and without while they are busy.
/// `Send` and `Sync` if `S` is.
///
/// Single records are delivered at once, or within 100 ms if the options request fewer wake-ups than one for each
/// record ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)). A CPU that sends 64 records within a millisecond is
/// polled each millisecond instead, and when half of its ring is full. This ends when it has sent fewer than 16 records
/// in each of 16 milliseconds in a row (up to 256, if it keeps getting busy again within 100 ms). Each CPU is treated
/// separately.
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
/// It has two events and one ring for each CPU. Callers with their own loop call [`wait`](AdaptiveReader::wait) and
/// [`drain`](AdaptiveReader::drain), the two halves of [`run`](AdaptiveReader::run).
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
    /// puts it into its slot. The options' [`wakeup`](Options::wakeup) applies while a CPU is idle.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::open`]; as [`PerCpuBuffers::connect`] if a slot cannot be set. CPUs without a slot in the
    /// map are no error: see [`PerCpuBuffers::without_slot`].
    #[doc(alias = "perf_buffer__new")]
    pub fn open(bytes: u32, options: &Options, slots: S) -> Result<Self, Error> {
        let mut set = PerCpuBuffers::open_with_silent_events(bytes, options)?;
        set.connect(&slots)?;
        Ok(Self { set, slots, switches: 0 })
    }

    /// Sleeps until it is time to [`drain`](AdaptiveReader::drain) ([`Wake::Ready`], even if there may be no records),
    /// a [`Stopper`] is used, or `timeout` is over.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll_wait(2) fails.
    #[doc(alias = "perf_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        let Some(next_poll) = self.set.silent_until() else {
            return self.set.wait(timeout);
        };
        let time_to_poll = next_poll.saturating_duration_since(Instant::now());
        match timeout {
            Some(timeout) if timeout < time_to_poll => self.set.wait(Some(timeout)),
            _ => Ok(match self.set.wait(Some(time_to_poll))? {
                Wake::TimedOut => Wake::Ready,
                wake => wake,
            }),
        }
    }

    /// Returns when to [drain](AdaptiveReader::drain) next even without a wake-up; `None` while each record of each CPU
    /// sends one. This is for callers that sleep by other means: [`wait`](AdaptiveReader::wait) polls by itself.
    pub fn next_poll(&self) -> Option<Instant> {
        self.set.silent_until().into_iter().chain(self.set.next_poll()).min()
    }

    /// Sets how long a wait sleeps at most before it polls idle buffers: see [`PerCpuBuffers::set_idle_poll_interval`].
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.set.set_idle_poll_interval(time);
    }

    /// Calls `each` with the CPU's id and every record that is complete now, as [`PerCpuBuffers::drain`] does. Then
    /// turns wake-ups off or on where that is due. Returns the value that `each` broke with, if it did.
    ///
    /// # Errors
    /// [`Error::Syscall`] if a slot cannot be set; the next drain tries again. The next drain begins with the CPU after
    /// that one.
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
            // Drains once more after a switch: records that came in between, through the silent event, sent no wake-up.
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
                        buffer.note_slot_is_set();
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
                buffer.note_slot_is_set();
                self.switches = self.switches.wrapping_add(1);
            }
        }
        self.set.finished();
        Ok(None)
    }

    /// Calls `each` with every record of every CPU as it comes, until `each` breaks or a [`Stopper`] is used. Returns
    /// the value that `each` broke with. If stopped, reads all remaining records and returns `None`.
    ///
    /// `each` returns `()` or [`ControlFlow`]. Checks once a second for CPU hotplug: see
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

    /// Opens the buffers of CPUs that came online, and restores those of CPUs that were offline: see
    /// [`PerCpuBuffers::refresh`].
    ///
    /// # Errors
    /// As [`PerCpuBuffers::refresh`].
    pub fn refresh(&mut self) -> Result<HotplugChanges, Error> {
        self.set.refresh(&self.slots)
    }

    /// Returns the changes that failed refreshes found: see [`PerCpuBuffers::take_changes`].
    pub fn take_changes(&mut self) -> HotplugChanges {
        self.set.take_changes()
    }

    /// Releases all bytes in the ring of `cpu` unread, to go on after [`Corrupt::Record`] and [`Corrupt::Positions`].
    /// Without it, every drain of that CPU ends with the same error. Returns the number of bytes; `None` if there is no
    /// buffer of that CPU.
    pub fn skip_to_head(&mut self, cpu: u32) -> Option<u64> {
        Some(self.set.get_mut(cpu)?.reader_mut().skip_to_head())
    }

    /// Returns a handle that ends [`wait`](AdaptiveReader::wait) and [`run`](AdaptiveReader::run) from another thread
    /// or from a signal handler. All handles of one reader are equivalent.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::stopper`].
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.set.stopper()
    }

    /// Cancels all stops so far, so that the next wait waits again.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::resume`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.set.resume()
    }

    /// Returns the number of samples lost on all CPUs: see [`PerCpuBuffers::lost`].
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        self.set.lost()
    }

    /// Returns the buffers of this reader.
    pub fn set(&self) -> &PerCpuBuffers {
        &self.set
    }

    /// Returns how many times wake-ups were turned off or on so far.
    pub fn switches(&self) -> u64 {
        self.switches
    }
}

impl<S> AsFd for AdaptiveReader<S> {
    /// Returns the fd for the caller's own poll or epoll, as that of [`PerCpuBuffers`]. But a busy stream must be
    /// polled without a wake-up: use [`wait`](AdaptiveReader::wait), or sleep no longer than until
    /// [`next_poll`](AdaptiveReader::next_poll).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}
