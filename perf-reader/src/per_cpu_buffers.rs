//! The buffers of all CPUs, waited for and drained together.

pub(crate) mod changes;
mod connect;
mod hotplug;

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cutaway_sys::IntoControlFlow;

use crate::buffer::{Buffer, Lost, LostSource};
use crate::corrupt::Corrupt;
use crate::cpus::online_cpus;
use crate::error::Error;
use crate::idle_poll::IdlePoll;
use crate::options::Options;
use crate::per_cpu_buffers::changes::HotplugChanges;
use crate::record::Record;
use crate::wait::{Stopper, Waiter, Wake};

/// The buffers of all CPUs that are online, ascending by id. The ids can have gaps. `Send` and `Sync`.
///
/// The caller puts each of them into the `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, with its CPU's id as key: this crate makes no
/// bpf(2) calls.
///
/// ```no_run
/// # fn map_update(key: u32, fd: std::os::fd::BorrowedFd<'_>) {}
/// use std::os::fd::AsFd;
/// use perf_reader::{Options, Record, PerCpuBuffers, Wake};
///
/// let mut set = PerCpuBuffers::open(256 * 1024, &Options::new())?;
/// for buffer in set.iter() {
///     map_update(buffer.cpu(), buffer.as_fd());
/// }
/// while set.wait(None)? != Wake::Stopped {
///     set.drain(|cpu, record| match record {
///         Ok(Record::Sample(sample)) => println!("CPU {cpu}: {:?}", sample.payload(8)),
///         Ok(Record::Lost(samples)) => eprintln!("CPU {cpu}: {samples} samples lost"),
///         Ok(_) => {}
///         Err(corrupt) => eprintln!("CPU {cpu}: {corrupt}"),
///     });
/// }
/// println!("lost: {}", set.lost()?.samples);
/// # Ok::<(), perf_reader::Error>(())
/// ```
#[doc(alias = "BPF_MAP_TYPE_PERF_EVENT_ARRAY")]
#[doc(alias = "perf_buffer")]
#[derive(Debug)]
pub struct PerCpuBuffers {
    /// Ascending by CPU.
    buffers: Vec<Buffer>,
    /// CPUs that have a buffer and were offline at the last refresh.
    away: Vec<u32>,
    /// The changes that failed refreshes have found.
    changes: HotplugChanges,
    waiter: Waiter,
    idle_poll: IdlePoll,
    bytes: u32,
    options: Options,
    /// Whether each buffer has a silent event.
    silent_events: bool,
    /// The CPUs that the caller chose; `None` for all.
    chosen: Option<Vec<u32>>,
    /// CPUs that the map has no slot for. They have no buffer.
    without_slot: Vec<u32>,
    /// A wake-up may have been consumed without all records being read: a drain is running, broke, failed or panicked,
    /// or a stop ended a wait. No other wake-up will report these records.
    unfinished: bool,
    /// The index of the buffer that the next drain begins with: the one after the buffer at which the last drain broke.
    first: usize,
}

impl PerCpuBuffers {
    /// Opens a buffer of `bytes` bytes, a power of two and a multiple of the page size, on each CPU that is online.
    ///
    /// # Errors
    /// As [`Buffer::open`], except that a CPU that goes offline meanwhile is skipped; and [`Error::OnlineCpus`].
    #[doc(alias = "perf_buffer__new")]
    pub fn open(bytes: u32, options: &Options) -> Result<Self, Error> {
        let mut set = Self::empty(bytes, options)?;
        set.add_all(&online_cpus()?)?;
        Ok(set)
    }

    /// Opens a buffer of `bytes` bytes on each of the given CPUs. Offline ones are skipped until
    /// [`refresh`](PerCpuBuffers::refresh) finds them online.
    ///
    /// # Errors
    /// As [`Buffer::open`], except that an offline CPU is not an error ([`Error::Offline`]).
    pub fn open_on(cpus: impl IntoIterator<Item = u32>, bytes: u32, options: &Options) -> Result<Self, Error> {
        let mut set = Self::empty(bytes, options)?;
        let cpus: Vec<u32> = cpus.into_iter().collect();
        set.add_all(&cpus)?;
        set.chosen = Some(cpus);
        Ok(set)
    }

    /// Opens a buffer with a silent event on each CPU that is online.
    pub(crate) fn open_with_silent_events(bytes: u32, options: &Options) -> Result<Self, Error> {
        let mut set = Self::empty(bytes, options)?;
        set.silent_events = true;
        set.add_all(&online_cpus()?)?;
        Ok(set)
    }

