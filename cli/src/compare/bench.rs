//! What every experiment is run with: how much to measure, on which CPUs, how to report progress and to stop; and why one
//! cannot be run.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread::ScopedJoinHandle,
    time::Duration,
};

use indicatif::ProgressBar;
use serde::Serialize;

use super::cpus;
use crate::failure::Failure;

/// Why an experiment came to nothing.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Somebody pressed Ctrl-C.
    Stopped,
    /// This machine, kernel or process does not allow it.
    Because(String),
}

impl Obstacle {
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self::Because(why.into())
    }
}

macro_rules! obstacles {
    ($($error:ty)*) => { $(impl From<$error> for Obstacle {
        fn from(error: $error) -> Self {
            Self::Because(Failure::new(error.to_string()).to_string())
        }
    })* };
}

obstacles! { cutaway::Error cutaway::mmap_ring::Error cutaway::perf_reader::Error cutaway_programs::Error io::Error }

/// What a thread of an experiment brought.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Obstacle>>) -> Result<T, Obstacle> {
    thread.join().unwrap_or_else(|_| Err(Obstacle::because("one of its threads has panicked")))
}

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effort {
    /// All experiments within a minute on two CPUs.
    Quick,
    /// Within ten.
    Full,
}

impl Effort {
    /// Rounds that count.
    pub(super) fn rounds(self) -> usize {
        match self {
            Self::Quick => 8,
            Self::Full => 11,
        }
    }

    /// How long one measurement goes on that goes on.
    pub(super) fn slice(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(50),
            Self::Full => Duration::from_millis(400),
        }
    }

    /// One of two numbers.
    pub(super) fn choose<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// Where experiments are made.
pub(super) struct Bench<'a> {
    pub(super) effort: Effort,
    /// The variant that is broken on purpose.
    pub(super) control: bool,
    /// The CPUs that this process may use, ascending; at least one.
    pub(super) cpus: Vec<usize>,
    pub(super) bar: &'a ProgressBar,
    /// Where the bar stood when this experiment began.
    pub(super) begun: u64,
    pub(super) stopped: &'a AtomicBool,
}

impl Bench<'_> {
    /// An experiment's part of the bar.
    pub(super) const STEPS: u64 = 100;

    /// So much of the experiment is done.
    pub(super) fn progress(&self, done: usize, of: usize) {
        self.bar.set_position(self.begun + Self::STEPS * done as u64 / of.max(1) as u64);
    }

    /// A small piece of work begins: moves the bar, and ends the experiment if somebody wants to stop.
    pub(super) fn step(&self) -> Result<(), Obstacle> {
        self.bar.tick();
        // ATOMICS: pairs with the store of the thread that listens for signals; nothing else hangs on it.
        if self.stopped.load(Ordering::Relaxed) { Err(Obstacle::Stopped) } else { Ok(()) }
    }

    /// Where records are sent from. This thread stays there.
    pub(super) fn sender_here(&self) -> Result<(), Obstacle> {
        Ok(cpus::pin(self.sender())?)
    }

    /// The first CPU.
    pub(super) fn sender(&self) -> usize {
        self.cpus.first().copied().unwrap_or(0)
    }

    /// The CPU where records are read while others are sent: the second.
    pub(super) fn reader(&self) -> Result<usize, Obstacle> {
        self.cpus.get(1).copied().ok_or_else(|| {
            Obstacle::because("this process has one CPU, and it takes two: one that sends, one that reads meanwhile")
        })
    }
}
