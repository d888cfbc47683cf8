//! Readers that wait for records: a loop for each kind of wait, which another thread stops.

use std::{
    hint, mem,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cutaway::{
    PerfEventArray,
    mmap_ring::{self, Ring, Wake, WakeupPolicy},
    perf_reader::{self, AdaptiveReader, Options, PerCpuBuffers, Record, Wakeup},
};
use cutaway_programs::compare::{ARRAY_SINK_SLOTS, Transport, names};

use super::{
    bench::{Obstacle, joined},
    producer::{Producer, perf},
};

/// How a reader learns of new records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It sleeps in epoll until the kernel wakes it. A ring wakes it for each record that finds it asleep, perf buffers
    /// after this number of samples.
    Epoll(u32),
    /// As [`Waiting::Epoll`], but at high rates it suppresses the kernel's wake-ups: by trailing release in a ring, by
    /// twin events in perf buffers.
    Quiet,
    /// It never sleeps.
    Busy,
    /// It sleeps for this time, then reads.
    Timer(Duration),
}

/// An open buffer and how it is waited for.
pub(super) enum Reader {
    Ring(Box<Ring>, Waiting),
    Perf(PerCpuBuffers, Waiting),
    Twins(AdaptiveReader<PerfEventArray>),
}

/// Ends a reader's loop from another thread.
#[derive(Clone)]
pub(super) struct Stop {
    flag: Arc<AtomicBool>,
    bell: Bell,
}

#[derive(Clone)]
enum Bell {
    Ring(mmap_ring::Stopper),
    Perf(perf_reader::Stopper),
}

impl Stop {
    pub(super) fn now(&self) {
        // ATOMICS: pairs with the loads in `Reader::run`; the last read finds everything that was sent before.
        self.flag.store(true, Ordering::Release);
        match &self.bell {
            Bell::Ring(stopper) => stopper.stop(),
            Bell::Perf(stopper) => stopper.stop(),
        }
    }
}

impl Reader {
    /// Opens the buffer of `transport`; `bytes` are those of one CPU's perf buffer.
    pub(super) fn open(
        transport: Transport,
        producer: &Producer,
        bytes: usize,
        waiting: Waiting,
    ) -> Result<Self, Obstacle> {
        let events = producer.loaded().map(names::EVENTS)?;
        if transport.is_ring() {
            return Ok(Self::Ring(Box::new(events.ring()?), waiting));
        }
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        let events_each = match waiting {
            Waiting::Epoll(events) => events,
            Waiting::Quiet => return Ok(Self::Twins(events.perf_buffers(size, &Options::new())?)),
            Waiting::Busy | Waiting::Timer(_) => 0,
        };
        let options = Options::new().wakeup(Wakeup::Events(events_each));
        Ok(Self::Perf(perf(producer, names::EVENTS, bytes, &options)?, waiting))
    }

    pub(super) fn stop(&mut self) -> Result<Stop, Obstacle> {
        let bell = match self {
            Self::Ring(ring, _) => Bell::Ring(ring.stopper()?),
            Self::Perf(set, _) => Bell::Perf(set.stopper()?),
            Self::Twins(stream) => Bell::Perf(stream.stopper()?),
        };
        Ok(Stop { flag: Arc::default(), bell })
    }

