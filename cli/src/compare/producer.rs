//! Loads a program of `cutaway_programs::compare`, opens its buffer and runs it.

use cutaway::{
    Loaded, Object, Program, TestRun,
    mmap_ring::Ring,
    perf_reader::{self, Options, PerCpuBuffers, Record, Wakeup},
};
use cutaway_programs::compare::{FixedSize, SendCount, Transport, Work, names};

use super::bench::{Bench, Obstacle};

/// `MAX_BPF_STACK`: the largest event that is built on the stack, in bytes.
pub(super) const STACK: u32 = 512;

/// `BPF_RB_NO_WAKEUP` and `BPF_RB_FORCE_WAKEUP` (`include/uapi/linux/bpf.h`), and neither.
pub(super) const ADAPTIVE: u64 = 0;
pub(super) const NO_WAKEUP: u64 = 1;
pub(super) const FORCE_WAKEUP: u64 = 2;

/// The loaded program.
#[derive(Debug)]
pub(super) struct Producer {
    loaded: Loaded,
}

impl From<Loaded> for Producer {
    fn from(loaded: Loaded) -> Self {
        Self { loaded }
    }
}

impl Producer {
    /// Loads an object; a ring among its maps gets `ring_bytes`.
    pub(super) fn load(object: &[u8], ring_bytes: u32) -> Result<Self, Obstacle> {
        let mut object = Object::parse(object)?;
        if object.maps().iter().any(|map| map.name == names::EVENTS) {
            let events = object.map_mut(names::EVENTS)?;
            if events.map_type == cutaway::MapType::RINGBUF {
                events.max_entries = ring_bytes;
            }
        }
        Ok(Self { loaded: object.load()? })
    }

    pub(super) fn burst(burst: &FixedSize, ring_bytes: u32) -> Result<Self, Obstacle> {
        Self::load(&burst.object()?, ring_bytes)
    }

    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    pub(super) fn program(&self) -> Result<&Program, Obstacle> {
        Ok(self.loaded.program(names::PROGRAM)?)
    }

    /// Runs the program once, on this thread's CPU, with these words as its context. The kernel requires at least as
    /// many as the program reads.
    pub(super) fn run(&self, context: &[u64]) -> Result<u32, Obstacle> {
        let context = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(self.program()?.test_run(&TestRun { context, ..TestRun::default() })?.value)
    }

    /// Runs a [`FixedSize`] of `count` records; `flags` are those of each but the last.
    pub(super) fn send(&self, count: u64, flags: u64, last_flags: u64) -> Result<SendCount, Obstacle> {
        Ok(SendCount::read(self.run(&[count, flags, last_flags])?))
    }
}

/// The buffer through which a [`Producer`] sends.
pub(super) enum Buffer {
    Ring(Ring),
    Perf(PerCpuBuffers),
}

/// Opens perf buffers that wake no reader before they are half full.
pub(super) fn silent() -> Options {
    Options::new().wakeup(Wakeup::Events(0))
}

impl Buffer {
    /// Opens the buffer of `transport`; `bytes` are those of one CPU's perf buffer, a power of two of pages.
    pub(super) fn open(
        transport: Transport,
        producer: &Producer,
        bytes: usize,
        options: &Options,
    ) -> Result<Self, Obstacle> {
        let events = producer.loaded.map(names::EVENTS)?;
        if transport.is_ring() {
            return Ok(Self::Ring(events.ring()?));
        }
        perf(producer, names::EVENTS, bytes, options).map(Self::Perf)
    }

    /// Passes each unread record to `each`, in perf buffers with up to 7 bytes of padding. Returns their number.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8])) -> Result<u64, Obstacle> {
        let mut records = 0;
        match self {
            Self::Ring(ring) => {
                for record in &mut ring.batch()? {
                    records += 1;
                    each(record);
                }
            }
            Self::Perf(set) => records = drain(set, |_, record| each(record))?,
        }
        Ok(records)
    }

    /// Discards the unread records. Returns their number.
    pub(super) fn skip(&mut self) -> Result<u64, Obstacle> {
        self.drain(|_| {})
    }
}

/// A transport with one record size, sent and read by the same thread.
pub(super) struct Lane {
    pub(super) transport: Transport,
    pub(super) size: u32,
    pub(super) producer: Producer,
    pub(super) buffer: Buffer,
}

impl Lane {
    /// Opens a lane for every transport and each of `sizes` that it carries, with buffers of `bytes` bytes; a run sends
    /// at most `most(size)` records. In the control, the ring copies a record that was built elsewhere.
    pub(super) fn all(
        bench: &Bench<'_>,
        sizes: &[u32],
        most: impl Fn(u32) -> u32,
        bytes: u32,
    ) -> Result<Vec<Self>, Obstacle> {
        let mut lanes = Vec::new();
        for &size in sizes {
            for transport in
                Transport::ALL.into_iter().filter(|&transport| transport != Transport::Stack || size <= STACK)
            {
                bench.step()?;
                let really =
                    if bench.control && transport == Transport::Reserve { Transport::Output } else { transport };
                let burst = FixedSize { transport: really, size, most: most(size), work: Work::Words, timed: false };
                let producer = Producer::burst(&burst, bytes)?;
                let buffer = Buffer::open(really, &producer, bytes as usize, &silent())?;
                lanes.push(Self { transport, size, producer, buffer });
            }
        }
        Ok(lanes)
    }
}

/// Opens perf buffers for the map of this name. The map must live as long as the program writes to them.
pub(super) fn perf(
    producer: &Producer,
    name: &str,
    bytes: usize,
    options: &Options,
) -> Result<PerCpuBuffers, Obstacle> {
    use std::os::fd::AsRawFd;
    let events = producer.loaded.map(name)?;
    let set = PerCpuBuffers::open(u32::try_from(bytes).unwrap_or(u32::MAX), options)?;
    for buffer in &set {
        let fd = std::os::fd::AsFd::as_fd(buffer).as_raw_fd();
        events.update(&buffer.cpu().to_ne_bytes(), &fd.to_ne_bytes())?;
    }
    Ok(set)
}

/// Passes the unread samples to `each`, CPU by CPU, with padding. Returns their number.
pub(super) fn drain(set: &mut PerCpuBuffers, mut each: impl FnMut(u32, &[u8])) -> Result<u64, Obstacle> {
    let (mut records, mut scratch, mut corrupt) = (0, Vec::new(), None);
    set.drain(|cpu, record| match record {
        Ok(Record::Sample(sample)) => {
            records += 1;
            each(cpu, sample.padded().contiguous(&mut scratch));
        }
        Ok(_) => {}
        Err(found) => corrupt = Some(perf_reader::Error::Corrupt { cpu, corrupt: found }),
    });
    corrupt.map_or(Ok(records), |error| Err(error.into()))
}
