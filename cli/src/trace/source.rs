//! Where records come from: one ring, or a perf buffer for each CPU. To the rest of the command it is all the same.

use std::time::Duration;

use cutaway::{
    Loaded, PerfBuffers,
    mmap_ring::{self, Ring},
    perf_reader::{self, Options, Record},
};
use cutaway_programs::getaddrinfo::{Transport, names};
use log::warn;

use crate::failure::Failure;

/// An open buffer.
pub(crate) enum Source {
    Ring(Ring),
    Perf(PerfBuffers),
}

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
    /// Opens the buffer that `transport` writes into; `bytes` are those of one CPU's perf buffer.
    pub(crate) fn open(transport: Transport, loaded: &Loaded, bytes: u32) -> Result<Self, Failure> {
        let events = loaded.map(names::EVENTS)?;
        Ok(match transport {
            Transport::Ring => Self::Ring(events.ring()?),
            Transport::PerfStack | Transport::PerfHeap => {
                let pages = (bytes as usize).div_ceil(rustix::param::page_size()).next_power_of_two();
                Self::Perf(events.perf_buffers(pages, &Options::new())?)
            }
        })
    }

    pub(crate) fn stopper(&mut self) -> Result<Stopper, Failure> {
        Ok(match self {
            Self::Ring(ring) => Stopper::Ring(ring.stopper().map_err(cutaway::Error::from)?),
            Self::Perf(buffers) => Stopper::Perf(buffers.stopper()),
        })
    }

    /// Sleeps until there may be something to read, or the time is up, or it is stopped.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Ring(ring) => ring.wait(timeout).map(drop).map_err(cutaway::Error::from)?,
            Self::Perf(buffers) => buffers.wait(timeout).map(drop).map_err(cutaway::Error::from)?,
        }
        Ok(())
    }

    /// Hands every record that is there now to `each`, until that says `false`. `size` is a record's length, which a perf
    /// buffer does not tell exactly: its records are padded.
    pub(crate) fn drain(&mut self, size: usize, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Failure> {
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
                buffers.drain(|cpu, record| match record {
                    _ if !more => {}
                    Ok(Record::Sample(sample)) => match sample.payload(size) {
                        Ok(payload) => more = each(payload.contiguous(&mut scratch)),
                        Err(error) => warn!("CPU {cpu}: {error}"),
                    },
                    // Losses are counted at the end, see lost.rs.
                    Ok(_) => {}
                    Err(corrupt) => warn!("CPU {cpu}: {corrupt}"),
                });
            }
        }
        Ok(())
    }
}
