//! One CPU's buffer: the perf event, its pages, and what the kernel knows of its losses.

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

/// The perf buffer of one CPU, opened, mapped and enabled.
///
/// Its fd ([`AsFd`]) is what goes into the `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, under the CPU's number as key. Until
/// it does, programs on this CPU get ENOENT from `bpf_perf_event_output`. The kernel clears the slot when the map's fd
/// that set it is closed: keep that one open.
#[doc(alias = "PERF_COUNT_SW_BPF_OUTPUT")]
#[derive(Debug)]
pub struct Buffer {
    /// Unmapped before the event is closed.
    reader: Reader<Mapping>,
    event: Event,
    silent: Option<SilentEvent>,
    /// What events counted as lost that were replaced since.
    lost_before: u64,
    rival: Rival,
}

/// What is known of other readers of the same map.
#[derive(Clone, Copy, Debug, Default)]
struct Rival {
    /// Looking into the slot has found our event when it was just put there. Where it did not, looking tells nothing
    /// here.
    can_look: bool,
    /// Another reader's event was found in the slot.
    is_there: bool,
    /// And that was told.
    is_told: bool,
}

/// Whose event is in a CPU's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Ours,
    Nobody,
    Another,
    Unknown,
}

/// A second event that writes into the same ring and sends no wake-up: see `adaptive_reader.rs`.
#[derive(Debug)]
struct SilentEvent {
    event: Event,
    mode: WakeupMode,
    /// The slot holds the other one of the two, and has to be set.
    slot_is_due: bool,
}

impl SilentEvent {
    fn new(event: Event) -> Self {
        Self { event, mode: WakeupMode::new(Instant::now()), slot_is_due: false }
    }
}

/// Events for a buffer whose own died.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The one that belongs into the slot, and into epoll.
    event: Event,
    silent: Option<Event>,
    /// What the former ones counted as lost.
    lost: u64,
}

impl AsFd for Replacement {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// How many samples were lost, and who says so.
#[doc(alias("PERF_RECORD_LOST", "PERF_FORMAT_LOST"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Samples that found no room.
    pub samples: u64,
    /// Who counted them.
    pub source: LostSource,
}

/// Who counted the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostSource {
    /// The kernel (`PERF_FORMAT_LOST`, Linux 6.0): all of them, the last ones included.
    Kernel,
    /// The LOST records that were read: before Linux 6.0, where losses that no later record followed remain unknown.
    Records,
}

impl Buffer {
    /// Opens the buffer of `cpu` with a ring of `bytes` bytes: a power of two and a multiple of the page size. One page
    /// more is mapped for control.
    ///
    /// Needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or a `perf_event_paranoid` of 0 or less. Needs Linux 4.4.
    ///
    /// # Errors
    /// [`Error::InvalidSize`], [`Error::Denied`], [`Error::Offline`], [`Error::LockedMemory`], or [`Error::Syscall`]
    /// for what else perf_event_open(2), mmap(2) and ioctl(2) answer.
    #[doc(alias = "perf_event_open")]
    pub fn open(cpu: u32, bytes: u32, options: &Options) -> Result<Self, Error> {
        let pages = data_pages(bytes)?;
        let event = Event::open(cpu, options, Direction::Forward)?;
        let mapping = event.map(pages, true)?;
        let reader = Reader::new(mapping, options.timestamps).map_err(|corrupt| Error::Corrupt { cpu, corrupt })?;
        event.enable()?;
        Ok(Self { reader, event, silent: None, lost_before: 0, rival: Rival::default() })
    }

    /// Opens a second event beside the first: same CPU, same ring, no wake-ups but at half a ring.
    pub(crate) fn open_silent_event(&mut self, options: &Options) -> Result<(), Error> {
        self.silent = Some(SilentEvent::new(self.open_silent(options)?));
        Ok(())
    }

    /// An event that writes into the same ring.
    fn open_another(&self, options: &Options) -> Result<Event, Error> {
        let event = Event::open(self.cpu(), options, Direction::Forward)?;
        event.redirect_to(&self.event)?;
        event.enable()?;
        Ok(event)
    }

    fn open_silent(&self, options: &Options) -> Result<Event, Error> {
        self.open_another(&options.clone().wakeup(Wakeup::Events(0)))
    }

