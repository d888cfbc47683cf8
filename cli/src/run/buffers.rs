//! All rings and perf event arrays of an object, in one wait: the loader's `Poller`.
//!
//! Each time that something is ready, every source is drained, in the order of the maps: a source that is always ready
//! keeps no other from being read. Rings are also looked at on a timer, since a program can send with
//! `BPF_RB_NO_WAKEUP`.

use std::time::Duration;

use cutaway::{
    Loaded, MapFlags, MapType, PerfEventArray, PollError, Poller, Source as Reader, Stopper, Token, Wake, mmap_ring,
    perf_reader::{self, AdaptiveReader, Corrupt, LostSource, Options},
};
use log::warn;

use super::losses::{Losses, Rivals};
use crate::{args::perf_buffer_size, error::CliError};

/// All that is read.
pub(super) struct Buffers {
    sources: Vec<Source>,
    poller: Poller,
}

/// One map that events come from.
pub(super) struct Source {
    /// The map's name.
    pub(super) name: String,
    token: Token,
    is_ring: bool,
    /// What it is, with its size.
    kind: String,
    /// What `max_entries` must be for each CPU to have a slot, if some have none.
    wants_slots: Option<u32>,
    rivals: Rivals,
}

/// A record as it lies in the buffer.
pub(super) struct Record<'r> {
    /// The index of its source.
    pub(super) source: usize,
    /// The CPU that sent it, if it comes from a perf buffer.
    pub(super) cpu: Option<u32>,
    /// When it was sent, likewise, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) time_ns: Option<u64>,
    pub(super) bytes: &'r [u8],
}

impl Buffers {
    /// Opens every ring and perf event array; `bytes` are those of one CPU's perf buffer.
    pub(super) fn open(loaded: &Loaded, bytes: u32) -> Result<Self, CliError> {
        let mut buffers = Self { sources: Vec::new(), poller: Poller::new()? };
        for map in loaded.maps() {
            match map.map_type() {
                // Nothing can be borrowed from it, and it holds only what is not overwritten yet.
                MapType::RINGBUF if map.flags().contains(MapFlags::RB_OVERWRITE) => {
                    let name = map.name();
                    warn!(
                        "the ring `{name}` overwrites its oldest records and is not read: `cutaway peek --name {name}` looks at it"
                    );
                }
                MapType::RINGBUF => {
                    let ring = map.ring()?;
                    let kind = format!("ring, {} bytes", ring.capacity());
                    let token = buffers.poller.add_ring(ring)?;
                    buffers.push(map.name(), token, true, kind, None);
                }
                MapType::PERF_EVENT_ARRAY => {
                    let stream = map.perf_buffers(perf_buffer_size(bytes), &Options::new().timestamps(true))?;
                    let wants_slots = stream.set().without_slot().iter().max().map(|last| last.saturating_add(1));
                    let kind = kind(&stream);
                    let token = buffers.poller.add_perf(stream)?;
                    buffers.push(map.name(), token, false, kind, wants_slots);
                }
                _ => {}
            }
        }
        Ok(buffers)
    }

    fn push(&mut self, name: &str, token: Token, is_ring: bool, kind: String, wants_slots: Option<u32>) {
        let name = name.to_owned();
        self.sources.push(Source { name, token, is_ring, kind, wants_slots, rivals: Rivals::default() });
    }

    /// Returns a handle that ends waits.
    pub(super) fn stopper(&self) -> Stopper {
        self.poller.stopper()
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Sleeps until there may be something to read, it is stopped, or the time is up.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, CliError> {
        let wake = self.poller.wait(timeout).map_err(|error| self.failure(error))?;
        for source in &mut self.sources {
            source.rivals.tell(&source.name, &self.poller.take_changes(source.token));
        }
        Ok(wake)
    }

    /// Names the source of an error.
    fn failure(&self, error: PollError) -> CliError {
        let source = self.sources.iter().find(|source| Some(source.token) == error.token);
        match (source, error.error) {
            (Some(source), cutaway::Error::Ring(error)) => of_ring(&source.name, error),
            (_, error) => error.into(),
        }
    }

    /// Hands every record that is there now to `each`, until that returns false. Returns how many could not be read.
    /// Records after the last one that was wanted stay in a ring; those of a perf buffer are dropped.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&Record<'_>) -> bool) -> Result<u64, CliError> {
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
                    // Says whether another reader has read the same records, also after the last batch.
                    ring.prepare_wait().map_err(|error| of_ring(&source.name, error))?;
                }
                Some(Reader::Perf(stream)) => {
                    let (mut scratch, mut dead_ends) = (Vec::new(), Vec::new());
                    let drained = stream.drain(|cpu, record| match record {
                        _ if !more => {}
                        Ok(perf_reader::Record::Sample(sample)) => {
                            let bytes = sample.padded().contiguous(&mut scratch);
                            more = each(&Record { source: index, cpu: Some(cpu), time_ns: sample.time(), bytes });
                        }
                        // Losses are counted at the end.
                        Ok(_) => {}
                        // A drain that changes its pace looks at such a record once more.
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
                    // Records behind a corrupt one cannot be found; those that are sent from now on can.
                    for cpu in dead_ends {
                        stream.skip_to_head(cpu);
                        warn!("`{}`, CPU {cpu}: what waits there is given up, to go on behind it", source.name);
                    }
                }
                // Nothing else is added.
                _ => {}
            }
        }
        Ok(unreadable)
    }

    /// Returns what every source had no room for, in their order.
    pub(super) fn lost(&self) -> Result<Vec<Losses>, CliError> {
        let lost = |source: &Source| match self.poller.source(source.token) {
            Some(Reader::Perf(stream)) => source.lost(stream),
            // A ring refuses a record before it is sent: that is for its programs to count.
            _ => Ok(Losses::Unknown),
        };
        self.sources.iter().map(lost).collect()
    }
}

impl Source {
    /// Returns what its perf buffers had no room for.
    fn lost(&self, stream: &AdaptiveReader<PerfEventArray>) -> Result<Losses, CliError> {
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

    /// Returns what `max_entries` must be for each CPU to have a slot; `None` if each has one.
    pub(super) fn wants_slots(&self) -> Option<u32> {
        self.wants_slots
    }

    /// Returns whether it is a ring.
    pub(super) fn is_ring(&self) -> bool {
        self.is_ring
    }

    /// Returns what it is, with its size.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns whether its records are padded.
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

/// An error of one of several rings. `cutaway peek` shows who else has it.
fn of_ring(name: &str, error: mmap_ring::Error) -> CliError {
    let is_shared = matches!(error, mmap_ring::Error::Corrupt(mmap_ring::Corrupt::Consumer { .. }));
    let failure = CliError::new(format!("`{name}`: {}", cutaway::Error::from(error)));
    if is_shared { failure.advise("`cutaway peek` lists the processes that hold it") } else { failure }
}
