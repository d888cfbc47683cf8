//! mmap-ring, with both wake-up policies.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use mmap_ring::{Ring, WakeupPolicy};

use super::{Peer, Sink, own};

/// The run loop with its default policy, trailing release.
pub struct Trailing<S>(Immediate<S>);

/// The run loop without trailing release.
pub struct Immediate<S> {
    ring: Ring,
    sink: S,
}

impl<S: Sink> Immediate<S> {
    fn run(&mut self, pace: WakeupPolicy, stop: &AtomicBool) {
        let Self { ring, sink } = self;
        let run = ring.run(pace, |batch| {
            for record in batch {
                sink.take(record);
            }
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        run.expect("a sound ring");
    }
}

impl<S: Sink> Peer<S> for Immediate<S> {
    const NAME: &'static str = "mmap-ring, immediate release";

    fn open(map: &OwnedFd, size: u32) -> Self {
        Self { ring: Ring::open(own(map), size).expect("a ring"), sink: S::default() }
    }

    fn drain(&mut self) {
        for record in &mut self.ring.batch().expect("a sound ring") {
            self.sink.take(record);
        }
    }

    fn serve(&mut self, stop: &AtomicBool) {
        self.run(WakeupPolicy::immediate(), stop);
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}

impl<S: Sink> Peer<S> for Trailing<S> {
    const NAME: &'static str = "mmap-ring";

    fn open(map: &OwnedFd, size: u32) -> Self {
        Self(Immediate::open(map, size))
    }

    fn drain(&mut self) {
        self.0.drain();
    }

    fn serve(&mut self, stop: &AtomicBool) {
        self.0.run(WakeupPolicy::default(), stop);
    }

    fn sink(&mut self) -> &mut S {
        self.0.sink()
    }
}
