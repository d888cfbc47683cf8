//! Waits for all rings and perf event arrays of an object with one `Poller` of the loader, and drains them.
//!
//! Each wake-up drains every source, in the order of the maps, so a source that is always ready does not starve others.
//! Rings are also polled on a timer, because a program may submit with `BPF_RB_NO_WAKEUP`.

use std::time::Duration;

use cutaway::{
    Loaded, MapFlags, MapType, PerfEventArray, PollError, Poller, Source as Reader, Stopper, Token, Wake, mmap_ring,
    perf_reader::{self, AdaptiveReader, Corrupt, LostSource, Options},
};
use cutaway_recording::{self as recording, Entry};
use log::warn;

use super::losses::{OtherReaders, Reported};
use crate::{args::perf_buffer_size, error::CliError};

/// The readers of all buffers.
pub(crate) struct Buffers {
    sources: Vec<Source>,
    /// The names of the rings that are not read, because they overwrite their records.
    unread: Vec<String>,
    poller: Poller,
}

/// A ring or perf event array that is read.
pub(super) struct Source {
    /// The map's name.
    pub(super) name: String,
    token: Token,
    is_ring: bool,
    /// The size of a ring, or of each CPU's perf buffer, in bytes; 0 if no perf buffer is open.
    bytes: u64,
    /// The kind of buffer and its size, as text.
    kind: String,
    /// The `max_entries` that gives each CPU a slot; `None` if each CPU has one.
    required_slots: Option<u32>,
    other_readers: OtherReaders,
}

/// A record in its buffer.
pub(crate) struct Record<'r> {
    /// The index of its source.
    pub(super) source: usize,
    /// The CPU that sent it, if it comes from a perf buffer.
    pub(super) cpu: Option<u32>,
    /// When it was sent, in nanoseconds of `CLOCK_MONOTONIC`, if it comes from a perf buffer.
    pub(super) time_ns: Option<u64>,
    pub(super) bytes: &'r [u8],
}

impl<'r> Record<'r> {
    /// Returns the entry of a recording.
    pub(super) fn entry(&self) -> Entry<'r> {
        let &Self { source, cpu, time_ns, bytes } = self;
        Entry::Record(recording::Record { buffer: source as u32, cpu, time_ns, label: None, bytes })
    }
}

impl Buffers {
    /// Opens every ring and perf event array. `bytes` is the size of each CPU's perf buffer.
    pub(crate) fn open(loaded: &Loaded, bytes: u32) -> Result<Self, CliError> {
        let mut buffers = Self { sources: Vec::new(), unread: Vec::new(), poller: Poller::new()? };
        for map in loaded.maps() {
            match map.map_type() {
                // In overwrite mode records cannot be borrowed, and only those not yet overwritten are left.
                MapType::RINGBUF if map.flags().contains(MapFlags::RB_OVERWRITE) => {
                    let name = map.name();
                    buffers.unread.push(name.to_owned());
                    warn!(
                        "the ring `{name}` overwrites its oldest records and is not read: `cutaway peek --name {name}` shows it"
                    );
                }
                MapType::RINGBUF => {
                    let ring = map.ring()?;
                    let bytes = ring.capacity();
                    let kind = format!("ring, {bytes} bytes");
                    let token = buffers.poller.add_ring(ring)?;
                    buffers.push(map.name(), token, true, (kind, bytes), None);
                }
                MapType::PERF_EVENT_ARRAY => {
                    let stream = map.perf_buffers(perf_buffer_size(bytes), &Options::new().timestamps(true))?;
                    let required_slots = stream.set().without_slot().iter().max().map(|last| last.saturating_add(1));
                    let kind =
                        (kind(&stream), stream.set().iter().next().map_or(0, |one| one.reader().capacity() as u64));
                    let token = buffers.poller.add_perf(stream)?;
                    buffers.push(map.name(), token, false, kind, required_slots);
                }
                _ => {}
            }
        }
        Ok(buffers)
    }

    fn push(
        &mut self,
        name: &str,
        token: Token,
        is_ring: bool,
        (kind, bytes): (String, u64),
        required_slots: Option<u32>,
    ) {
        let name = name.to_owned();
        let other_readers = OtherReaders::default();
        self.sources.push(Source { name, token, is_ring, bytes, kind, required_slots, other_readers });
    }

    /// Returns a handle that ends waits.
    pub(crate) fn stopper(&self) -> Stopper {
        self.poller.stopper()
    }

