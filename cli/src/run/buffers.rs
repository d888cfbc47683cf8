//! All rings and perf event arrays of an object, in one wait.
//!
//! ```text
//!     ring `events` ──┐
//!     ring `more` ────┼──▶ one epoll instance ──▶ whoever is ready is read, and whoever else has something
//!     perf `samples` ─┤         ▲
//!     (its own epoll  │         └── a stop: an eventfd that a signal writes to
//!      of all CPUs) ──┘
//! ```
//!
//! A ring is watched for edges: each settles before the sleep (`Ring::prepare_wait`), so that a wake-up is sent for whatever comes
//! after it, unless its program sends with `BPF_RB_NO_WAKEUP`. Flags can be worked out by the program, so every ring is
//! also looked at on a timer: each [`LOOK`] at the latest, and more often, down to [`LOOK_LEAST`], while such looks
//! find something. A perf buffer's readiness is said once, by its own epoll; and while its CPUs are busy it says
//! nothing, but wants to be looked at (`AdaptiveReader::next_poll`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cutaway::{
    Errno, Loaded, MapFlags, MapType, PerfEventArray,
    mmap_ring::{self, Head, Ring},
    perf_reader::{self, AdaptiveReader, Corrupt, LostSource, Options},
};
use log::{info, warn};
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno as Raw,
};

use super::losses::{Losses, Rivals};
use crate::failure::Failure;

/// How often CPUs that came or went are looked for.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a record may wait that woke nobody.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at rings in which the last look has found something.
const LOOK_LEAST: Duration = Duration::from_millis(1);
/// The first and the longest sleep behind a record that is reserved and not committed.
const BUSY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// The stop's name in epoll; sources have their places.
const STOP: u64 = u64::MAX;

/// All that is read.
pub(super) struct Buffers {
    sources: Vec<Source>,
    epoll: OwnedFd,
    stop: Stop,
    pause: Duration,
    refreshed: Instant,
    /// Until the next look at the rings, wake-up or not.
    look: Duration,
    /// The last sleep ended without a wake-up.
    timed_out: bool,
}

/// One map that events come from.
pub(super) struct Source {
    /// The map's name.
    pub(super) name: String,
    reader: Reader,
    rivals: Rivals,
}

enum Reader {
    Ring(Ring),
    Perf(AdaptiveReader<PerfEventArray>),
}

/// A record as it lies in the buffer.
pub(super) struct Record<'r> {
    /// The place of its source.
    pub(super) source: usize,
    /// The CPU that sent it, if it comes from a perf buffer.
    pub(super) cpu: Option<u32>,
    /// When it was sent, likewise, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) time_ns: Option<u64>,
    pub(super) bytes: &'r [u8],
}

/// Ends the wait from another thread.
#[derive(Clone)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    event: Arc<OwnedFd>,
}

