//! aya's `RingBuf`, waited for with epoll.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use aya::maps::{Map, MapData, RingBuf};

use super::{Level, Peer, Sink, alternate, own};

pub struct Aya<S> {
    ring: RingBuf<MapData>,
    level: Level,
    sink: S,
}

impl<S: Sink> Peer<S> for Aya<S> {
    const NAME: &'static str = "aya";

    fn open(map: &OwnedFd, _: u32) -> Self {
        let data = MapData::from_fd(own(map)).expect("map info");
        Self {
            ring: RingBuf::try_from(Map::RingBuf(data)).expect("a ring"),
            level: Level::new(map.as_fd()),
            sink: S::default(),
        }
    }

    fn drain(&mut self) {
        while let Some(record) = self.ring.next() {
            self.sink.take(&record);
        }
    }

    fn serve(&mut self, stop: &AtomicBool) {
        let Self { ring, level, sink } = self;
        alternate(level, stop, || {
            while let Some(record) = ring.next() {
                sink.take(&record);
            }
        });
    }

    fn sink(&mut self) -> &mut S {
        &mut self.sink
    }
}