    /// Returns the names of the rings that are not read.
    pub(super) fn unread(&self) -> &[String] {
        &self.unread
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Sleeps until a source may have records, the stopper is used, or the timeout expires.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, CliError> {
        let wake = self.poller.wait(timeout).map_err(|error| self.failure(error))?;
        for source in &mut self.sources {
            source.other_readers.report(&source.name, &self.poller.take_changes(source.token));
        }
        Ok(wake)
    }

    /// Makes an error that names its source.
    fn failure(&self, error: PollError) -> CliError {
        let source = self.sources.iter().find(|source| Some(source.token) == error.token);
        match (source, error.error) {
            (Some(source), cutaway::Error::Ring(error)) => of_ring(&source.name, error),
            (_, error) => error.into(),
        }
    }

    /// Passes every available record to `each`, until `each` returns false. Returns the number of corrupt records that
    /// were skipped. Once `each` returns false, later records stay in a ring, and those of a perf buffer are dropped.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&Record<'_>) -> bool) -> Result<u64, CliError> {
        let (mut unreadable, mut more) = (0, true);
        for (index, source) in self.sources.iter().enumerate() {
            match self.poller.source_mut(source.token) {
                Some(Reader::Ring(ring)) => {
                    let mut batch = ring.batch().map_err(|error| of_ring(&source.name, error))?;
                    let mut records = batch.records();
                    while more && let Some(bytes) = records.next() {
                        more = each(&Record { source: index, cpu: None, time_ns: None, bytes });
                    }
                    drop(records);
                    drop(batch);
                    // Fails if another reader has read the same records, also after the last batch.
                    ring.prepare_wait().map_err(|error| of_ring(&source.name, error))?;
                }
                Some(Reader::Perf(stream)) => {
                    let (mut scratch, mut broken_cpus) = (Vec::new(), Vec::new());
                    let drained = stream.drain(|cpu, record| match record {
                        _ if !more => {}
                        Ok(perf_reader::Record::Sample(sample)) => {
                            let bytes = sample.padded().contiguous(&mut scratch);
                            more = each(&Record { source: index, cpu: Some(cpu), time_ns: sample.time(), bytes });
                        }
                        // The losses are read at the end.
                        Ok(_) => {}
                        // The reader drains again when it changes its wake-ups, and then meets the same record.
                        Err(_) if broken_cpus.contains(&cpu) => {}
                        Err(corrupt) => {
                            warn!("`{}`, CPU {cpu}: {corrupt}", source.name);
                            unreadable += 1;
                            if !matches!(corrupt, Corrupt::Content { .. }) {
                                broken_cpus.push(cpu);
                            }
                        }
                    });
                    drained.map_err(cutaway::Error::from)?;
                    // The records after a corrupt one cannot be found, but those that are sent from now on can.
                    for cpu in broken_cpus {
                        stream.skip_to_head(cpu);
                        warn!("`{}`, CPU {cpu}: its unread records are skipped, to read later ones", source.name);
                    }
                }
                // No other kind of source is added.
                _ => {}
            }
        }
        Ok(unreadable)
    }

    /// Returns the losses of each source that the kernel reports, in the order of the sources; `None` for a ring.
    pub(super) fn reported(&self) -> Result<Vec<Option<Reported>>, CliError> {
        let reported = |source: &Source| match self.poller.source(source.token) {
            Some(Reader::Perf(stream)) => source.reported(stream).map(Some),
            // A full ring refuses a record before it is sent: only the program sees that.
            _ => Ok(None),
        };
        self.sources.iter().map(reported).collect()
    }
}

impl Source {
    /// Returns the losses of its perf buffers that the kernel reports.
    fn reported(&self, stream: &AdaptiveReader<PerfEventArray>) -> Result<Reported, CliError> {
        let lost = stream.lost().map_err(cutaway::Error::from)?;
        let unreported = if lost.source != LostSource::Kernel {
            Some("before Linux 6.0 the kernel does not report the last ones")
        } else if !stream.set().without_slot().is_empty() {
            Some("records of CPUs without a slot are not counted")
        } else {
            None
        };
        Ok(Reported { lost: lost.samples, unreported, other_reader: self.other_readers.were_found() })
    }

    /// Returns the `max_entries` that gives each CPU a slot; `None` if each CPU has one.
    pub(super) fn required_slots(&self) -> Option<u32> {
        self.required_slots
    }

    /// Returns the size of a ring, or of each CPU's perf buffer, in bytes; 0 if no perf buffer is open.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns whether it is a ring.
    pub(super) fn is_ring(&self) -> bool {
        self.is_ring
    }

    /// Returns the kind of buffer and its size, as text.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns whether its records are padded (`perf_prepare_sample`).
    pub(super) fn is_padded(&self) -> bool {
        !self.is_ring
    }
}

fn kind(stream: &AdaptiveReader<PerfEventArray>) -> String {
    match stream.set().iter().next() {
        Some(buffer) => {
            format!("perf buffer, {} bytes on each of {} CPUs", buffer.reader().capacity(), stream.set().len())
        }
        None => "perf buffer".to_owned(),
    }
}

/// Makes an error of a ring that names it. `cutaway peek` lists a ring's other readers.
fn of_ring(name: &str, error: mmap_ring::Error) -> CliError {
    let is_shared = matches!(error, mmap_ring::Error::Corrupt(mmap_ring::Corrupt::Consumer { .. }));
    let failure = CliError::new(format!("`{name}`: {}", cutaway::Error::from(error)));
    if is_shared { failure.advise("`cutaway peek` lists the processes that hold it") } else { failure }
}
