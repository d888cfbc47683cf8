//! All CPUs' buffers, waited for and drained as one.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cutaway_sys::IntoControlFlow;

use crate::buffer::{Buffer, Holder, Lost, LostSource};
use crate::corrupt::Corrupt;
use crate::cpus::online_cpus;
use crate::error::Error;
use crate::event_array::{EventArray, Slot};
use crate::idle_poll::IdlePoll;
use crate::options::Options;
use crate::record::Record;
use crate::wait::{Stopper, Waiter, Wake};

/// The buffers of all CPUs that are online, by number, holes and all.
///
/// Each of them belongs into the `BPF_MAP_TYPE_PERF_EVENT_ARRAY` under its CPU's number: this crate makes no bpf(2) calls.
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
#[derive(Debug)]
pub struct PerCpuBuffers {
    /// Ascending by CPU.
    buffers: Vec<Buffer>,
    /// CPUs that have a buffer and were not online when last looked at.
    away: Vec<u32>,
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
    /// The last drain left records behind.
    ended_early: bool,
}

/// What [`PerCpuBuffers::refresh`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotplugChanges {
    /// CPUs that have a buffer now and had none before.
    pub added: Vec<u32>,
    /// CPUs that were away and are back.
    pub restored: Vec<u32>,
    /// CPUs that went offline. What they had written is still there to be drained.
    pub removed: Vec<u32>,
    /// CPUs in whose slot another reader's event was found, for the first time. What programs send there goes to that
    /// reader.
    pub taken: Vec<u32>,
    /// CPUs whose slot was empty, as it is after the other reader of the map has ended, and is this set's again. What
    /// programs sent meanwhile is lost, and counted by the programs alone.
    pub regained: Vec<u32>,
}

impl PerCpuBuffers {
    /// Opens a buffer of `bytes` bytes, a power of two and a multiple of the page size, on each CPU that is online.
    ///
    /// # Errors
    /// As [`Buffer::open`], except that a CPU that goes offline meanwhile is left out; and [`Error::OnlineCpus`].
    pub fn open(bytes: u32, options: &Options) -> Result<Self, Error> {
        let mut set = Self::empty(bytes, options)?;
        set.add_all(&online_cpus()?)?;
        Ok(set)
    }

