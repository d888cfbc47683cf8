//! The buffer of one CPU: the perf event, its pages, and its losses.

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
/// The buffer belongs to a perf event, the kernel object of perf_event_open(2). The caller puts the event's fd
/// ([`AsFd`]) into the program's `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, with the CPU's id as key. Until then,
/// `bpf_perf_event_output` fails with ENOENT on this CPU.
///
/// The kernel clears the slot when the map fd that set it is closed with all its duplicates, unless the map has
/// `BPF_F_PRESERVE_ELEMS`. So keep this map fd open.
#[doc(alias = "PERF_COUNT_SW_BPF_OUTPUT")]
#[derive(Debug)]
pub struct Buffer {
    /// The reader of the pages. It is dropped before the event, so that the pages are unmapped before the event is
    /// closed.
    reader: Reader<Mapping>,
    /// The waking event. It owns the ring, and epoll watches it.
    event: Event,
    silent: Option<SilentEvent>,
    /// The losses that earlier events of this buffer counted, before they were replaced.
    lost_before: u64,
    slot: SlotState,
}

/// The result of the queries of this buffer's map slot. Another reader of the same map may have taken the slot.
#[derive(Clone, Copy, Debug, Default)]
struct SlotState {
    /// True if a query, made right after the slot was set, found this buffer's event in the slot. If false, the query
    /// does not work for this slot, and later results are not used.
    can_query: bool,
    /// Whether a query found another reader's event in the slot.
    is_taken: bool,
    /// Whether the other reader was reported to the caller.
    is_reported: bool,
}

/// The owner of the perf event in a CPU's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Ours,
    Empty,
    Another,
    Unknown,
}

/// A second perf event that writes into the same ring and sends no wake-up for a record: see `adaptive_reader.rs`.
#[derive(Debug)]
struct SilentEvent {
    event: Event,
    mode: WakeupMode,
    /// Whether the slot must be set, because it does not hold the event that `mode` requires.
    slot_is_due: bool,
}

impl SilentEvent {
    fn new(event: Event) -> Self {
        Self { event, mode: WakeupMode::new(Instant::now()), slot_is_due: false }
    }
}

/// New perf events for a buffer. Its own events became inactive when its CPU went offline.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The new waking event, for the slot and for epoll.
    event: Event,
    silent: Option<Event>,
    /// The losses that the inactive events counted.
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
    /// The number of samples that the kernel dropped because they did not fit in the buffer.
    pub samples: u64,
    /// The source of the number.
    pub source: LostSource,
}

/// The source of the number of lost samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostSource {
    /// The kernel's counter (`PERF_FORMAT_LOST`, since Linux 6.0). It counts all losses.
    Kernel,
    /// The LOST records that were read (before Linux 6.0). Losses after the last LOST record that was read are not
    /// counted.
    Records,
}

impl Buffer {
    /// Opens the buffer of `cpu` with a ring of `bytes` bytes: a power of two and a multiple of the page size. The
    /// mapping has one more page, the control page.
    ///
    /// Needs Linux 4.4, and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8) or a `perf_event_paranoid` of 0 or less.
    ///
    /// # Errors
    /// - [`Error::InvalidSize`] if `bytes` is not a power of two or not a multiple of the page size.
    /// - [`Error::Denied`] if the privilege is missing (EACCES, EPERM).
    /// - [`Error::Offline`] if the CPU is offline (ENODEV) or does not exist (EINVAL).
    /// - [`Error::LockedMemory`] if the user may not lock so many pages.
    /// - [`Error::Corrupt`] if the mapped pages are not perf pages.
    /// - [`Error::Syscall`] for other errors of perf_event_open(2), mmap(2) and ioctl(2).
    #[doc(alias = "perf_event_open")]
    pub fn open(cpu: u32, bytes: u32, options: &Options) -> Result<Self, Error> {
        let pages = data_pages(bytes)?;
        let event = Event::open(cpu, options, Direction::Forward)?;
        let mapping = event.map(pages, true)?;
        let reader = Reader::new(mapping, options.timestamps).map_err(|corrupt| Error::Corrupt { cpu, corrupt })?;
        event.enable()?;
        Ok(Self { reader, event, silent: None, lost_before: 0, slot: SlotState::default() })
    }

    /// Opens a second event for the same CPU and ring, beside the waking event. The second event sends one wake-up for
    /// each half ring of bytes that programs write.
    pub(crate) fn open_silent_event(&mut self, options: &Options) -> Result<(), Error> {
        self.silent = Some(SilentEvent::new(self.open_silent(options)?));
        Ok(())
    }

    /// Opens an event that writes into this buffer's ring.
    fn open_another(&self, options: &Options) -> Result<Event, Error> {
        let event = Event::open(self.cpu(), options, Direction::Forward)?;
        event.redirect_to(&self.event)?;
        event.enable()?;
        Ok(event)
    }

    fn open_silent(&self, options: &Options) -> Result<Event, Error> {
        self.open_another(&options.clone().wakeup(Wakeup::Events(0)))
    }