    /// Reads until it is stopped, then the remaining records. It calls `found` before the records of one read, and
    /// `each` for each record, in perf buffers with padding.
    pub(super) fn run(
        &mut self,
        stop: &Stop,
        mut found: impl FnMut(),
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Obstacle> {
        // ATOMICS: pairs with the store in `Stop::now`.
        let running = || !stop.flag.load(Ordering::Acquire);
        match self {
            Self::Ring(ring, Waiting::Quiet) => {
                let flow = ring.run(WakeupPolicy::default(), |batch| {
                    batch.into_iter().for_each(announced(&mut found, &mut each));
                    ControlFlow::<()>::Continue(())
                });
                flow?;
            }
            Self::Ring(ring, Waiting::Epoll(_)) => {
                while ring.wait(None)? != Wake::Stopped {
                    (&mut ring.batch()?).into_iter().for_each(announced(&mut found, &mut each));
                }
            }
            Self::Ring(ring, waiting) => {
                while running() {
                    pause(*waiting);
                    (&mut ring.batch()?).into_iter().for_each(announced(&mut found, &mut each));
                }
            }
            Self::Perf(set, Waiting::Epoll(_)) => {
                // With one wake-up for several samples, the last samples cause no wake-up.
                while set.wait(Some(Duration::from_millis(100)))? != perf_reader::Wake::Stopped {
                    drain(set, announced(&mut found, &mut each));
                }
            }
            Self::Perf(set, waiting) => {
                while running() {
                    pause(*waiting);
                    drain(set, announced(&mut found, &mut each));
                }
            }
            Self::Twins(stream) => {
                while stream.wait(None)? != perf_reader::Wake::Stopped {
                    let mut each = announced(&mut found, &mut each);
                    stream.drain(|_, record| sample(record, &mut each))?;
                }
            }
        }
        let mut each = announced(&mut found, &mut each);
        match self {
            Self::Ring(ring, _) => (&mut ring.batch()?).into_iter().for_each(each),
            Self::Perf(set, _) => drain(set, each),
            Self::Twins(stream) => {
                stream.drain(|_, record| sample(record, &mut each))?;
            }
        }
        Ok(())
    }
}

/// Reads in another thread while this one sends. Stops the reader afterwards, also if sending failed. Returns the
/// results of `send` and `read`.
pub(super) fn meanwhile<S, R: Send>(
    read: impl FnOnce() -> Result<R, Obstacle> + Send,
    send: impl FnOnce() -> Result<S, Obstacle>,
    stop: impl FnOnce(),
) -> Result<(S, R), Obstacle> {
    thread::scope(|scope| {
        let reading = scope.spawn(read);
        // Sending starts after the reader.
        thread::sleep(Duration::from_millis(2));
        let sent = send();
        stop();
        let read = joined(reading)?;
        Ok((sent?, read))
    })
}

fn pause(waiting: Waiting) {
    match waiting {
        Waiting::Timer(time) => thread::sleep(time),
        _ => hint::spin_loop(),
    }
}

/// Returns a function for the records of one read: it calls `found` once, then `each` for each record.
fn announced(found: &mut impl FnMut(), each: &mut impl FnMut(&[u8])) -> impl FnMut(&[u8]) {
    let mut first = true;
    move |record| {
        if mem::take(&mut first) {
            found();
        }
        each(record);
    }
}

fn drain(set: &mut PerCpuBuffers, mut each: impl FnMut(&[u8])) {
    set.drain(|_, record| sample(record, &mut each));
}

fn sample(record: Result<Record<'_>, perf_reader::Corrupt>, each: &mut impl FnMut(&[u8])) {
    if let Ok(Record::Sample(sample)) = record {
        let [front, back] = sample.padded().pieces();
        if back.is_empty() {
            each(front);
        } else {
            each(&[front, back].concat());
        }
    }
}

/// A reader of a plain array map, with one system call for the count and one for each value.
pub(super) struct MapReader<'p> {
    producer: &'p Producer,
    read: u64,
}

impl<'p> MapReader<'p> {
    pub(super) fn new(producer: &'p Producer) -> Self {
        Self { producer, read: 0 }
    }

    /// Passes each value written since the last call to `each`. Overwritten values are skipped.
    pub(super) fn read_new(&mut self, mut each: impl FnMut(u64)) -> Result<(), Obstacle> {
        let word = |name, key: u32| -> Result<u64, Obstacle> {
            let value = self.producer.loaded().map(name)?.lookup(&key.to_ne_bytes())?.unwrap_or_default();
            Ok(value.first_chunk().copied().map_or(0, u64::from_ne_bytes))
        };
        let next = word(names::NEXT, 0)?;
        self.read = self.read.max(next.saturating_sub(ARRAY_SINK_SLOTS.into()));
        while self.read < next {
            each(word(names::SLOTS, (self.read % u64::from(ARRAY_SINK_SLOTS)) as u32)?);
            self.read += 1;
        }
        Ok(())
    }
}
