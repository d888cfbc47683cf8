//! The source of records: one ring, or a perf buffer for each CPU, behind the same functions.

use std::time::{Duration, Instant};

use cutaway::{
    Loaded, PerfEventArray,
    mmap_ring::{self, Ring},
    perf_reader::{self, AdaptiveReader, Options, Record},
};
use cutaway_programs::getaddrinfo::{Transport, names};
use log::warn;

use crate::{args::perf_buffer_size, error::CliError};

/// An open buffer.
#[expect(clippy::large_enum_variant, reason = "there is one, for the whole run")]
pub(crate) enum Source {
    Ring(Ring),
    Perf(Buffers),
}

/// The perf buffers of all CPUs.
pub(crate) struct Buffers {
    stream: AdaptiveReader<PerfEventArray>,
    /// When the buffers were last adapted to the online CPUs.
    refreshed: Instant,
}

/// How often to adapt the buffers to the online CPUs.
const REFRESH: Duration = Duration::from_secs(1);

/// Ends [`Source::wait`] from another thread.
#[derive(Clone)]
pub(crate) enum Stopper {
    Ring(mmap_ring::Stopper),
    Perf(perf_reader::Stopper),
}

impl Stopper {
    pub(crate) fn stop(&self) {
        match self {
            Self::Ring(stopper) => stopper.stop(),
            Self::Perf(stopper) => stopper.stop(),
        }
    }
}

impl Source {
    /// Opens the buffer of the transport. `bytes` is the size of a perf buffer; there is one for each CPU.
    pub(crate) fn open(transport: Transport, loaded: &Loaded, bytes: u32) -> Result<Self, CliError> {
        let events = loaded.map(names::EVENTS)?;
        Ok(match transport {
            Transport::Ring => Self::Ring(events.ring()?),
            Transport::PerfStack | Transport::PerfHeap => {
                let stream = events.perf_buffers(perf_buffer_size(bytes), &Options::new())?;
                Self::Perf(Buffers { stream, refreshed: Instant::now() })
            }
        })
    }

    /// Returns the size of the ring, or of each CPU's perf buffer, in bytes; 0 if no perf buffer is open.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Ring(ring) => ring.capacity(),
            Self::Perf(buffers) => {
                buffers.stream.set().iter().next().map_or(0, |buffer| buffer.reader().capacity() as u64)
            }
        }
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, CliError> {
        Ok(match self {
            Self::Ring(ring) => Stopper::Ring(ring.stopper().map_err(cutaway::Error::from)?),
            Self::Perf(buffers) => Stopper::Perf(buffers.stream.stopper().map_err(cutaway::Error::from)?),
        })
    }

    /// Waits until there may be a record, the timeout is over, or a [`Stopper`] is used. Returns whether a [`Stopper`]
    /// was used: then every wait ends at once, until [`Source::resume`].
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<bool, CliError> {
        match self {
            Self::Ring(ring) => Ok(ring.wait(timeout).map_err(cutaway::Error::from)? == mmap_ring::Wake::Stopped),
            Self::Perf(buffers) => {
                Ok(buffers.wait(timeout).map_err(cutaway::Error::from)? == perf_reader::Wake::Stopped)
            }
        }
    }

    /// Forgets the uses of a [`Stopper`] so far.
    pub(crate) fn resume(&mut self) -> Result<(), CliError> {
        match self {
            Self::Ring(ring) => ring.resume().map_err(cutaway::Error::from)?,
            Self::Perf(buffers) => buffers.stream.resume().map_err(cutaway::Error::from)?,
        }
        Ok(())
    }

    /// Passes every record that is in the buffer now to `each`, until it returns `false`. Returns the number of records
    /// that could not be read. `size` is a record's size in bytes, because a perf buffer pads its records.
    pub(crate) fn drain(&mut self, size: usize, mut each: impl FnMut(&[u8]) -> bool) -> Result<u64, CliError> {
        let mut unreadable = 0;
        match self {
            Self::Ring(ring) => {
                let mut batch = ring.batch().map_err(cutaway::Error::from)?;
                for record in &mut batch {
                    if !each(record) {
                        break;
                    }
                }
            }
            Self::Perf(buffers) => {
                let (mut scratch, mut more) = (Vec::new(), true);
                let drained = buffers.stream.drain(|cpu, record| match record {
                    _ if !more => {}
                    Ok(Record::Sample(sample)) => match sample.payload(size) {
                        Ok(payload) => more = each(payload.contiguous(&mut scratch)),
                        Err(error) => {
                            warn!("CPU {cpu}: {error}");
                            unreadable += 1;
                        }
                    },
                    // Losses are counted at the end (lost.rs).
                    Ok(_) => {}
                    Err(corrupt) => {
                        warn!("CPU {cpu}: {corrupt}");
                        unreadable += 1;
                    }
                });
                drained.map_err(cutaway::Error::from)?;
            }
        }
        Ok(unreadable)
    }
}

impl Buffers {
    fn wait(&mut self, timeout: Option<Duration>) -> Result<perf_reader::Wake, perf_reader::Error> {
        let wake = self.stream.wait(Some(timeout.map_or(REFRESH, |timeout| timeout.min(REFRESH))))?;
        if self.refreshed.elapsed() >= REFRESH {
            self.stream.refresh()?;
            self.refreshed = Instant::now();
        }
        Ok(wake)
    }

    /// Returns the number of records for which the buffer of a CPU had no room.
    pub(crate) fn lost(&self, cpu: u32) -> Result<u64, perf_reader::Error> {
        self.stream.set().get(cpu).map_or(Ok(0), |buffer| Ok(buffer.lost()?.samples))
    }
}