    /// Returns the event that the CPU's slot must hold now.
    pub(crate) fn in_slot(&self) -> BorrowedFd<'_> {
        match &self.silent {
            Some(silent) if silent.mode.is_silent() => silent.event.as_fd(),
            _ => self.event.as_fd(),
        }
    }

    /// Returns the time by which this buffer must be polled, even if no wake-up comes.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        self.silent.as_ref()?.mode.next_poll()
    }

    /// Calls `each` with every complete record, until `each` returns `Break`. Returns whether the slot must be set, and
    /// the last result of `each`. The slot must be set if the rate crossed a threshold, or if setting it failed before.
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

    /// Puts this buffer's event into the CPU's slot.
    pub(crate) fn connect(&mut self, slots: &impl EventArray) -> Result<(), Error> {
        let cpu = self.cpu();
        slots.set(cpu, self.in_slot()).map_err(|error| Error::slot(cpu, &error))?;
        self.slot = SlotState { can_query: self.holder(slots)? == Holder::Ours, ..SlotState::default() };
        Ok(())
    }

    /// Checks whether another reader has taken the slot. Takes the slot back if it is empty. Returns the holder if the
    /// caller must report it. A slot that another reader holds is reported once.
    pub(crate) fn check_slot(&mut self, slots: &impl EventArray) -> Result<Option<Holder>, Error> {
        if !self.slot.can_query {
            return Ok(None);
        }
        let holder = self.holder(slots)?;
        match holder {
            Holder::Ours => self.slot = SlotState { can_query: true, ..SlotState::default() },
            Holder::Another => {
                self.slot.is_taken = true;
                if !std::mem::replace(&mut self.slot.is_reported, true) {
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

    /// Returns the owner of the event in the slot, without changing the slot.
    ///
    /// The kernel counts how long each event has been enabled. Two events that were enabled at different times have
    /// different counts, so the count identifies an event. This method reads the count of this buffer's event, then the
    /// count of the event in the slot, then the count of this buffer's event again. If the slot's count is between the
    /// other two, the slot holds this buffer's event. Another event passes this test only if it was enabled within the
    /// same microseconds.
    fn holder(&self, slots: &impl EventArray) -> Result<Holder, Error> {
        let before = self.enabled()?;
        let since = before.into_iter().flatten().min().unwrap_or(0);
        // The query fails for an offline CPU, and on kernels without support for it. The holder is then unknown.
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

    /// Returns how long the waking and the silent event have been enabled, in nanoseconds.
    fn enabled(&self) -> Result<[Option<u64>; 2], Error> {
        let silent = self.silent.as_ref().map(|silent| silent.event.enabled()).transpose()?;
        Ok([Some(self.event.enabled()?), silent])
    }

    /// Returns whether another reader has taken this buffer's slot. The caller checks this before it puts the waking
    /// event back. A buffer whose slot was taken gets no records, so it seems to be idle. Putting the waking event back
    /// would take the slot from the other reader.
    pub(crate) fn has_lost_its_slot(&mut self, slots: &impl EventArray) -> Result<bool, Error> {
        let is_waking = self.silent.as_ref().is_some_and(|silent| !silent.mode.is_silent());
        if !self.slot.is_taken && self.slot.can_query && is_waking {
            self.slot.is_taken = self.holder(slots)? == Holder::Another;
        }
        Ok(self.slot.is_taken)
    }

    /// Notes that the slot need not be set: it holds the event that [`in_slot`](Buffer::in_slot) returns, or another
    /// reader has taken it.
    pub(crate) fn note_slot_is_set(&mut self) {
        if let Some(silent) = &mut self.silent {
            silent.slot_is_due = false;
        }
    }

    /// Calls `each` with every complete record, until `each` returns `Break`. Returns the number of records, and the
    /// last result of `each`.
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
    /// [`Corrupt::Positions`], as [`Reader::batch`].
    #[doc(alias = "perf_buffer__consume_buffer")]
    #[inline]
    pub fn batch(&mut self) -> Result<Batch<'_, Mapping>, Corrupt> {
        self.reader.batch()
    }

    /// Returns the reader of the buffer's pages, for example to query its fill and its capacity.
    pub fn reader(&self) -> &Reader<Mapping> {
        &self.reader
    }

    /// Returns the reader of the buffer's pages, to drain it, or to skip a corrupt record.
    pub fn reader_mut(&mut self) -> &mut Reader<Mapping> {
        &mut self.reader
    }

    /// Returns whether the buffer's event is active. An event becomes inactive when its CPU goes offline, and stays
    /// inactive when the CPU comes online again.
    pub(crate) fn is_active(&self) -> Result<bool, Error> {
        /// On machines without a precise `sched_clock`, the timer interrupt advances the event's time. The time can
        /// then stand still for 10 ms, and longer in a virtual machine. A wrong result costs two new events and loses
        /// nothing.
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

    /// Opens new events for a buffer whose events became inactive. The new events write into the same ring, so no
    /// record in the ring is lost. The buffer does not change before [`replace_with`](Buffer::replace_with), so a
    /// replacement that failed can be tried again.
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

    /// Replaces this buffer's events by the new ones. Returns the former waking event.
    pub(crate) fn replace_with(&mut self, replacement: Replacement) -> Event {
        let Replacement { event, silent, lost } = replacement;
        self.lost_before = self.lost_before.wrapping_add(lost);
        self.silent = silent.map(SilentEvent::new);
        std::mem::replace(&mut self.event, event)
    }

    /// Returns the number of samples that were lost since the buffer was opened, and the source of the number.
    ///
    /// The kernel's number is exact at this moment. The number from LOST records covers only the LOST records that were
    /// read so far.
    ///
    /// # Errors
    /// [`Error::Syscall`] if read(2) fails.
    pub fn lost(&self) -> Result<Lost, Error> {
        let silent = match &self.silent {
            Some(silent) => silent.event.lost()?,
            None => Some(0),
        };
        // The kernel counts losses for each event. LOST records count the losses of the ring.
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
