//! All CPUs' buffers, waited for and drained as one.

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

/// The buffers of all CPUs that are online, by number, holes and all.
///
/// Each of them belongs into the `BPF_MAP_TYPE_PERF_EVENT_ARRAY` under its CPU's number: this crate makes no bpf(2)
/// calls.
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
    /// CPUs that have a buffer and were not online when last looked at.
    away: Vec<u32>,
    /// What a refresh that failed has found.
    changes: HotplugChanges,
    waiter: Waiter,
    idle_poll: IdlePoll,
    bytes: u32,
    options: Options,
    /// Whether each buffer gets a silent event.
    silent_events: bool,
    /// The CPUs of the caller's choice; `None` for all.
    chosen: Option<Vec<u32>>,
    /// CPUs that the map has no slot for. They have no buffer.
    without_slot: Vec<u32>,
    /// A wake-up may have been consumed without all records being read: a drain is going on, broke, failed or panicked,
    /// or a stop ended a wait. Nothing else tells of these records.
    unfinished: bool,
    /// The index of the buffer that the next drain begins with: the one behind that at which the last drain broke.
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

    /// The same on CPUs of your choice, those that are offline left out until [`refresh`](PerCpuBuffers::refresh) finds
    /// them online.
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

    /// A buffer of `cpu`, if that is online.
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

    /// Takes a buffer in. A former one of its CPU goes.
    fn add(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.waiter.watch(buffer.cpu(), buffer.as_fd())?;
        // Adding an event to epoll polls it, which takes the wake-up of what came before.
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

    /// When a buffer has to be looked at because its silent event is in the slot.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        self.buffers.iter().filter_map(Buffer::next_poll).min()
    }

    /// Returns when to [drain](PerCpuBuffers::drain) next even without a wake-up; `None` if each record sends one, or
    /// polls are [turned off](PerCpuBuffers::set_idle_poll_interval). The time is over if the last drain ended early
    /// and left records. For those who sleep elsewhere: [`wait`](PerCpuBuffers::wait) looks by itself.
    ///
    /// A [drain](PerCpuBuffers::drain) puts off the next poll, and so does [`iter_mut`](PerCpuBuffers::iter_mut). If
    /// you read by [`get_mut`](PerCpuBuffers::get_mut), call [`note_poll`](PerCpuBuffers::note_poll) when the time is
    /// over.
    pub fn next_poll(&self) -> Option<Instant> {
        if self.unfinished && self.has_records() { Some(self.idle_poll.last()) } else { self.idle_poll.at() }
    }

    /// Notes that the caller looks at all buffers now: the [next poll](PerCpuBuffers::next_poll) is due an interval
    /// later, also if the last drain ended early: read all of them to their ends.
    pub fn note_poll(&mut self) {
        self.idle_poll.looked();
        self.unfinished = false;
    }

    /// Returns whether a buffer has something to read.
    fn has_records(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.reader().fill() > 0)
    }

    /// Sets how long [`wait`](PerCpuBuffers::wait) sleeps at most before it looks at the buffers by itself, 1
    /// millisecond or more and rounded up to one. At first that is [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL),
    /// or never if each record sends a wake-up ([`Wakeup::Events(1)`](crate::Wakeup::Events)).
    ///
    /// `None` turns the looks off and spares an idle reader its 11 wake-ups a second. Then the last records of a burst
    /// wait until so many have come that the kernel sends a wake-up, in a buffer that never wakes for ever: wait with a
    /// time-out.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.idle_poll.set(time);
    }

    /// Notes that a drain of all buffers begins. It counts as ended early until [`Self::finished`]. Returns the indices
    /// of the buffers in the order in which to drain them.
    #[inline]
    pub(crate) fn begin_drain(&mut self) -> impl Iterator<Item = usize> + use<> {
        self.idle_poll.looked();
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

    /// Notes that the drain broke at the buffer of this index. The next one begins behind it, so that a CPU which is
    /// always busy does not keep the others from being read.
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

    /// The buffers, ascending by CPU.
    pub fn iter(&self) -> std::slice::Iter<'_, Buffer> {
        self.buffers.iter()
    }

    /// Walks the buffers, to drain one by one; [notes a poll](PerCpuBuffers::note_poll).
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.note_poll();
        self.buffers.iter_mut()
    }

    /// Walks the buffers in a drain that has begun.
    #[inline]
    pub(crate) fn buffers_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.buffers.iter_mut()
    }

    /// The buffer of `cpu`.
    pub fn get(&self, cpu: u32) -> Option<&Buffer> {
        self.buffers.get(self.index_of(cpu).ok()?)
    }

    /// The buffer of `cpu`, to drain it.
    pub fn get_mut(&mut self, cpu: u32) -> Option<&mut Buffer> {
        let at = self.index_of(cpu).ok()?;
        self.buffers.get_mut(at)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// How many CPUs it has.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Sleeps until a CPU has records, a [`Stopper`] is used, or `timeout` is over (rounded up to milliseconds; `None`
    /// waits for ever, zero only asks).
    ///
    /// Where records can come without a wake-up, that is with any [`Wakeup`](crate::Wakeup) but one for each record, it
    /// looks for them every 90 milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or what
    /// [`set_idle_poll_interval`](PerCpuBuffers::set_idle_poll_interval) says) and when `timeout` is over: no record
    /// waits for longer than 100 ms on a machine that is not overloaded. The looks do not end a wait if they find
    /// nothing.
    ///
    /// Drain all CPUs afterwards, fully: the kernel does not say twice that there is something.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll_wait(2) fails.
    #[doc(alias = "perf_buffer__poll")]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        if self.unfinished && self.has_records() {
            if self.waiter.is_stopped_meanwhile()? {
                // The records are told of after the stop.
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

    /// Calls `each` with every record that is there now and its CPU's id. All CPUs are looked at, ready or not: the
    /// process is awake anyway, and a look costs one load.
    ///
    /// `each` returns nothing, or [`ControlFlow`]: `Break(value)` ends the drain early, which then returns
    /// `Some(value)`. The record that it broke at is read; those behind it stay, and the next
    /// [`wait`](PerCpuBuffers::wait) returns at once. The next drain begins with the CPU behind the one that it broke
    /// at.
    ///
    /// Ends however fast programs write. A CPU whose ring is corrupt is left as it is: see [`Corrupt`].
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
    /// handles of one set are the same.
    ///
    /// # Errors
    /// [`Error::Syscall`] if no fd is left for its pipe.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Waits again after a stop.
    ///
    /// # Errors
    /// [`Error::Syscall`] if the pipe behind the stopper cannot be emptied.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.waiter.resume()
    }

    /// How often it went to sleep so far.
    pub fn sleeps(&self) -> u64 {
        self.waiter.sleeps()
    }

    /// How many samples were lost on all CPUs since they were opened; from LOST records if one CPU knows no better.
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
    /// For one's own poll or epoll: readable when a CPU has records, or after a stop. To ask is to consume, so drain
    /// all CPUs when it was; [`wait`](PerCpuBuffers::wait) would not find it again. Sleep no longer than until
    /// [`next_poll`](PerCpuBuffers::next_poll), then drain, too.
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
