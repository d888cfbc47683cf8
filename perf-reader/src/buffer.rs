//! One CPU's buffer: the perf event, its pages, and its losses.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::corrupt::Corrupt;
use crate::error::Error;
use crate::event::{Direction, Event};
use crate::event_array::{EventArray, Slot};
use crate::mapping::Mapping;
use crate::options::{Options, Wakeup};
use crate::reader::{Batch, Reader};
use crate::record::Record;
use crate::size::data_pages;
use crate::wakeup_policy::{Switch, WakeupMode};

/// The perf buffer of one CPU, opened, mapped and enabled. `Send` and `Sync`.
///
/// Its fd ([`AsFd`]) belongs in the `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, with the CPU's id as key. Until it is there,
/// `bpf_perf_event_output` fails with ENOENT on this CPU. The kernel clears the slot when the map fd that set it is
/// closed: keep that fd open.
#[doc(alias = "PERF_COUNT_SW_BPF_OUTPUT")]
#[derive(Debug)]
pub struct Buffer {
    /// Unmapped before the event is closed.
    reader: Reader<Mapping>,
    event: Event,
    silent: Option<SilentEvent>,
    /// The losses counted by former events, which were replaced since.
    lost_before: u64,
    rival: Rival,
}

/// This buffer's knowledge of other readers of the same map.
#[derive(Clone, Copy, Debug, Default)]
struct Rival {
    /// A query of the slot found this buffer's event just after it was put there. If it did not, queries are useless
    /// here.
    can_query: bool,
    /// Another reader's event was found in the slot.
    is_present: bool,
    /// That was reported to the caller.
    is_reported: bool,
}

/// The owner of the event in a CPU's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Ours,
    Empty,
    Another,
    Unknown,
}

/// A second event that writes into the same ring and sends no wake-up: see `adaptive_reader.rs`.
#[derive(Debug)]
struct SilentEvent {
    event: Event,
    mode: WakeupMode,
    /// The slot holds the other of the two events, and must be set.
    slot_is_due: bool,
}

impl SilentEvent {
    fn new(event: Event) -> Self {
        Self { event, mode: WakeupMode::new(Instant::now()), slot_is_due: false }
    }
}

/// New events for a buffer whose own events died.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The event for the slot and for epoll.
    event: Event,
    silent: Option<Event>,
    /// The losses that the former events counted.
    lost: u64,
}

impl AsFd for Replacement {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// The number of lost samples, and the source of that number.
#[doc(alias("PERF_RECORD_LOST", "PERF_FORMAT_LOST"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The number of samples that found no room.
    pub samples: u64,
    /// The source that counted them.
    pub source: LostSource,
}

/// The source of a number of losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostSource {
    /// The kernel (`PERF_FORMAT_LOST`, Linux 6.0). It counts all losses, including the last ones.
    Kernel,
    /// The LOST records that were read (before Linux 6.0). Losses that no later record followed remain unknown.
    Records,
}

impl Buffer {
    /// Opens the buffer of `cpu` with a ring of `bytes` bytes: a power of two and a multiple of the page size. One more
    /// page is mapped, the control page.
    ///
    /// Needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or a `perf_event_paranoid` of 0 or less. Needs Linux 4.4.
    ///
    /// # Errors
    /// [`Error::InvalidSize`], [`Error::Denied`], [`Error::Offline`], [`Error::LockedMemory`], or [`Error::Syscall`]
    /// for the other errors of perf_event_open(2), mmap(2) and ioctl(2).
    #[doc(alias = "perf_event_open")]
    pub fn open(cpu: u32, bytes: u32, options: &Options) -> Result<Self, Error> {
        let pages = data_pages(bytes)?;
        let event = Event::open(cpu, options, Direction::Forward)?;
        let mapping = event.map(pages, true)?;
        let reader = Reader::new(mapping, options.timestamps).map_err(|corrupt| Error::Corrupt { cpu, corrupt })?;
        event.enable()?;
        Ok(Self { reader, event, silent: None, lost_before: 0, rival: Rival::default() })
    }

    /// Opens a second event beside the first, on the same CPU and ring. It sends no wake-ups except at each half of the
    /// ring.
    pub(crate) fn open_silent_event(&mut self, options: &Options) -> Result<(), Error> {
        self.silent = Some(SilentEvent::new(self.open_silent(options)?));
        Ok(())
    }