    fn empty(bytes: u32, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            buffers: Vec::new(),
            away: Vec::new(),
            changes: HotplugChanges::default(),
            waiter: Waiter::new()?,
            idle_poll: IdlePoll::for_wakeup(options.wakeup),
            bytes,
            options: options.clone(),
            silent_events: false,
            chosen: None,
            without_slot: Vec::new(),
            unfinished: false,
            first: 0,
        })
    }

    fn add_all(&mut self, cpus: &[u32]) -> Result<(), Error> {
        for &cpu in cpus {
            if let Some(buffer) = self.opened(cpu)? {
                self.add(buffer)?;
            }
        }
        Ok(())
    }

    /// Opens a buffer of `cpu`; `None` if it is offline.
    fn opened(&self, cpu: u32) -> Result<Option<Buffer>, Error> {
        let opened = Buffer::open(cpu, self.bytes, &self.options).and_then(|mut buffer| {
            if self.silent_events {
                buffer.open_silent_event(&self.options)?;
            }
            Ok(buffer)
        });
        match opened {
            Ok(buffer) => Ok(Some(buffer)),
            Err(Error::Offline { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds a buffer. It replaces a former one of the same CPU.
    fn add(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.waiter.watch(buffer.cpu(), buffer.as_fd())?;
        // Adding an event to epoll polls it, which consumes the wake-up of earlier records.
        self.unfinished |= buffer.reader().fill() > 0;
        match self.index_of(buffer.cpu()) {
            Ok(at) => {
                if let Some(slot) = self.buffers.get_mut(at) {
                    *slot = buffer;
                }
            }
            Err(at) => self.buffers.insert(at, buffer),
        }
        Ok(())
    }

    /// Returns when a buffer must be polled because its silent event is in the slot.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        self.buffers.iter().filter_map(Buffer::next_poll).min()
    }

    /// Returns when to [drain](PerCpuBuffers::drain) next even without a wake-up; `None` if each record sends one, or
    /// polls are [turned off](PerCpuBuffers::set_idle_poll_interval). The time is in the past if the last drain ended
    /// early and left records. This is for callers that sleep by other means: [`wait`](PerCpuBuffers::wait) polls by
    /// itself.
    ///
    /// A [drain](PerCpuBuffers::drain) postpones the next poll, and so does [`iter_mut`](PerCpuBuffers::iter_mut). A
    /// caller that reads with [`get_mut`](PerCpuBuffers::get_mut) must call [`note_poll`](PerCpuBuffers::note_poll)
    /// when the time is over.
    pub fn next_poll(&self) -> Option<Instant> {
        if self.unfinished && self.has_records() { Some(self.idle_poll.last()) } else { self.idle_poll.at() }
    }

    /// Notes that the caller polls all buffers now. The [next poll](PerCpuBuffers::next_poll) is then due one interval
    /// later, also if the last drain ended early. So the caller must read all buffers to their ends.
    pub fn note_poll(&mut self) {
        self.idle_poll.polled();
        self.unfinished = false;
    }

    /// Returns whether a buffer has records to read.
    fn has_records(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.reader().fill() > 0)
    }

    /// Sets how long [`wait`](PerCpuBuffers::wait) sleeps at most before it polls the buffers: 1 millisecond or more,
    /// rounded up to whole milliseconds. The default is [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or no
    /// polling if each record sends a wake-up ([`Wakeup::Events(1)`](crate::Wakeup::Events)).
    ///
    /// `None` turns polling off, which saves an idle reader its 11 wake-ups a second. Then the last records of a burst
    /// wait until enough records have come for the kernel to send a wake-up. In a buffer that sends no wake-ups they
    /// wait forever: wait with a timeout.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.idle_poll.set(time);
    }

    /// Notes that a drain of all buffers begins. It counts as ended early until [`Self::finished`]. Returns the indices
    /// of the buffers in the order in which to drain them.
    #[inline]
    pub(crate) fn begin_drain(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.idle_poll.polled();
        self.unfinished = true;
        let all = self.buffers.len();
        let first = self.first.min(all);
        (first..all).chain(0..first)
    }

    /// Returns the buffer at an index.
    #[inline]
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut Buffer> {
        self.buffers.get_mut(index)
    }

    /// Notes that the drain broke at the buffer of this index. The next drain begins with the buffer after it, so that
    /// a CPU that is always busy does not keep the others from being read.
    pub(crate) fn broke_at(&mut self, index: usize) {
        self.first = index.saturating_add(1);
    }

    /// Notes that the drain has read all buffers to their ends.
    #[inline]
    pub(crate) fn finished(&mut self) {
        self.unfinished = false;
        self.first = 0;
    }

    fn index_of(&self, cpu: u32) -> Result<usize, usize> {
        self.buffers.binary_search_by_key(&cpu, Buffer::cpu)
    }

    /// Returns the buffers, ascending by CPU.
    pub fn iter(&self) -> std::slice::Iter<'_, Buffer> {
        self.buffers.iter()
    }

    /// Returns the buffers, ascending by CPU, to drain them one by one. [Notes a poll](PerCpuBuffers::note_poll).
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.note_poll();
        self.buffers.iter_mut()
    }

    /// Returns the buffers in a drain that has begun.
    #[inline]
    pub(crate) fn buffers_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.buffers.iter_mut()
    }

    /// Returns the buffer of `cpu`.
    pub fn get(&self, cpu: u32) -> Option<&Buffer> {
        self.buffers.get(self.index_of(cpu).ok()?)
    }

    /// Returns the buffer of `cpu`, to drain it.
    pub fn get_mut(&mut self, cpu: u32) -> Option<&mut Buffer> {
        let at = self.index_of(cpu).ok()?;
        self.buffers.get_mut(at)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the number of buffers, one for each CPU.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Returns whether there are no buffers.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Sleeps until a CPU has records, a [`Stopper`] is used, or `timeout` is over (rounded up to milliseconds; `None`
    /// waits forever, zero does not sleep).
    ///
    /// With any [`Wakeup`](crate::Wakeup) except one for each record, records can come without a wake-up. Then this
    /// polls for them every 90 milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or the interval of
    /// [`set_idle_poll_interval`](PerCpuBuffers::set_idle_poll_interval)) and when `timeout` is over. On a machine that
    /// is not overloaded, no record waits longer than 100 ms. A poll that finds no record does not end the wait.
    ///
    /// Drain all CPUs completely afterwards: the kernel does not report the same records twice.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll_wait(2) fails.
    #[doc(alias = "perf_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        if self.unfinished && self.has_records() {
            if self.waiter.is_stopped_meanwhile()? {
                // A later wait reports the records.
                return Ok(Wake::Stopped);
            }
            self.unfinished = false;
            return Ok(Wake::Ready);
        }
        let buffers = &self.buffers;
        let pending = || buffers.iter().any(|buffer| buffer.reader().fill() > 0);
        self.unfinished = false;
        self.waiter.wait(timeout, &mut self.idle_poll, &mut self.unfinished, pending)
    }

    /// Calls `each` with the CPU's id and every record that is complete now. All CPUs are checked, ready or not: the
    /// process is awake anyway, and a check costs one load.
    ///
    /// `each` returns `()` or [`ControlFlow`]: `Break(value)` ends the drain early, which then returns `Some(value)`.
    /// The record that `each` broke at counts as read. Later records stay, and the next [`wait`](PerCpuBuffers::wait)
    /// returns at once. The next drain begins with the CPU after the one that `each` broke at.
    ///
    /// The drain ends however fast programs write. A corrupt ring is not changed: see [`Corrupt`].
    #[doc(alias = "perf_buffer__consume")]
    #[inline]
    pub fn drain<R: IntoControlFlow>(
        &mut self,
        mut each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> R,
    ) -> Option<R::Break> {
        for index in self.begin_drain() {
            let Some(buffer) = self.buffers.get_mut(index) else { break };
            let (_, flow) = buffer.drain_each(|cpu, record| each(cpu, record).into_control_flow());
            if let ControlFlow::Break(value) = flow {
                self.broke_at(index);
                return Some(value);
            }
        }
        self.finished();
        None
    }

    /// Returns a handle that ends [`wait`](PerCpuBuffers::wait) from another thread or from a signal handler. All
    /// handles of one set are equivalent.
    ///
    /// # Errors
    /// [`Error::Syscall`] if no fd is left for its pipe (EMFILE, ENFILE).
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Cancels all stops so far, so that the next wait waits again.
    ///
    /// # Errors
    /// [`Error::Syscall`] if the stopper's pipe cannot be emptied.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.waiter.resume()
    }

    /// Returns how many times [`wait`](PerCpuBuffers::wait) has slept so far.
    pub fn sleeps(&self) -> u64 {
        self.waiter.sleeps()
    }

    /// Returns the number of samples lost on all CPUs since they were opened. Its source is LOST records if that is the
    /// source for any CPU.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        let mut total = Lost { samples: 0, source: LostSource::Kernel };
        for buffer in &self.buffers {
            let lost = buffer.lost()?;
            total.samples = total.samples.wrapping_add(lost.samples);
            if lost.source == LostSource::Records {
                total.source = LostSource::Records;
            }
        }
        Ok(total)
    }
}

impl AsFd for PerCpuBuffers {
    /// Returns the fd for the caller's own poll or epoll: readable when a CPU has records, or after a stop. Polling it
    /// consumes the readiness, so drain all CPUs when it was readable: [`wait`](PerCpuBuffers::wait) would not find it
    /// again. Sleep no longer than until [`next_poll`](PerCpuBuffers::next_poll), and then drain, too.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiter.fd()
    }
}

impl<'s> IntoIterator for &'s PerCpuBuffers {
    type Item = &'s Buffer;
    type IntoIter = std::slice::Iter<'s, Buffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'s> IntoIterator for &'s mut PerCpuBuffers {
    type Item = &'s mut Buffer;
    type IntoIter = std::slice::IterMut<'s, Buffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