impl Stop {
    pub(super) fn stop(&self) {
        // ATOMICS: pairs with the load in `is_stopped`; nothing but the flag passes from thread to thread.
        self.flag.store(true, Ordering::Relaxed);
        let answer = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        log::trace!(
            target: "syscall",
            syscall = "write",
            fd = self.event.as_raw_fd(),
            count = 8,
            answer:% = Answer(&answer.map(|count| count as i64));
            "ends the wait: the thread that sleeps sees the event"
        );
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

impl Buffers {
    /// Opens every ring and perf event array; `bytes` are those of one CPU's perf buffer.
    pub(super) fn open(loaded: &Loaded, bytes: u32) -> Result<Self, Failure> {
        let failed = |error: Raw| Failure::system("make something to wait on", &error.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        log::trace!(
            target: "syscall",
            syscall = "epoll_create1",
            flags = "EPOLL_CLOEXEC",
            answer:% = Answer(&descriptor(&epoll));
            "makes one thing to wait on for all buffers and for the end"
        );
        let epoll = epoll.map_err(failed)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        log::trace!(
            target: "syscall",
            syscall = "eventfd2",
            count = 0,
            flags = "EFD_CLOEXEC|EFD_NONBLOCK",
            answer:% = Answer(&descriptor(&event));
            "makes the event by which a signal ends the wait"
        );
        let event = event.map_err(failed)?;
        let stop = Stop { flag: Arc::default(), event: Arc::new(event) };
        let mut buffers = Self {
            sources: Vec::new(),
            epoll,
            stop,
            pause: BUSY.0,
            refreshed: Instant::now(),
            look: LOOK,
            timed_out: false,
        };
        buffers.watch(&buffers.stop.event, STOP, false, "lets a signal end the wait")?;
        for map in loaded.maps() {
            let reader = match map.map_type() {
                // Nothing can be borrowed from it, and what it holds is what nobody has overwritten yet.
                MapType::RINGBUF if map.flags().contains(MapFlags::RB_OVERWRITE) => {
                    let name = map.name();
                    warn!(
                        "the ring `{name}` overwrites its oldest records and is not read: `cutaway peek --name {name}` looks at it"
                    );
                    continue;
                }
                MapType::RINGBUF => Reader::Ring(map.ring()?),
                MapType::PERF_EVENT_ARRAY => {
                    Reader::Perf(map.perf_buffers(rounded(bytes), &Options::new().timestamps(true))?)
                }
                _ => continue,
            };
            let place = buffers.sources.len() as u64;
            match &reader {
                Reader::Ring(ring) => buffers.watch(ring, place, true, "asks to be told of the ring's wake-ups")?,
                Reader::Perf(stream) => {
                    buffers.watch(stream, place, false, "asks to be told when a CPU's buffer has something")?;
                }
            }
            buffers.sources.push(Source { name: map.name().to_owned(), reader, rivals: Rivals::default() });
        }
        Ok(buffers)
    }

    fn watch(&self, fd: &impl AsFd, place: u64, edges: bool, why: &str) -> Result<(), Failure> {
        let flags = if edges { epoll::EventFlags::IN | epoll::EventFlags::ET } else { epoll::EventFlags::IN };
        let answer = epoll::add(&self.epoll, fd, epoll::EventData::new_u64(place), flags);
        log::trace!(
            target: "syscall",
            syscall = "epoll_ctl",
            epfd = self.epoll.as_raw_fd(),
            op = "EPOLL_CTL_ADD",
            fd = fd.as_fd().as_raw_fd(),
            events = if edges { "EPOLLIN|EPOLLET" } else { "EPOLLIN" },
            data = place,
            answer:% = Answer(&answer.map(|()| 0));
            "{why}"
        );
        answer.map_err(|error| Failure::system("wait for a buffer", &error.into()))
    }

    /// Something to end waits with.
    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Sleeps until there may be something to read, it is stopped, or the time is up.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        let Some(limit) = self.settle(timeout)? else {
            self.timed_out = false;
            return Ok(());
        };
        // In whole milliseconds, rounded up: a sleep that is too short would be made up for by spinning.
        let limit = limit.map(|limit| {
            Duration::from_millis(u64::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
        });
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(16);
        let answer = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref());
        log::trace!(
            target: "syscall",
            syscall = "epoll_pwait",
            epfd = self.epoll.as_raw_fd(),
            maxevents = 16,
            timeout = limit.map_or(-1, |limit| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)),
            answer:% = Answer(&answer.map(|count| count as i64));
            "sleeps until a buffer has something, or it is time to look"
        );
        match answer {
            Ok(ready) => self.timed_out = ready == 0,
            Err(Raw::INTR) => self.timed_out = false,
            Err(error) => return Err(Failure::system("wait for events", &error.into())),
        }
        if self.refreshed.elapsed() >= REFRESH {
            self.refreshed = Instant::now();
            for source in &mut self.sources {
                if let Reader::Perf(stream) = &mut source.reader {
                    let changes = stream.refresh().map_err(cutaway::Error::from)?;
                    source.rivals.tell(&source.name, &changes);
                }
            }
        }
        Ok(())
    }

    /// Makes every ring ready for a sleep, and says how long that may be; `None` if there is something to read.
    fn settle(&mut self, timeout: Option<Duration>) -> Result<Option<Option<Duration>>, Failure> {
        let mut limit = timeout;
        let look = self.look;
        let mut shorten = |by: Duration| limit = Some(limit.map_or(by, |limit| limit.min(by)));
        let mut busy = false;
        for source in &mut self.sources {
            match &mut source.reader {
                Reader::Ring(ring) => {
                    match ring.prepare_wait().map_err(|error| of_ring(&source.name, error))? {
                        Head::Ready => return Ok(None),
                        Head::Busy => busy = true,
                        Head::Empty => {}
                    }
                    shorten(look);
                }
                Reader::Perf(stream) => {
                    shorten(REFRESH);
                    if let Some(at) = stream.next_poll() {
                        shorten(at.saturating_duration_since(Instant::now()));
                    }
                }
            }
        }
        if busy {
            shorten(self.pause);
            self.pause = BUSY.1.min(self.pause * 2);
        } else {
            self.pause = BUSY.0;
        }
        Ok(Some(limit))
    }

    /// Hands every record that is there now to `each`, until that says `false`; gives the number of those that could not be
    /// read. What is behind the last one that was wanted stays in a ring; of a perf buffer it is gone.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&Record<'_>) -> bool) -> Result<u64, Failure> {
        let (mut unreadable, mut more, mut in_rings) = (0, true, false);
        for (place, source) in self.sources.iter_mut().enumerate() {
            match &mut source.reader {
                Reader::Ring(ring) => {
                    let mut batch = ring.batch().map_err(|error| of_ring(&source.name, error))?;
                    let mut records = batch.records();
                    while more && let Some(bytes) = records.next() {
                        in_rings = true;
                        more = each(&Record { source: place, cpu: None, time_ns: None, bytes });
                    }
                    drop(records);
                    drop(batch);
                    // Says whether another reader has read the same records, also after the last batch.
                    ring.prepare_wait().map_err(|error| of_ring(&source.name, error))?;
                }
                Reader::Perf(stream) => {
                    let (mut scratch, mut dead_ends) = (Vec::new(), Vec::new());
                    let drained = stream.drain(|cpu, record| match record {
                        _ if !more => {}
                        Ok(perf_reader::Record::Sample(sample)) => {
                            let bytes = sample.padded().contiguous(&mut scratch);
                            more = each(&Record { source: place, cpu: Some(cpu), time_ns: sample.time(), bytes });
                        }
                        // Losses are counted at the end.
                        Ok(_) => {}
                        // A drain that changes its pace looks at such a place once more.
                        Err(_) if dead_ends.contains(&cpu) => {}
                        Err(corrupt) => {
                            warn!("`{}`, CPU {cpu}: {corrupt}", source.name);
                            unreadable += 1;
                            if !matches!(corrupt, Corrupt::Content { .. }) {
                                dead_ends.push(cpu);
                            }
                        }
                    });
                    drained.map_err(cutaway::Error::from)?;
                    // What lies behind such a place cannot be found, now or later; what is sent from now on can.
                    for cpu in dead_ends {
                        stream.skip_to_head(cpu);
                        warn!("`{}`, CPU {cpu}: what waits there is given up, to go on behind it", source.name);
                    }
                }
            }
        }
        if std::mem::take(&mut self.timed_out) {
            self.look = if in_rings { LOOK_LEAST.max(self.look / 4) } else { LOOK.min(self.look * 2) };
        }
        Ok(unreadable)
    }

