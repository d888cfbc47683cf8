//! The queue between the threads that notice mappings and the one that attaches.
//!
//! A lock and a condition, no channel: its waiters sleep. The senders run at real-time priority, and must not spin for
//! an ordinary thread that they keep from running.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{hold::Held, maps::Mapping};

/// A thread that has mapped a file.
pub(crate) struct Sighting {
    pub(crate) pid: u32,
    pub(crate) mapping: Mapping,
    pub(crate) thread: Mapper,
}

/// The thread, and what was done with it.
pub(crate) struct Mapper {
    pub(crate) tid: u32,
    /// Of the file's inode.
    pub(crate) generation: u64,
    /// Its process was one of those that are traced when it was noticed, or may have been: it can have ended since.
    pub(crate) wanted: bool,
    /// When it was noticed.
    pub(crate) at: Instant,
    /// Lets the thread go on when it is dropped.
    pub(crate) held: Option<Held>,
}

/// What has come since the last time.
#[derive(Default)]
pub(crate) struct Arrived {
    pub(crate) sightings: Vec<Sighting>,
    /// Notices were dropped.
    pub(crate) dropped: bool,
    /// There are no notices any more of one CPU.
    pub(crate) over: bool,
    /// It is time to end.
    pub(crate) stop: bool,
    urgent: bool,
}

#[derive(Default)]
pub(crate) struct Queue {
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

impl Queue {
    /// Sightings that are kept at most: some megabytes.
    const MOST: usize = 1 << 14;

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sighting; wakes the reader if it is urgent.
    pub(crate) fn add(&self, sighting: Sighting, urgent: bool) {
        let mut arrived = self.lock();
        if arrived.sightings.len() >= Self::MOST {
            arrived.dropped = true;
        } else {
            arrived.sightings.push(sighting);
        }
        arrived.urgent |= urgent;
        drop(arrived);
        if urgent {
            self.changed.notify_one();
        }
    }

    /// Tells the reader something else.
    pub(crate) fn tell(&self, what: impl FnOnce(&mut Arrived)) {
        let mut arrived = self.lock();
        what(&mut arrived);
        arrived.urgent = true;
        drop(arrived);
        self.changed.notify_one();
    }

    /// Takes what has arrived, which may be nothing. Those whose thread is held come first.
    pub(crate) fn take(&self) -> Arrived {
        let mut arrived = std::mem::take(&mut *self.lock());
        arrived.sightings.sort_by_key(|sighting| sighting.thread.held.is_none());
        arrived
    }

    /// Waits until something urgent has arrived, for so long at most.
    pub(crate) fn wait(&self, patience: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |arrived| !arrived.urgent);
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps::Key;

    fn sighting(pid: u32) -> Sighting {
        let key = Key { major: 0, minor: 0, inode: 1 };
        let mapping = Mapping { key, start: 0, end: 1, offset: 0, path: String::new() };
        Sighting {
            pid,
            mapping,
            thread: Mapper { tid: pid, generation: 0, wanted: true, at: Instant::now(), held: None },
        }
    }

    #[test]
    fn only_what_is_urgent_wakes() {
        let queue = Queue::default();
        queue.add(sighting(1), false);
        let begin = Instant::now();
        queue.wait(Duration::from_millis(20));
        assert!(begin.elapsed() >= Duration::from_millis(20));
        queue.add(sighting(2), true);
        queue.wait(Duration::from_secs(100));
        assert_eq!(queue.take().sightings.iter().map(|sighting| sighting.pid).collect::<Vec<_>>(), [1, 2]);
        queue.tell(|arrived| arrived.stop = true);
        queue.wait(Duration::from_secs(100));
        assert!(queue.take().stop);
    }

    #[test]
    fn sightings_without_end_are_not_kept() {
        let queue = Queue::default();
        (0..=Queue::MOST).for_each(|_| queue.add(sighting(1), false));
        let arrived = queue.take();
        assert_eq!((arrived.sightings.len(), arrived.dropped), (Queue::MOST, true));
    }
}
