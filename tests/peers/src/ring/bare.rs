//! A bare loop over the pages, and a consumer that reads nothing: the references for the other consumers.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Level, Peer, Sink, alternate};

const PAGE: usize = 4096;

/// The pages, mapped until the process ends.
#[derive(Clone, Copy)]
struct Pages {
    consumer: &'static AtomicU64,
    producer: &'static AtomicU64,
    data: *const u8,
    mask: u64,
}

// SAFETY: the pages stay mapped until the process ends.
unsafe impl Send for Pages {}

impl Pages {
    fn map(fd: &OwnedFd, size: u32) -> Self {
        let map = |offset: usize, length: usize, prot: i32| {
            // SAFETY: a new mapping at an address that the kernel chooses.
            let start = unsafe {
                libc::mmap(std::ptr::null_mut(), length, prot, libc::MAP_SHARED, fd.as_raw_fd(), offset as i64)
            };
            assert_ne!(start, libc::MAP_FAILED);
            start.cast::<u8>()
        };
        let consumer = map(0, PAGE, libc::PROT_READ | libc::PROT_WRITE);
        let rest = map(PAGE, PAGE + 2 * size as usize, libc::PROT_READ);
        Self {
            // SAFETY: mapped until the process ends, aligned, accessed atomically.
            consumer: unsafe { &*consumer.cast() },
            // SAFETY: as above.
            producer: unsafe { &*rest.cast() },
            data: rest.wrapping_add(PAGE),
            mask: u64::from(size) - 1,
        }
    }

    /// Reads all pending records without checks, and publishes the position once.
    #[inline]
    fn drain(self, sink: &mut impl Sink) {
        let mut position = self.consumer.load(Ordering::Relaxed);
        let producer = self.producer.load(Ordering::Acquire);
        while position < producer {
            let record = self.data.wrapping_add((position & self.mask) as usize);
            // SAFETY: the header of a record before the producer position.
            let length = unsafe { &*record.cast::<AtomicU32>() }.load(Ordering::Acquire);
            if length & 1 << 31 != 0 {
                break;
            }
            if length & 1 << 30 == 0 {
                // SAFETY: a committed record.
                let payload = unsafe { std::slice::from_raw_parts(record.add(8), length as usize) };
                sink.take(payload);
            }
            position += u64::from((length & !(3 << 30)) + 15 & !7);
        }
        self.consumer.store(position, Ordering::Release);
    }
}

/// Reads as little as a reader can, without checks.
pub struct Bare<S> {
    pages: Pages,
    level: Level,
    sink: S,
}

impl<S: Sink> Peer<S> for Bare<S> {
    const NAME: &'static str = "a bare loop";

    fn open(map: &OwnedFd, size: u32) -> Self {
        Self { pages: Pages::map(map, size), level: Level::new(map.as_fd()), sink: S::default() }
    }

    fn drain(&mut self) {
        self.pages.drain(&mut self.sink);
    }

    fn serve(&mut self, stop: &AtomicBool) {
        let Self { pages, level, sink } = self;
        alternate(level, stop, || pages.drain(sink));
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}

/// Releases everything unread, and never quite catches up, so that no wake-up is sent: the producer then reaches its
/// own bound. Records are counted by their size.
pub struct Blind<S> {
    pages: Pages,
    sink: S,
}

impl<S: Sink> Peer<S> for Blind<S> {
    const NAME: &'static str = "no reader (the producer's bound)";

    fn open(map: &OwnedFd, size: u32) -> Self {
        Self { pages: Pages::map(map, size), sink: S::default() }
    }

    fn drain(&mut self) {
        let producer = self.pages.producer.load(Ordering::Acquire);
        self.pages.consumer.store(producer, Ordering::Release);
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let producer = self.pages.producer.load(Ordering::Acquire);
            self.pages.consumer.store(producer.saturating_sub(16), Ordering::Release);
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}