    /// The same on CPUs of your choice, those that are offline left out until [`refresh`](PerCpuBuffers::refresh) finds them online.
    ///
    /// # Errors
    /// As [`Buffer::open`], except that [`Error::Offline`] is none.
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
            waiter: Waiter::new()?,
            idle_poll: IdlePoll::for_wakeup(options.wakeup),
            bytes,
            options: options.clone(),
            silent_events: false,
            chosen: None,
            without_slot: Vec::new(),
            ended_early: false,
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
        match self.place(buffer.cpu()) {
            Ok(at) => {
                if let Some(place) = self.buffers.get_mut(at) {
                    *place = buffer;
                }
            }
            Err(at) => self.buffers.insert(at, buffer),
        }
        Ok(())
    }

    /// Puts every buffer into its CPU's slot. The buffers of CPUs that the map has no slot for are closed, with one
    /// warning for all (crate `log`): see [`without_slot`](PerCpuBuffers::without_slot).
    ///
    /// # Errors
    /// [`Error::System`] with the errno that `slots` answered: E2BIG only if the map has no slot for any of the CPUs.
    pub fn connect(&mut self, slots: &impl EventArray) -> Result<(), Error> {
        let mut without = Vec::new();
        let mut held = Vec::new();
        let mut first = None;
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if let Ok(Some(Slot::Enabled(_) | Slot::Other)) = slots.query(cpu, 0) {
                held.push(cpu);
            }
            match buffer.connect(slots) {
                Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::E2BIG) => {
                    without.push(cpu);
                    first = first.or(Some(error));
                }
                result => result?,
            }
        }
        if let Some(error) = first.filter(|_| without.len() == self.buffers.len()) {
            return Err(error);
        }
        if !held.is_empty() {
            log::warn!(
                "the map's slots held the events of another reader, on CPU {}: it gets nothing from now on",
                list(&held)
            );
        }
        self.buffers.retain(|buffer| !without.contains(&buffer.cpu()));
        self.go_without_slot(&without);
        Ok(())
    }

    /// Notes CPUs that have no slot, and warns.
    fn go_without_slot(&mut self, cpus: &[u32]) {
        let Some(last) = cpus.iter().max() else { return };
        log::warn!(
            "the map has no slot for CPU {}: what programs send there is refused (E2BIG), and not counted; its max_entries must \
             be {} or more",
            list(cpus),
            last.saturating_add(1)
        );
        self.without_slot.extend(cpus);
    }

    /// The CPUs that the map has no slot for, since its `max_entries` is not above their number. They have no buffer,
    /// and what programs send there is refused. Known after [`connect`](PerCpuBuffers::connect), and [`refresh`](PerCpuBuffers::refresh)
    /// for a CPU that came later.
    pub fn without_slot(&self) -> &[u32] {
        &self.without_slot
    }

    /// Looks which CPUs are online now. Those that came get a buffer; those that were away and are back, however briefly, get a
    /// new event that writes into the ring they had, as the kernel does not revive the old one; both are put into their slots.
    ///
    /// Until then a program on such a CPU is refused (ENOENT without a buffer, EOPNOTSUPP with one whose event is dead): what
    /// it could not send is known to the program alone. So look often enough for what you do, and have programs count.
    ///
    /// Also looks whether the slots still hold this set's events, where the [`EventArray`] can tell. Those that another
    /// reader of the map has taken are left to it; those that are empty, since the other reader has ended, are taken
    /// back.
    ///
    /// A CPU whose slot could not be set is as if it had not been looked at: the next refresh tries again. Only the CPUs that the
    /// set was [opened on](PerCpuBuffers::open_on) count, if it was.
    ///
    /// # Errors
    /// [`Error::OnlineCpus`]; as [`Buffer::open`]; and as [`connect`](PerCpuBuffers::connect).
    pub fn refresh(&mut self, slots: &impl EventArray) -> Result<HotplugChanges, Error> {
        let online = online_cpus()?;
        let mut changes = HotplugChanges::default();
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            let away = self.away.iter().position(|&away| away == cpu);
            if online.binary_search(&cpu).is_err() {
                if away.is_none() {
                    self.away.push(cpu);
                    changes.removed.push(cpu);
                }
                continue;
            }
            if let Some(at) = away {
                self.away.swap_remove(at);
            } else if buffer.is_alive()? {
                continue;
            }
            match buffer.replacement(&self.options) {
                Ok(replacement) => {
                    // What can fail comes first: then the buffer's event stays dead, and is found so the next time. Closing the
                    // new one takes it out of epoll.
                    self.waiter.watch(cpu, replacement.as_fd())?;
                    connect(cpu, replacement.as_fd(), slots)?;
                    let former = buffer.replace_with(replacement);
                    self.waiter.forget(cpu, former.as_fd())?;
                    changes.restored.push(cpu);
                }
                // Gone again meanwhile.
                Err(Error::Offline { .. }) => self.away.push(cpu),
                Err(error) => return Err(error),
            }
        }
        for cpu in online {
            let left_out = self.chosen.as_ref().is_some_and(|chosen| !chosen.contains(&cpu));
            if left_out || self.get(cpu).is_some() || self.without_slot.contains(&cpu) {
                continue;
            }
            let Some(mut buffer) = self.opened(cpu)? else { continue };
            // First: a buffer whose slot could not be set is none of this set's, and opened anew the next time.
            match buffer.connect(slots) {
                Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::E2BIG) => {
                    self.go_without_slot(&[cpu]);
                    continue;
                }
                result => result?,
            }
            self.add(buffer)?;
            changes.added.push(cpu);
        }
        self.check_slots(slots, &mut changes)?;
        Ok(changes)
    }

    /// Finds slots that another reader has taken, and takes back those that are empty.
    fn check_slots(&mut self, slots: &impl EventArray, changes: &mut HotplugChanges) -> Result<(), Error> {
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if self.away.contains(&cpu) {
                continue;
            }
            match buffer.check_slot(slots)? {
                Some(Holder::Another) => changes.taken.push(cpu),
                Some(Holder::Nobody) => changes.regained.push(cpu),
                _ => {}
            }
        }
        Ok(())
    }

    /// When a buffer has to be looked at because its silent event is in the slot.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        self.buffers.iter().filter_map(Buffer::next_poll).min()
    }

    /// Returns when to [drain](PerCpuBuffers::drain) next even without a wake-up; `None` if each record sends one, or polls are
    /// [turned off](PerCpuBuffers::set_idle_poll_interval). For those who sleep elsewhere: [`wait`](PerCpuBuffers::wait) looks by itself.
    pub fn next_poll(&self) -> Option<Instant> {
        if self.ended_early { Some(Instant::now()) } else { self.idle_poll.at() }
    }

    /// Sets how long [`wait`](PerCpuBuffers::wait) sleeps at most before it looks at the buffers by itself, 1 millisecond or more
    /// and rounded up to one. At first that is [`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or never if each record sends a
    /// wake-up ([`Wakeup::Events(1)`](crate::Wakeup::Events)).
    ///
    /// `None` turns the looks off and spares an idle reader its 11 wake-ups a second. Then the last records of a burst
    /// wait until so many have come that the kernel sends a wake-up, in a buffer that never wakes for ever: wait with a time-out.
    pub fn set_idle_poll_interval(&mut self, time: Option<Duration>) {
        self.idle_poll.set(time);
    }

    /// Notes that all buffers are drained now.
    #[inline]
    pub(crate) fn looked(&mut self) {
        self.idle_poll.looked();
    }

    fn place(&self, cpu: u32) -> Result<usize, usize> {
        self.buffers.binary_search_by_key(&cpu, Buffer::cpu)
    }

    /// The buffers, ascending by CPU.
    pub fn iter(&self) -> std::slice::Iter<'_, Buffer> {
        self.buffers.iter()
    }

    /// The buffers, to drain one by one.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Buffer> {
        self.buffers.iter_mut()
    }

    /// The buffer of `cpu`.
    pub fn get(&self, cpu: u32) -> Option<&Buffer> {
        self.buffers.get(self.place(cpu).ok()?)
    }

    /// The buffer of `cpu`, to drain it.
    pub fn get_mut(&mut self, cpu: u32) -> Option<&mut Buffer> {
        let at = self.place(cpu).ok()?;
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
    /// looks for them every 90 milliseconds ([`IDLE_POLL_INTERVAL`](crate::IDLE_POLL_INTERVAL), or what [`set_idle_poll_interval`](PerCpuBuffers::set_idle_poll_interval)
    /// says) and when `timeout` is over: no record waits for longer than 100 ms on a machine that is not overloaded.
    /// The looks do not end a wait if they find nothing.
    ///
    /// Drain all CPUs afterwards, fully: the kernel does not say twice that there is something.
    ///
    /// # Errors
    /// [`Error::System`] if epoll_wait(2) fails.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, Error> {
        let buffers = &self.buffers;
        let pending = || buffers.iter().any(|buffer| buffer.reader().fill() > 0);
        if std::mem::take(&mut self.ended_early) && pending() && !self.waiter.is_stopped() {
            return Ok(Wake::Ready);
        }
        self.waiter.wait(timeout, &mut self.idle_poll, pending)
    }

    /// Calls `each` with every record that is there now and its CPU's id. All CPUs are looked at, ready or not: the process
    /// is awake anyway, and a look costs one load.
    ///
    /// `each` returns nothing, or [`ControlFlow`]: `Break(value)` ends the drain early, which then returns `Some(value)`. The
    /// record that it broke at is read; those behind it stay, and the next [`wait`](PerCpuBuffers::wait) returns at once.
    ///
    /// Ends however fast programs write. A CPU whose ring is corrupt is left as it is: see [`Corrupt`].
    #[inline]
    pub fn drain<R: IntoControlFlow>(
        &mut self,
        mut each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> R,
    ) -> Option<R::Break> {
        self.idle_poll.looked();
        for buffer in &mut self.buffers {
            let (_, flow) = buffer.drain_each(|cpu, record| each(cpu, record).into_control_flow());
            if let ControlFlow::Break(value) = flow {
                self.ended_early = true;
                return Some(value);
            }
        }
        None
    }

    /// Notes that a drain ended before all was read: no wake-up tells of what is left.
    pub(crate) fn ended_early(&mut self) {
        self.ended_early = true;
    }

    /// Returns a handle that ends [`wait`](PerCpuBuffers::wait) from another thread or from a signal handler. All handles of
    /// one set are the same.
    ///
    /// # Errors
    /// [`Error::System`] if no fd is left for its pipe.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        self.waiter.stopper()
    }

    /// Waits again after a stop.
    ///
    /// # Errors
    /// [`Error::System`] if the pipe behind the stopper cannot be emptied.
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
    /// [`Error::System`] if read(2) fails.
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

/// CPUs for a message: `0, 2, 3`, at most 16 of them.
fn list(cpus: &[u32]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = cpus.iter().take(SHOWN).map(u32::to_string).collect();
    match cpus.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn connect(cpu: u32, event: BorrowedFd<'_>, slots: &impl EventArray) -> Result<(), Error> {
    slots.set(cpu, event).map_err(|error| Error::slot(cpu, &error))
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
