//! aya's `PerfEventArray`, waited for with epoll.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, PerfEventArray};
use aya::util::online_cpus;

use super::{NAP, PAGES, Peer};
use crate::ring::Sink;

pub struct Aya<S> {
    buffers: Vec<PerfEventArrayBuffer<MapData>>,
    epoll: OwnedFd,
    sink: S,
    _array: PerfEventArray<MapData>,
}

impl<S: Sink> Peer<S> for Aya<S> {
    const NAME: &'static str = "aya";

    fn open(map: &OwnedFd) -> Self {
        let fd = map.as_fd().try_clone_to_owned().expect("an fd");
        let data = MapData::from_fd(fd).expect("map info");
        let mut array = PerfEventArray::try_from(Map::PerfEventArray(data)).expect("an array");
        // SAFETY: takes no memory; the fd is new.
        let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) };
        let mut buffers = Vec::new();
        for cpu in online_cpus().expect("CPUs") {
            let buffer = array.open(cpu, Some(PAGES)).expect("a buffer");
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            // SAFETY: `event` lives during the call.
            unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, buffer.as_fd().as_raw_fd(), &mut event) };
            buffers.push(buffer);
        }
        Self { buffers, epoll, sink: S::default(), _array: array }
    }

    fn drain(&mut self) {
        let Self { buffers, sink, .. } = self;
        for buffer in buffers {
            buffer.for_each(|event| {
                if let PerfEvent::Sample { head, tail } = event {
                    if tail.is_empty() {
                        sink.take(head);
                    } else {
                        sink.take(&[head, tail].concat());
                    }
                }
            });
        }
    }

    fn serve(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: there is space for one event.
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &mut event, 1, NAP.as_millis() as i32) };
            self.drain();
        }
        self.drain();
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}
