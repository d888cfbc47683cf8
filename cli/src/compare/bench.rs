//! The settings of an experiment: how much to measure, on which CPUs, how to report progress and to stop; and the
//! reasons why an experiment cannot run.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread::ScopedJoinHandle,
    time::Duration,
};

use indicatif::ProgressBar;
use serde::Serialize;

use super::cpus;
use crate::error::CliError;

/// Why an experiment has no result.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// A signal ended it.
    Stopped,
    /// The machine, the kernel or the process does not allow it.
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
            Self::Because(CliError::new(error.to_string()).to_string())
        }
    })* };
}

obstacles! { cutaway::Error cutaway::mmap_ring::Error cutaway::perf_reader::Error cutaway_programs::Error io::Error }

/// Joins a thread of an experiment. A panic becomes an obstacle.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Obstacle>>) -> Result<T, Obstacle> {
    thread.join().unwrap_or_else(|_| Err(Obstacle::because("one of its threads panicked")))
}

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effort {
    /// All experiments in one minute on two CPUs.
    Quick,
    /// In ten minutes.
    Full,
}

impl Effort {
    /// Returns the number of rounds, without the warm-up.
    pub(super) fn rounds(self) -> usize {
        match self {
            Self::Quick => 8,
            Self::Full => 11,
        }
    }

    /// Returns the duration of a measurement that runs for a fixed time.
    pub(super) fn slice(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(50),
            Self::Full => Duration::from_millis(400),
        }
    }

    /// Returns one of two values.
    pub(super) fn choose<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// The environment of an experiment.
pub(super) struct Bench<'a> {
    pub(super) effort: Effort,
    /// Whether the control runs: the variant that is broken on purpose.
    pub(super) control: bool,
    /// The CPUs that this process may use, ascending; at least one.
    pub(super) cpus: Vec<usize>,
    pub(super) bar: &'a ProgressBar,
    /// Position of the bar when this experiment began.
    pub(super) begun: u64,
    pub(super) stopped: &'a AtomicBool,
}

impl Bench<'_> {
    /// Steps of the bar for each experiment.
    pub(super) const STEPS: u64 = 100;

    /// Shows that `done` of `of` parts of the experiment are done.
    pub(super) fn progress(&self, done: usize, of: usize) {
        self.bar.set_position(self.begun + Self::STEPS * done as u64 / of.max(1) as u64);
    }

    /// Marks the start of a small piece of work: moves the bar, and ends the experiment after a signal.
    pub(super) fn step(&self) -> Result<(), Obstacle> {
        self.bar.tick();
        // ATOMICS: pairs with the store of the thread that listens for signals; it publishes nothing else.
        if self.stopped.load(Ordering::Relaxed) { Err(Obstacle::Stopped) } else { Ok(()) }
    }

    /// Pins this thread to the CPU that records are sent from.
    pub(super) fn sender_here(&self) -> Result<(), Obstacle> {
        Ok(cpus::pin(self.sender())?)
    }

    /// Returns the CPU that records are sent from: the first.
    pub(super) fn sender(&self) -> usize {
        self.cpus.first().copied().unwrap_or(0)
    }

    /// Returns the CPU that records are read on while others are sent: the second.
    pub(super) fn reader(&self) -> Result<usize, Obstacle> {
        self.cpus.get(1).copied().ok_or_else(|| {
            Obstacle::because(
                "this process may use one CPU, and the experiment needs two: one sends while the other reads",
            )
        })
    }
}