    /// What every source had no room for, in their order.
    pub(super) fn lost(&self) -> Result<Vec<Losses>, Failure> {
        self.sources.iter().map(Source::lost).collect()
    }
}

impl Source {
    /// What it had no room for. A ring refuses what has no room before it is sent: that is for its programs to count.
    fn lost(&self) -> Result<Losses, Failure> {
        let Reader::Perf(stream) = &self.reader else { return Ok(Losses::Unknown) };
        let lost = stream.lost().map_err(cutaway::Error::from)?;
        Ok(if lost.source != LostSource::Kernel {
            Losses::AtLeast(lost.samples, "before Linux 6.0 the kernel does not tell of the last ones")
        } else if !stream.set().without_slot().is_empty() {
            Losses::AtLeast(lost.samples, "what the CPUs without a slot could not send is not counted")
        } else if self.rivals.were_there() {
            Losses::AtLeast(lost.samples, "what went to another reader is not among them")
        } else {
            Losses::Exactly(lost.samples)
        })
    }

    /// What `max_entries` must be for each CPU to have a slot; `None` if each has one.
    pub(super) fn wants_slots(&self) -> Option<u32> {
        let Reader::Perf(stream) = &self.reader else { return None };
        stream.set().without_slot().iter().max().map(|last| last.saturating_add(1))
    }

    /// Whether it is a ring.
    pub(super) fn is_ring(&self) -> bool {
        matches!(self.reader, Reader::Ring(_))
    }

    /// What it is, with its size.
    pub(super) fn kind(&self) -> String {
        match &self.reader {
            Reader::Ring(ring) => format!("ring, {} bytes", ring.capacity()),
            Reader::Perf(stream) => match stream.set().iter().next() {
                Some(buffer) => {
                    format!("perf buffer, {} bytes on each of {} CPUs", buffer.reader().capacity(), stream.set().len())
                }
                None => "perf buffer".to_owned(),
            },
        }
    }

    /// Whether its records are padded.
    pub(super) fn is_padded(&self) -> bool {
        matches!(self.reader, Reader::Perf(_))
    }
}

/// An error of one of several rings. `cutaway peek` shows who else has it.
fn of_ring(name: &str, error: mmap_ring::Error) -> Failure {
    let is_shared = matches!(error, mmap_ring::Error::Corrupt(mmap_ring::Corrupt::Consumer { .. }));
    let failure = Failure::new(format!("`{name}`: {}", cutaway::Error::from(error)));
    if is_shared { failure.advise("`cutaway peek` lists the processes that hold it") } else { failure }
}

/// Returns the size of a perf buffer of at least so many bytes: a power of two of pages.
fn rounded(bytes: u32) -> u32 {
    let page = rustix::param::page_size() as u32;
    let size = bytes.max(page).checked_next_power_of_two().unwrap_or(bytes);
    if size != bytes {
        info!("each CPU's perf buffer gets {size} bytes instead of {bytes}: a power of two of pages");
    }
    size
}

/// A call's answer as it is reported.
struct Answer<'a>(&'a Result<i64, Raw>);

impl std::fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value}"),
            Err(errno) => write!(f, "-1 {}", Errno::of(&io::Error::from(*errno))),
        }
    }
}

fn descriptor(answer: &Result<OwnedFd, Raw>) -> Result<i64, Raw> {
    match answer {
        Ok(fd) => Ok(fd.as_raw_fd().into()),
        Err(errno) => Err(*errno),
    }
}
