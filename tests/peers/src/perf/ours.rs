//! perf-reader: its run loop with twin events, and its set of buffers with a wake-up for each event.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use perf_reader::{AdaptiveReader, Corrupt, EventArray, Options, PerCpuBuffers, Record};

use super::producer::set_slot;
use super::{NAP, PAGES, Peer};
use crate::ring::Sink;

/// The slots of an array.
struct Array(OwnedFd);

impl EventArray for Array {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> std::io::Result<()> {
        set_slot(&self.0, cpu, event.as_raw_fd())
    }
}

fn array(map: &OwnedFd) -> Array {
    Array(map.as_fd().try_clone_to_owned().expect("an fd"))
}

/// Passes the payload of a record to a sink.
#[inline]
fn take<S: Sink>(sink: &mut S, record: Result<Record<'_>, Corrupt>) {
    if let Ok(Record::Sample(sample)) = record
        && let Ok(payload) = sample.array::<8>()
    {
        sink.take(&payload);
    }
}

/// The run loop, with twin events.
pub struct Twins<S> {
    stream: AdaptiveReader<Array>,
    sink: S,
}

impl<S: Sink> Peer<S> for Twins<S> {
    const NAME: &'static str = "perf-reader, twin events";

    fn open(map: &OwnedFd) -> Self {
        let stream = AdaptiveReader::open(PAGES as u32 * 4096, &Options::new(), array(map)).expect("perf buffers");
        Self { stream, sink: S::default() }
    }

    fn drain(&mut self) {
        let Self { stream, sink } = self;
        stream.drain(|_, record| take(sink, record)).expect("slots");
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.stream.wait(Some(NAP)).expect("a wait");
            self.drain();
        }
        self.drain();
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}

/// The set of buffers, with a wake-up for every event.
pub struct Immediate<S> {
    set: PerCpuBuffers,
    sink: S,
    _array: Array,
}

impl<S: Sink> Peer<S> for Immediate<S> {
    const NAME: &'static str = "perf-reader, a wake-up each";

    fn open(map: &OwnedFd) -> Self {
        let mut set = PerCpuBuffers::open(PAGES as u32 * 4096, &Options::new()).expect("perf buffers");
        let array = array(map);
        set.connect(&array).expect("slots");
        Self { set, sink: S::default(), _array: array }
    }

    fn drain(&mut self) {
        let Self { set, sink, .. } = self;
        set.drain(|_, record| take(sink, record));
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.set.wait(Some(NAP)).expect("a wait");
            self.drain();
        }
        self.drain();
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}
