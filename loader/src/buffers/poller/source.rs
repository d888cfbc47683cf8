//! The sources of a [`Poller`](super::Poller).

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use cutaway_sys::epoll::Interest;
#[cfg(feature = "ring")]
use mmap_ring::Ring;
#[cfg(feature = "perf")]
use perf_reader::{AdaptiveReader, PerCpuBuffers};

#[cfg(feature = "perf")]
use super::super::PerfEventArray;
use crate::Error;

/// Identifies a source of a [`Poller`](super::Poller). A token is unique in the process, so other pollers do not know
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

impl Token {
    /// Returns a token that is greater than all previous ones.
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // ATOMICS: a counter: pairs only with itself, and publishes nothing.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.0)
    }
}

/// A source of a [`Poller`](super::Poller).
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A ring buffer.
    #[cfg(feature = "ring")]
    Ring(Ring),
    /// The perf buffers of a `PERF_EVENT_ARRAY`, which adapt their wake-ups to the load.
    #[cfg(feature = "perf")]
    Perf(AdaptiveReader<PerfEventArray>),
    /// A set of perf buffers.
    #[cfg(feature = "perf")]
    PerfSet(PerCpuBuffers),
    /// The poller's duplicate of another file descriptor.
    Fd(OwnedFd),
}

impl Source {
    /// Returns the ring, if the source is one.
    #[cfg(feature = "ring")]
    pub fn as_ring(&mut self) -> Option<&mut Ring> {
        match self {
            Self::Ring(ring) => Some(ring),
            _ => None,
        }
    }

    /// Returns the perf buffers, if the source is those of a `PERF_EVENT_ARRAY`.
    #[cfg(feature = "perf")]
    pub fn as_perf(&mut self) -> Option<&mut AdaptiveReader<PerfEventArray>> {
        match self {
            Self::Perf(stream) => Some(stream),
            _ => None,
        }
    }
}

impl Source {
    /// Returns the events to watch the source's file descriptor for, and the reason.
    pub(super) fn interest(&self) -> (Interest, &'static str) {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(_) => (Interest::ReadableEdge, "watches for the ring's wake-ups"),
            #[cfg(feature = "perf")]
            Self::Perf(_) | Self::PerfSet(_) => (Interest::Readable, "watches for records in a CPU's buffer"),
            Self::Fd(_) => (Interest::Readable, "watches until it is readable"),
        }
    }

    /// Returns true if perf buffers have unread records. Returns false for other sources, because the kernel reports
    /// their readiness again.
    pub(super) fn has_perf_records(&self) -> bool {
        #[cfg(feature = "perf")]
        {
            let set = match self {
                Self::Perf(buffers) => buffers.set(),
                Self::PerfSet(set) => set,
                _ => return false,
            };
            set.iter().any(|buffer| buffer.reader().fill() > 0)
        }
        #[cfg(not(feature = "perf"))]
        false
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring(ring) => ring.as_fd(),
            #[cfg(feature = "perf")]
            Self::Perf(stream) => stream.as_fd(),
            #[cfg(feature = "perf")]
            Self::PerfSet(set) => set.as_fd(),
            Self::Fd(fd) => fd.as_fd(),
        }
    }
}

/// The reason why a [`Poller`](super::Poller) cannot wait.
#[derive(Debug)]
pub struct PollError {
    /// The failed source; `None` if the wait itself failed.
    pub token: Option<Token>,
    /// The source's error.
    pub error: Error,
}

impl PollError {
    pub(super) fn of(token: Token, error: impl Into<Error>) -> Self {
        Self { token: Some(token), error: error.into() }
    }
}

impl From<PollError> for Error {
    /// Drops the token.
    fn from(error: PollError) -> Self {
        error.error
    }
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token {
            Some(token) => write!(f, "{token}: {}", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl std::error::Error for PollError {
    /// Returns the source of the contained error, because that error is displayed unchanged.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
