//! What is known of files, shared by the thread that examines them and those that decide whether a thread is held.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{maps::Key, provider::Marks};

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not traced; examined again if the marks change, since inode numbers are used again. The generation tells two
    /// inodes of one number apart; it is `None` if no notice has told it.
    Nothing(Marks, Option<u64>),
    Attached(u32),
}

/// Whether a file that a thread has just mapped is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Familiar {
    /// It is attached.
    Attached,
    /// It was no C library when it was examined.
    Nothing,
    No,
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

    /// Tells whether the file is known, without waiting: to hold a thread in vain is better than to hold it too late.
    pub(crate) fn familiar(&self, key: Key, generation: u64) -> Familiar {
        let Ok(known) = self.0.try_read() else { return Familiar::No };
        match known.get(&key) {
            Some(Verdict::Attached(_)) => Familiar::Attached,
            Some(Verdict::Nothing(_, Some(seen))) if *seen == generation => Familiar::Nothing,
            _ => Familiar::No,
        }
    }
}
