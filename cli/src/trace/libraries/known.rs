//! The files that have been examined. The thread that examines them shares this table with the threads that decide
//! whether a thread is held.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{maps::Key, provider::Fingerprint};

/// The result of examining a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not traced. The file is examined again if its fingerprint changes, because inode numbers are reused. The inode's
    /// generation distinguishes two inodes with the same number; `None` if no mmap record had it.
    NotTraced(Fingerprint, Option<u64>),
    /// Attached, with this id.
    Attached(u32),
}

/// The state of a file that a thread has just mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Attached,
    /// It was not a C library when it was examined.
    NotTraced,
    Unknown,
}

/// The verdicts by file.
#[derive(Clone, Default)]
pub(crate) struct Known(Arc<RwLock<HashMap<Key, Verdict>>>);

impl Known {
    pub(crate) fn get(&self, key: Key) -> Option<Verdict> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    pub(crate) fn insert(&self, key: Key, verdict: Verdict) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, verdict);
    }

    pub(crate) fn retain(&self, keep: impl Fn(Key, Verdict) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|key, verdict| keep(*key, *verdict));
    }

    /// Looks up a file without blocking. If the table is locked, the file counts as unknown: a thread that is held
    /// unnecessarily is better than one that is held too late.
    pub(crate) fn lookup(&self, key: Key, generation: u64) -> Lookup {
        let Ok(known) = self.0.try_read() else { return Lookup::Unknown };
        match known.get(&key) {
            Some(Verdict::Attached(_)) => Lookup::Attached,
            Some(Verdict::NotTraced(_, Some(seen))) if *seen == generation => Lookup::NotTraced,
            _ => Lookup::Unknown,
        }
    }
}
