//! The queue from the per-CPU readers of mmap records to the thread that attaches.
//!
//! It is a mutex with a condition variable, not a channel, because their waiters sleep. The senders run at real-time
//! priority: one that spun would keep the ordinary thread that it waits for from running.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{hold::Held, maps::Mapping};

/// A new mapping of a file, and the thread that made it.
pub(crate) struct NewMapping {
    pub(crate) pid: u32,
    pub(crate) mapping: Mapping,
    pub(crate) thread: MappingThread,
}

/// The thread that made a mapping, and whether it is held.
pub(crate) struct MappingThread {
    pub(crate) tid: u32,
    /// The generation of the file's inode.
    pub(crate) generation: u64,
    /// Whether the process was traced, or may have been, when its record was read. It can have ended since.
    pub(crate) wanted: bool,
    /// When the record was read.
    pub(crate) at: Instant,
    /// The thread continues when this is dropped.
    pub(crate) held: Option<Held>,
}

/// The contents of the queue.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) mappings: Vec<NewMapping>,
    /// Records were lost.
    pub(crate) lost: bool,
    /// A reader has ended, so the records of its CPU are no longer read.
    pub(crate) ended: bool,
    /// The trace ends.
    pub(crate) stop: bool,
    urgent: bool,
}

#[derive(Default)]
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    changed: Condvar,
}

impl Queue {
    /// Mappings in the queue at most: some megabytes.
    const CAPACITY: usize = 1 << 14;

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a mapping, and wakes the receiver if it is urgent. If the queue is full, the mapping counts as lost.
    pub(crate) fn push(&self, mapping: NewMapping, urgent: bool) {
        let mut pending = self.lock();
        if pending.mappings.len() >= Self::CAPACITY {
            pending.lost = true;
        } else {
            pending.mappings.push(mapping);
        }
        pending.urgent |= urgent;
        drop(pending);
        if urgent {
            self.changed.notify_one();
        }
    }

    /// Changes the contents, and wakes the receiver.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Pending)) {
        let mut pending = self.lock();
        change(&mut pending);
        pending.urgent = true;
        drop(pending);
        self.changed.notify_one();
    }

    /// Takes the contents, which may be empty. Mappings whose thread is held come first.
    pub(crate) fn take(&self) -> Pending {
        let mut pending = std::mem::take(&mut *self.lock());
        pending.mappings.sort_by_key(|mapping| mapping.thread.held.is_none());
        pending
    }

    /// Waits until something urgent is in the queue, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |pending| !pending.urgent);
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps::Key;

    fn new_mapping(pid: u32) -> NewMapping {
        let key = Key { major: 0, minor: 0, inode: 1 };
        let mapping = Mapping { key, start: 0, end: 1, offset: 0, path: String::new() };
        NewMapping {
            pid,
            mapping,
            thread: MappingThread { tid: pid, generation: 0, wanted: true, at: Instant::now(), held: None },
        }
    }

    #[test]
    fn only_urgent_mappings_wake_the_receiver() {
        let queue = Queue::default();
        queue.push(new_mapping(1), false);
        let begin = Instant::now();
        queue.wait(Duration::from_millis(20));
        assert!(begin.elapsed() >= Duration::from_millis(20));
        queue.push(new_mapping(2), true);
        queue.wait(Duration::from_secs(100));
        assert_eq!(queue.take().mappings.iter().map(|mapping| mapping.pid).collect::<Vec<_>>(), [1, 2]);
        queue.update(|pending| pending.stop = true);
        queue.wait(Duration::from_secs(100));
        assert!(queue.take().stop);
    }

    #[test]
    fn full_queue_loses_mappings() {
        let queue = Queue::default();
        (0..=Queue::CAPACITY).for_each(|_| queue.push(new_mapping(1), false));
        let pending = queue.take();
        assert_eq!((pending.mappings.len(), pending.lost), (Queue::CAPACITY, true));
    }
}
