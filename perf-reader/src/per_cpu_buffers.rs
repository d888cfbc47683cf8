//! The buffers of all CPUs, with one wait and one drain for all of them.

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
/// This crate makes no bpf(2) calls. So the caller puts the fd of each buffer into the program's
/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, with the CPU's id as key. [`connect`](PerCpuBuffers::connect) does this for all
/// buffers, through the caller's [`EventArray`](crate::EventArray). The kernel clears a slot when the map fd that set
/// it is closed, so keep that fd open.
///
/// Each buffer takes `bytes` bytes and one more page of memory. A CPU that comes online later gets a buffer from
/// [`refresh`](PerCpuBuffers::refresh); until then its samples are lost.
///
/// Needs Linux 4.4, and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8) or a sysctl `kernel.perf_event_paranoid` of 0 or
/// less.
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
    /// The changes that failed refreshes found.
    changes: HotplugChanges,
    waiter: Waiter,
    idle_poll: IdlePoll,
    bytes: u32,
    options: Options,
    /// Whether each buffer has a silent event.
    silent_events: bool,
    /// The CPUs that the caller chose. `None` means all CPUs.
    chosen: Option<Vec<u32>>,
    /// CPUs without a slot in the map. They have no buffer.
    without_slot: Vec<u32>,
    /// Whether a wake-up was consumed and some of its records may be unread. This is true while a drain is running,
    /// after a drain that ended early, and after a stop that ended a wait. The kernel sends no other wake-up for these
    /// records.
    unfinished: bool,
    /// The index of the buffer with which the next drain begins. After a drain that ended early, it is the buffer after
    /// the one that was drained last.
    first: usize,
}

impl PerCpuBuffers {
    /// Opens a buffer of `bytes` bytes, a power of two and a multiple of the page size, on each CPU that is online.
    ///
    /// # Errors
    /// As [`Buffer::open`], but a CPU that goes offline during the call is skipped. Also [`Error::OnlineCpus`], if the
    /// list of CPUs that are online cannot be read.
    #[doc(alias = "perf_buffer__new")]
    pub fn open(bytes: u32, options: &Options) -> Result<Self, Error> {
        let mut set = Self::empty(bytes, options)?;
        set.add_all(&online_cpus()?)?;
        Ok(set)
    }

    /// Opens a buffer of `bytes` bytes on each of the given CPUs. A CPU that is offline is skipped until
    /// [`refresh`](PerCpuBuffers::refresh) finds it online.
    ///
    /// # Errors
    /// As [`Buffer::open`], except [`Error::Offline`].
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

    /// Opens a buffer of `cpu`. Returns `None` if the CPU is offline.
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

    /// Adds a buffer. Replaces the earlier buffer of the same CPU, if there is one.
    fn add(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.waiter.watch(buffer.cpu(), buffer.as_fd())?;
        // EPOLL_CTL_ADD calls the event's `perf_poll`, which consumes the wake-up of earlier records.
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

    /// Returns the time of the next poll that a buffer with a silent event needs.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        self.buffers.iter().filter_map(Buffer::next_poll).min()
    }

    /// Returns the time at which a caller that sleeps by other means must [drain](PerCpuBuffers::drain), even if no
    /// wake-up comes. ([`wait`](PerCpuBuffers::wait) polls by itself.)
    ///
    /// Returns `None` if each record sends a wake-up, or if polling is
    /// [turned off](PerCpuBuffers::set_idle_poll_interval). The time is in the past if the last drain ended early and
    /// left records.
    ///
    /// [`drain`](PerCpuBuffers::drain) and [`iter_mut`](PerCpuBuffers::iter_mut) postpone the time by one interval. A
    /// caller that reads with [`get_mut`](PerCpuBuffers::get_mut) must call [`note_poll`](PerCpuBuffers::note_poll)
    /// when the time is reached.
    pub fn next_poll(&self) -> Option<Instant> {
        if self.unfinished && self.has_records() { Some(self.idle_poll.last()) } else { self.idle_poll.at() }
    }

    /// Notes that the caller polls all buffers now. The [next poll](PerCpuBuffers::next_poll) is then due one interval
    /// later, even if the last drain ended early. So read all buffers to their ends: any records that remain wait for
    /// the next poll.
    pub fn note_poll(&mut self) {
        self.idle_poll.polled();
        self.unfinished = false;
    }

    /// Returns whether a buffer has records to read.
    fn has_records(&self) -> bool {
        self.buffers.iter().any(|buffer| buffer.reader().fill() > 0)
    }

