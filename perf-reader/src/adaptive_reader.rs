//! The run loop over all CPUs, with silent events.
//!
//! A wake-up costs the program's CPU several microseconds, fifty times the cost of writing the record. The perf event
//! in the map's slot determines how many wake-ups the kernel sends. So the reader has two events for each CPU, which
//! share one ring. The *waking event* sends a wake-up for each record. The *silent event* sends none, and its output is
//! redirected into the ring of the waking event. Programs write through the event that is in the slot. While a CPU is
//! idle, the waking event is in the slot, and each record is delivered at once. While the CPU is busy, the silent event
//! is in the slot, and the reader polls:
//!
//! ```text
//!                    ┌──► waking event: wakeup_events = 1 ───┐
//!  slot of the CPU ──┤                                       ├──► one ring ──► reader
//!                    └──► silent event: wakeup_events = 0 ───┘ SET_OUTPUT
//! ```
//!
//! `wakeup_policy.rs` decides when the reader changes the event in the slot.

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

/// A reader of the buffers of all CPUs, with wake-ups while a CPU is idle and without wake-ups while it is busy. `Send`
/// and `Sync` if `S` is.
///
/// While a CPU is idle, each record is delivered at once. If the options request fewer wake-ups than one for each
/// record, it is delivered within 100 ms ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)).
///
/// A CPU becomes busy when it sends 64 records within a millisecond. The reader then polls it each millisecond, and
/// when half of its ring is full. A CPU becomes idle again after 16 milliseconds in a row with fewer than 16 records in
/// each. This number doubles, up to 256, each time that the CPU becomes busy again within 100 ms. Each CPU has its own
/// state.
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
/// The reader has two perf events and one ring for each CPU. A caller with its own loop calls
/// [`wait`](AdaptiveReader::wait) and [`drain`](AdaptiveReader::drain) in turn, as [`run`](AdaptiveReader::run) does.
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
#[doc(alias = "perf_buffer")]
#[derive(Debug)]
pub struct AdaptiveReader<S> {
    set: PerCpuBuffers,
    slots: S,
    switches: u64,
}

impl<S: EventArray> AdaptiveReader<S> {
    /// Opens a buffer of `bytes` bytes (a power of two and a multiple of the page size) on each CPU that is online.
    /// Puts the buffers' events into their slots. The options' [`wakeup`](Options::wakeup) applies while a CPU is idle.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::open`], and as [`PerCpuBuffers::connect`] if a slot cannot be set. A CPU without a slot in
    /// the map is not an error: see [`PerCpuBuffers::without_slot`].
    #[doc(alias = "perf_buffer__new")]
    pub fn open(bytes: u32, options: &Options, slots: S) -> Result<Self, Error> {
        let mut set = PerCpuBuffers::open_with_silent_events(bytes, options)?;
        set.connect(&slots)?;
        Ok(Self { set, slots, switches: 0 })
    }

    /// Sleeps until it is time to [`drain`](AdaptiveReader::drain), a [`Stopper`] is used, or `timeout` is over. It
    /// returns [`Wake::Ready`] also for a poll of a busy CPU, which may find no record.
    ///
    /// # Errors
    /// As [`PerCpuBuffers::wait`].
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

    /// Returns the time at which a caller that sleeps by other means must [drain](AdaptiveReader::drain), even if no
    /// wake-up comes. Returns `None` while each record of each CPU sends a wake-up. ([`wait`](AdaptiveReader::wait)
    /// polls by itself.)
    pub fn next_poll(&self) -> Option<Instant> {
        self.set.silent_until().into_iter().chain(self.set.next_poll()).min()
    }

    /// Sets how long a wait sleeps at most before it polls idle buffers: see [`PerCpuBuffers::set_idle_poll_interval`].
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.set.set_idle_poll_interval(time);
    }

    /// Calls `each` with every record that is complete now, and with the id of the record's CPU, as
    /// [`PerCpuBuffers::drain`] does. Turns wake-ups off for CPUs that became busy, and on for CPUs that became idle.
    /// Returns the value of `Break`, if `each` returned `Break`.
    ///
    /// # Errors
    /// [`Error::Syscall`] if a slot cannot be set. The next drain begins with the next CPU, and tries to set the slot
    /// again.
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
            // After a switch, drains once more: records that came before the switch, through the silent event, sent no
            // wake-up.
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

    /// Waits, and calls `each` with every record of every CPU, until `each` returns `Break` or a [`Stopper`] is used.
    /// `each` returns `()` or [`ControlFlow`]. After `Break(value)`, this method returns `Some(value)`. After a stop,
    /// it reads all remaining records and returns `None`.
    ///
    /// It also checks once a second for CPU hotplug: see [`refresh`](AdaptiveReader::refresh).
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

    /// Opens the buffers of CPUs that came online, and restores the buffers of CPUs that were offline: see
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

    /// Releases all bytes in the ring of `cpu` unread, to go on after [`Corrupt::Record`] or [`Corrupt::Positions`].
    /// Without this call, every drain of the CPU ends with the same error. Returns the number of released bytes, or
    /// `None` if the CPU has no buffer.
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

    /// Cancels all stops so far. Without this call, every wait after a stop returns
    /// [`Wake::Stopped`].
    ///
    /// # Errors
    /// As [`PerCpuBuffers::resume`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.set.resume()
    }

    /// Returns the number of samples that were lost on all CPUs: see [`PerCpuBuffers::lost`].
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
    /// Returns an fd for the caller's own poll(2) or epoll, as [`PerCpuBuffers`] does. A busy CPU sends no wake-ups, so
    /// sleep at most until [`next_poll`](AdaptiveReader::next_poll), and then drain.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}