    /// Opens an event that writes into the same ring.
    fn open_another(&self, options: &Options) -> Result<Event, Error> {
        let event = Event::open(self.cpu(), options, Direction::Forward)?;
        event.redirect_to(&self.event)?;
        event.enable()?;
        Ok(event)
    }

    fn open_silent(&self, options: &Options) -> Result<Event, Error> {
        self.open_another(&options.clone().wakeup(Wakeup::Events(0)))
    }

    /// Returns the event that belongs in the CPU's slot now.
    pub(crate) fn in_slot(&self) -> BorrowedFd<'_> {
        match &self.silent {
            Some(silent) if silent.mode.is_silent() => silent.event.as_fd(),
            _ => self.event.as_fd(),
        }
    }

    /// Returns the latest time of the next poll, whether or not a wake-up comes.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        self.silent.as_ref()?.mode.next_poll()
    }

    /// Calls `each` with every complete record, until it breaks. Returns whether the map slot must be rewritten,
    /// because the rate crossed a threshold or an earlier rewrite failed, and the value that `each` broke with.
    #[inline]
    pub(crate) fn drain_and_adapt<B>(
        &mut self,
        each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> ControlFlow<B>,
        now: Instant,
    ) -> (bool, ControlFlow<B>) {
        let (records, flow) = self.drain_each(each);
        let Some(silent) = &mut self.silent else {
            return (false, flow);
        };
        silent.slot_is_due |= silent.mode.polled(records, now) != Switch::Stay;
        (silent.slot_is_due, flow)
    }

    /// Puts this buffer's event into its slot.
    pub(crate) fn connect(&mut self, slots: &impl EventArray) -> Result<(), Error> {
        let cpu = self.cpu();
        slots.set(cpu, self.in_slot()).map_err(|error| Error::slot(cpu, &error))?;
        self.rival = Rival { can_query: self.holder(slots)? == Holder::Ours, ..Rival::default() };
        Ok(())
    }

    /// Checks whether another reader has taken the slot, and takes the slot back if it is empty. Returns a change to
    /// report: a slot that another reader holds is reported once.
    pub(crate) fn check_slot(&mut self, slots: &impl EventArray) -> Result<Option<Holder>, Error> {
        if !self.rival.can_query {
            return Ok(None);
        }
        let holder = self.holder(slots)?;
        match holder {
            Holder::Ours => self.rival = Rival { can_query: true, ..Rival::default() },
            Holder::Another => {
                self.rival.is_present = true;
                if !std::mem::replace(&mut self.rival.is_reported, true) {
                    return Ok(Some(holder));
                }
            }
            Holder::Empty => {
                self.connect(slots)?;
                return Ok(Some(holder));
            }
            Holder::Unknown => {}
        }
        Ok(None)
    }

    /// Returns whose event is in the slot, without disturbing it.
    ///
    /// Events are distinguished by the time for which they have been enabled: that clock runs equally in all of them.
    /// The time of the event in the slot is read between two readings of this buffer's event. It is the same event if
    /// its time is between those. Another event would have to be enabled within the same microseconds.
    fn holder(&self, slots: &impl EventArray) -> Result<Holder, Error> {
        let before = self.enabled()?;
        let since = before.into_iter().flatten().min().unwrap_or(0);
        // The slot of an offline CPU cannot be queried, and a kernel that refuses the query is no reason to stop.
        let Ok(Some(slot)) = slots.query(self.cpu(), since) else { return Ok(Holder::Unknown) };
        Ok(match slot {
            Slot::Empty => Holder::Empty,
            Slot::Other => Holder::Another,
            Slot::Enabled(time) => {
                let after = self.enabled()?;
                let is_between = |(before, after): (&Option<u64>, Option<u64>)| {
                    before.zip(after).is_some_and(|(before, after)| (before..=after).contains(&time))
                };
                if before.iter().zip(after).any(is_between) { Holder::Ours } else { Holder::Another }
            }
        })
    }

    /// Returns how long this buffer's events have been enabled, in nanoseconds.
    fn enabled(&self) -> Result<[Option<u64>; 2], Error> {
        let silent = self.silent.as_ref().map(|silent| silent.event.enabled()).transpose()?;
        Ok([Some(self.event.enabled()?), silent])
    }

    /// Returns whether another reader has taken this buffer's slot. This is checked before the waking event is put
    /// back. A buffer whose slot was taken looks idle, and putting the event back would take the slot from the other
    /// reader in turn.
    pub(crate) fn has_lost_its_slot(&mut self, slots: &impl EventArray) -> Result<bool, Error> {
        let is_waking = self.silent.as_ref().is_some_and(|silent| !silent.mode.is_silent());
        if !self.rival.is_present && self.rival.can_query && is_waking {
            self.rival.is_present = self.holder(slots)? == Holder::Another;
        }
        Ok(self.rival.is_present)
    }

    /// Notes that the event of [`in_slot`](Buffer::in_slot) is in the slot.
    pub(crate) fn is_in_slot(&mut self) {
        if let Some(silent) = &mut self.silent {
            silent.slot_is_due = false;
        }
    }

    /// Calls `each` with every complete record, until it breaks. Returns the number of records, and the value that
    /// `each` broke with.
    #[inline]
    pub(crate) fn drain_each<B>(
        &mut self,
        mut each: impl FnMut(u32, Result<Record<'_>, Corrupt>) -> ControlFlow<B>,
    ) -> (u64, ControlFlow<B>) {
        let cpu = self.cpu();
        match self.batch() {
            Ok(batch) => {
                let mut records = 0_u64;
                let flow = batch.records().walk(|record| {
                    records = records.wrapping_add(1);
                    each(cpu, record)
                });
                (records, flow)
            }
            Err(corrupt) => (0, each(cpu, Err(corrupt))),
        }
    }

    /// Returns the id of the buffer's CPU, which is its key in the map.
    pub fn cpu(&self) -> u32 {
        self.event.cpu()
    }

    /// Opens a batch of the records that are complete now: see [`Reader::batch`].
    ///
    /// # Errors
    /// [`Corrupt::Positions`].
    #[doc(alias = "perf_buffer__consume_buffer")]
    #[inline]
    pub fn batch(&mut self) -> Result<Batch<'_, Mapping>, Corrupt> {
        self.reader.batch()
    }

    /// Returns the reader of the buffer's pages: its fill and its capacity.
    pub fn reader(&self) -> &Reader<Mapping> {
        &self.reader
    }

    /// Returns the reader of the buffer's pages, to drain it, or to skip a corrupt record.
    pub fn reader_mut(&mut self) -> &mut Reader<Mapping> {
        &mut self.reader
    }

    /// Returns whether the buffer's event is active. It is inactive once its CPU went offline, also when the CPU is
    /// back.
    pub(crate) fn is_alive(&self) -> Result<bool, Error> {
        /// If the kernel's clock is that of the timer interrupt, it can stand still for 10 ms, in a guest for longer. A
        /// wrong result costs two new events and loses nothing.
        const POLLS: u32 = 100;
        const PAUSE: Duration = Duration::from_millis(1);
        // The time of an active event increases.
        let before = self.event.running()?;
        for _ in 0..POLLS {
            if self.event.running()? > before {
                return Ok(true);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// Opens new events for those that died with their CPU. They write into the same ring, so no record in it is lost.
    /// The buffer does not change yet: any step that fails before the new events [take over](Buffer::replace_with) can
    /// be tried again.
    pub(crate) fn replacement(&self, options: &Options) -> Result<Replacement, Error> {
        let event = self.open_another(options)?;
        let mut lost = self.event.lost()?.unwrap_or(0);
        let silent = match &self.silent {
            Some(silent) => {
                lost = lost.wrapping_add(silent.event.lost()?.unwrap_or(0));
                Some(self.open_silent(options)?)
            }
            None => None,
        };
        Ok(Replacement { event, silent, lost })
    }

    /// Makes the new events this buffer's. Returns the former event.
    pub(crate) fn replace_with(&mut self, replacement: Replacement) -> Event {
        let Replacement { event, silent, lost } = replacement;
        self.lost_before = self.lost_before.wrapping_add(lost);
        self.silent = silent.map(SilentEvent::new);
        std::mem::replace(&mut self.event, event)
    }

    /// Returns the number of samples lost since the buffer was opened, and its source.
    ///
    /// The kernel's number is exact at this moment. The number from LOST records covers only those that were read.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        let silent = match &self.silent {
            Some(silent) => silent.event.lost()?,
            None => Some(0),
        };
        // The kernel counts losses for each event; LOST records count them for the ring.
        Ok(match (self.event.lost()?, silent) {
            (Some(lost), Some(silent)) => {
                Lost { samples: self.lost_before.wrapping_add(lost).wrapping_add(silent), source: LostSource::Kernel }
            }
            _ => Lost { samples: self.reader.lost_announced(), source: LostSource::Records },
        })
    }
}

impl AsFd for Buffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