    /// Sets how long [`wait`](PerCpuBuffers::wait) sleeps at most before it polls the buffers. The time is rounded up
    /// to milliseconds. A time below 1 millisecond, and also zero, is 1 millisecond.
    ///
    /// The default is [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL). If each record sends a wake-up
    /// ([`Wakeup::Events(1)`](crate::Wakeup::Events)), the default is no polling.
    ///
    /// `None` turns polling off: an idle reader then does not wake up 11 times a second. But the last records of a
    /// burst may then stay unread until the kernel has enough records for a wake-up. Without polling, pass a timeout to
    /// each wait and drain after it, unless the options have [`Wakeup::Events(1)`](crate::Wakeup::Events).
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.idle_poll.set(time);
    }

    /// Notes that a drain of all buffers begins. The drain counts as ended early until [`Self::finished`] is called.
    /// Returns the indices of the buffers in the order in which to drain them.
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

    /// Notes that the drain ended early at the buffer of this index. The next drain begins with the next buffer, so
    /// that a CPU that is always busy does not delay the others.
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

    /// Returns the buffers, ascending by CPU, to drain them one by one. Calls [`note_poll`](PerCpuBuffers::note_poll).
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.note_poll();
        self.buffers.iter_mut()
    }

    /// Returns the buffers without a call of [`note_poll`](Self::note_poll), because [`Self::begin_drain`] has noted
    /// it.
    #[inline]
    pub(crate) fn buffers_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.buffers.iter_mut()
    }

    /// Returns the buffer of `cpu`, if there is one.
    pub fn get(&self, cpu: u32) -> Option<&Buffer> {
        self.buffers.get(self.index_of(cpu).ok()?)
    }

    /// Returns the buffer of `cpu`, if there is one, to drain it.
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

    /// Sleeps until a CPU has records, a [`Stopper`] is used, or `timeout` is over.
    ///
    /// Returns [`Wake::Ready`], [`Wake::Stopped`] or [`Wake::TimedOut`] for these reasons. `timeout` is rounded up to
    /// milliseconds. `None` waits forever, and zero does not sleep. A signal alone does not end the wait.
    ///
    /// If not every record sends a wake-up (any setting but [`Wakeup::Events(1)`](crate::Wakeup::Events)), this method
    /// polls all buffers every 90 milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL)), or at the interval
    /// of [`set_idle_poll_interval`](PerCpuBuffers::set_idle_poll_interval). It also polls when `timeout` is over. On a
    /// machine that is not overloaded, each record is found within 100 ms. A poll that finds no record does not end the
    /// wait.
    ///
    /// After `Ready`, drain all CPUs completely, because the kernel does not report the same records twice.
    ///
    /// # Errors
    /// [`Error::Syscall`] if epoll_wait(2) fails, or if the stopper's pipe cannot be read.
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

    /// Calls `each` with every record that is complete now, and with the id of the record's CPU. All CPUs are checked,
    /// whether they sent a wake-up or not. A check costs one load.
    ///
    /// `each` returns `()` or [`ControlFlow`]. If it returns `Break(value)`, the drain ends and returns `Some(value)`.
    /// The record for which `each` returned `Break` counts as read. Later records stay in their buffers, and the next
    /// [`wait`](PerCpuBuffers::wait) returns at once. The same applies if `each` panics. After `Break`, the next drain
    /// begins with the next CPU.
    ///
    /// The drain of a CPU reads only the records that were complete when it began. So it ends even if programs write
    /// without a pause.
    ///
    /// If a buffer is corrupt, `each` gets the error. After [`Corrupt::Content`], the drain goes on with the next
    /// record. After other errors, it goes on with the next CPU, and the next drain reports the error again. To go on
    /// with the corrupt buffer, call [`skip_to_head`](crate::Reader::skip_to_head) of its [reader](Buffer::reader_mut).
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

    /// Returns a handle that ends [`wait`](PerCpuBuffers::wait). Another thread calls [`Stopper::stop`]. A signal
    /// handler instead writes a byte to the handle's fd by write(2), which is async-signal-safe. All handles of one set
    /// are equivalent.
    ///
    /// # Errors
    /// [`Error::Syscall`] if no fd is left for the handle's pipe (EMFILE, ENFILE).
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Cancels all stops so far. Without this call, every wait after a stop returns
    /// [`Wake::Stopped`].
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

    /// Returns the number of samples that were lost on all CPUs since the buffers were opened. [`Lost::source`] is
    /// [`LostSource::Records`] if it is `Records` for at least one CPU.
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
    /// Returns an fd for the caller's own poll(2) or epoll. The fd becomes readable when a CPU has records, or after a
    /// stop.
    ///
    /// When the fd is reported readable, drain all CPUs. It is not reported again for the same records, and
    /// [`wait`](PerCpuBuffers::wait) does not report them either. Sleep at most until
    /// [`next_poll`](PerCpuBuffers::next_poll). Then drain, even if the fd was not reported.
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