    /// The event that belongs into the CPU's slot now.
    pub(crate) fn in_slot(&self) -> BorrowedFd<'_> {
        match &self.silent {
            Some(silent) if silent.mode.is_silent() => silent.event.as_fd(),
            _ => self.event.as_fd(),
        }
    }

    /// When to look again at the latest, wake-up or not.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        self.silent.as_ref()?.mode.next_poll()
    }

    /// Calls `each` with every record that is there, until it breaks. Returns whether the map slot must be rewritten,
    /// because the rate crossed a threshold or an earlier rewrite failed, and what `each` broke with.
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
        silent.slot_is_due |= silent.mode.looked(records, now) != Switch::Stay;
        (silent.slot_is_due, flow)
    }

    /// Puts its event into the slot.
    pub(crate) fn connect(&mut self, slots: &impl EventArray) -> Result<(), Error> {
        let cpu = self.cpu();
        slots.set(cpu, self.in_slot()).map_err(|error| Error::slot(cpu, &error))?;
        self.rival = Rival { can_look: self.holder(slots)? == Holder::Ours, ..Rival::default() };
        Ok(())
    }

    /// Looks whether another reader has taken the slot, and takes it back if it is empty. Answers what there is to
    /// tell: a slot that is another's is told once.
    pub(crate) fn check_slot(&mut self, slots: &impl EventArray) -> Result<Option<Holder>, Error> {
        if !self.rival.can_look {
            return Ok(None);
        }
        let holder = self.holder(slots)?;
        match holder {
            Holder::Ours => self.rival = Rival { can_look: true, ..Rival::default() },
            Holder::Another => {
                self.rival.is_there = true;
                if !std::mem::replace(&mut self.rival.is_told, true) {
                    return Ok(Some(holder));
                }
            }
            Holder::Nobody => {
                self.connect(slots)?;
                return Ok(Some(holder));
            }
            Holder::Unknown => {}
        }
        Ok(None)
    }

    /// Tells whose event is in the slot, without disturbing it.
    ///
    /// Events are told apart by how long they have been enabled, a clock that runs in all of them alike: the one in the
    /// slot is read between two readings of ours, and is ours if it lies between those. Another one would have to be
    /// enabled within the same microseconds.
    fn holder(&self, slots: &impl EventArray) -> Result<Holder, Error> {
        let before = self.enabled()?;
        let since = before.into_iter().flatten().min().unwrap_or(0);
        // A CPU that went offline cannot be looked at, and a kernel that does not let us look is no reason to stop.
        let Ok(Some(slot)) = slots.query(self.cpu(), since) else { return Ok(Holder::Unknown) };
        Ok(match slot {
            Slot::Empty => Holder::Nobody,
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

    /// For how long its events have been enabled, in nanoseconds.
    fn enabled(&self) -> Result<[Option<u64>; 2], Error> {
        let silent = self.silent.as_ref().map(|silent| silent.event.enabled()).transpose()?;
        Ok([Some(self.event.enabled()?), silent])
    }

    /// Whether its slot was taken by another reader, found out before the waking event is put back there: a reader that
    /// sends nothing any more looks like a calm one, and to put it back would take the slot from the other reader in
    /// turn.
    pub(crate) fn has_lost_its_slot(&mut self, slots: &impl EventArray) -> Result<bool, Error> {
        let is_waking = self.silent.as_ref().is_some_and(|silent| !silent.mode.is_silent());
        if !self.rival.is_there && self.rival.can_look && is_waking {
            self.rival.is_there = self.holder(slots)? == Holder::Another;
        }
        Ok(self.rival.is_there)
    }

    /// What [`in_slot`](Buffer::in_slot) answers is in the slot.
    pub(crate) fn is_in_slot(&mut self) {
        if let Some(silent) = &mut self.silent {
            silent.slot_is_due = false;
        }
    }

    /// Calls `each` with every record that is there, until it breaks. Returns how many there were, and what it broke
    /// with.
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

    /// The number of its CPU, which is its key in the map.
    pub fn cpu(&self) -> u32 {
        self.event.cpu()
    }

    /// Opens a batch of the records that are there now: see [`Reader::batch`].
    ///
    /// # Errors
    /// [`Corrupt::Positions`].
    #[doc(alias = "perf_buffer__consume_buffer")]
    #[inline]
    pub fn batch(&mut self) -> Result<Batch<'_, Mapping>, Corrupt> {
        self.reader.batch()
    }

    /// The protocol beneath: fill, capacity, and the way on behind a corrupt record.
    pub fn reader(&self) -> &Reader<Mapping> {
        &self.reader
    }

    /// The same, to drain or to skip.
    pub fn reader_mut(&mut self) -> &mut Reader<Mapping> {
        &mut self.reader
    }

    /// Whether its event is active: false since its CPU went offline, also when that is back.
    pub(crate) fn is_alive(&self) -> Result<bool, Error> {
        /// Where the kernel's clock is that of the timer interrupt, it stands still for 10 ms, in a guest for longer.
        /// To be wrong costs two new events and loses nothing.
        const LOOKS: u32 = 100;
        const PAUSE: Duration = Duration::from_millis(1);
        // The clock of an active event runs.
        let before = self.event.running()?;
        for _ in 0..LOOKS {
            if self.event.running()? > before {
                return Ok(true);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// Opens new events for those that died with their CPU. They write into the same ring, so that nothing in there is
    /// lost. Changes nothing yet: whatever fails before they [take over](Buffer::replace_with) can be tried again.
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

    /// From now on they are this buffer's; the former event is given back.
    pub(crate) fn replace_with(&mut self, replacement: Replacement) -> Event {
        let Replacement { event, silent, lost } = replacement;
        self.lost_before = self.lost_before.wrapping_add(lost);
        self.silent = silent.map(SilentEvent::new);
        std::mem::replace(&mut self.event, event)
    }

    /// How many samples were lost since the buffer was opened, and who says so.
    ///
    /// The kernel's answer holds at this moment; that of the LOST records as far as they were read.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        let silent = match &self.silent {
            Some(silent) => silent.event.lost()?,
            None => Some(0),
        };
        // The kernel counts for each event, the LOST records for the ring.
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
