//! Every consumer of the BPF ring buffer, behind one trait.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

mod aya;
mod bare;
mod bench;
mod libbpf;
mod ours;

pub use bench::{Effort, instructions, main};

/// The work for each record: the least that shows that it was read.
pub trait Sink: Default {
    fn take(&mut self, record: &[u8]);
    fn count(&self) -> u64;
}

/// Sums up the records.
#[derive(Default)]
pub struct Sum {
    pub sum: u64,
    pub count: u64,
}

impl Sink for Sum {
    #[inline]
    fn take(&mut self, record: &[u8]) {
        if let Some(number) = record.first_chunk() {
            self.sum = self.sum.wrapping_add(u64::from_ne_bytes(*number));
        }
        self.count += 1;
    }

    fn count(&self) -> u64 {
        self.count
    }
}

/// Sums up records that are known to have eight bytes, like a reader whose program sends nothing else.
#[derive(Default)]
pub struct Eights(pub u64);

impl Sink for Eights {
    #[inline]
    fn take(&mut self, record: &[u8]) {
        // SAFETY: the programs that fill the buffers send eight bytes, after which a perf buffer has padding.
        let number = unsafe { record.as_ptr().cast::<u64>().read_unaligned() };
        self.0 = self.0.wrapping_add(number);
    }

    fn count(&self) -> u64 {
        0
    }
}

/// The age of each record in nanoseconds.
#[derive(Default)]
pub struct Ages(pub Vec<u64>);

impl Sink for Ages {
    #[inline]
    fn take(&mut self, record: &[u8]) {
        let now = monotonic();
        let made = record.first_chunk().map_or(0, |time| u64::from_ne_bytes(*time));
        self.0.push(now.saturating_sub(made));
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One consumer.
pub trait Peer<S: Sink>: Sized {
    const NAME: &'static str;

    /// Opens the consumer; `map` is a ring of `size` bytes.
    fn open(map: &OwnedFd, size: u32) -> Self;

    /// Reads the pending records, without waiting.
    fn drain(&mut self);

    /// Waits and reads until `stop`; a last record then wakes it.
    fn serve(&mut self, stop: &AtomicBool);

    /// Returns the sink with the records so far.
    fn sink(&mut self) -> &mut S;
}

/// A level-triggered epoll on one fd, for consumers without a wait of their own.
struct Level(OwnedFd);

impl Level {
    fn new(fd: BorrowedFd<'_>) -> Self {
        use std::os::fd::FromRawFd;
        // SAFETY: takes no memory; the fd is new.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: `event` lives during the call.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) };
        Self(epoll)
    }

    fn wait(&self) {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is space for one event.
        unsafe { libc::epoll_wait(self.0.as_raw_fd(), &mut event, 1, -1) };
    }
}

/// Waits and drains in turn.
fn alternate(level: &Level, stop: &AtomicBool, mut drain: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        level.wait();
        drain();
    }
}

fn own(map: &OwnedFd) -> OwnedFd {
    map.as_fd().try_clone_to_owned().expect("an fd")
}
