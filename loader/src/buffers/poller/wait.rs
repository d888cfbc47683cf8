//! [`Poller::wait`] and its parts.

use std::{
    io,
    time::{Duration, Instant},
};

use cutaway_sys::epoll::Event;

use super::{
    source::{PollError, Source, Token},
    sources::{Poller, STOP},
};
use crate::{Error, Wake};

/// After this many waits without a sleep, ask the kernel whether the stopper's fd was written to.
const ASK_EVERY: u32 = 64;
/// The interval between checks for CPUs that came or went.
#[cfg(feature = "perf")]
const REFRESH: Duration = Duration::from_secs(1);

/// The state of the sources as far as it is known without a system call.
#[derive(Debug, Default)]
struct State {
    ready: bool,
    ring_ready: bool,
    ring_busy: bool,
    has_rings: bool,
}

impl Poller {
    /// Sleeps until a source is [`ready`](Self::ready), a [`Stopper`](crate::Stopper) is used, or `timeout` has passed.
    /// Returns at once if a source is ready. The timeout is rounded up to milliseconds; `None` waits without limit,
    /// zero only checks.
    ///
    /// [`Wake::Stopped`] takes precedence; sources may be ready at the same time. After [`Wake::Ready`] a perf buffer
    /// may turn out to be empty.
    ///
    /// # Errors
    ///
    /// [`PollError`] with the token of the failed source: a ring that is corrupt or that another process reads as well;
    /// a file descriptor that has an error, or whose other end is closed and that has nothing left to read. The wait
    /// fails in the same way until that source is [removed](Self::remove). If the CPUs or slots of perf buffers cannot
    /// be checked ([`AdaptiveReader::refresh`](perf_reader::AdaptiveReader::refresh)), a wait fails at most once a
    /// second, and the buffers remain readable. No event of another source is lost. [`PollError`] without a token if
    /// epoll_wait(2) fails.
    #[doc(alias("ring_buffer__poll", "perf_buffer__poll", "epoll_wait"))]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, PollError> {
        // A deadline beyond the clock's range is no limit.
        self.wait_for(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Does the same as [`wait`](Self::wait) until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_until(&mut self, deadline: Instant) -> Result<Wake, PollError> {
        self.wait_for(Some(deadline))
    }

    fn wait_for(&mut self, deadline: Option<Instant>) -> Result<Wake, PollError> {
        let mut asked = false;
        for entry in &mut self.entries {
            // The kernel is asked again whether these are ready.
            #[cfg(feature = "ring")]
            let is_asked = matches!(entry.source, Source::Ring(_) | Source::Fd(_));
            #[cfg(not(feature = "ring"))]
            let is_asked = matches!(entry.source, Source::Fd(_));
            entry.ready &= !is_asked;
        }
        loop {
            if self.is_stopped(asked)? {
                return Ok(Wake::Stopped);
            }
            #[cfg(feature = "perf")]
            self.refresh()?;
            let mut state = self.check(false)?;
            if !state.ready {
                state = self.check(true)?;
            }
            let now = Instant::now();
            let is_over = deadline.is_some_and(|deadline| deadline <= now);
            if state.ready || is_over {
                // Only the kernel knows whether an fd is readable.
                if !asked && (!state.ready || self.entries.iter().any(|entry| matches!(entry.source, Source::Fd(_)))) {
                    self.sleep(Some(Duration::ZERO))?;
                    if self.stop.is_stopped() {
                        return Ok(Wake::Stopped);
                    }
                }
                let is_ready = self.entries.iter().any(|entry| entry.ready);
                return Ok(if is_ready { Wake::Ready } else { Wake::TimedOut });
            }
            let limit = self.limit(&state, now).into_iter().chain(deadline.map(|deadline| deadline - now)).min();
            asked = true;
            let woken = self.sleep(limit)?;
            self.timers.slept(woken);
        }
    }

    /// Returns true if the poller is stopped. A poller whose sources are always ready never sleeps, so every
    /// [`ASK_EVERY`] waits it asks the kernel for a stop that was written to the fd.
    fn is_stopped(&mut self, slept: bool) -> Result<bool, PollError> {
        if !slept {
            self.at_once = self.at_once.wrapping_add(1);
            if self.at_once.is_multiple_of(ASK_EVERY) {
                self.stop.poll().map_err(|error| failed("ask for a stop", &error))?;
            }
        }
        Ok(self.stop.is_stopped())
    }

    /// Checks all sources without a system call, and marks those that are ready. `prepare`: also prepares each for a
    /// sleep.
    fn check(&mut self, prepare: bool) -> Result<State, PollError> {
        let mut state = State::default();
        #[cfg(feature = "perf")]
        let now = Instant::now();
        for entry in &mut self.entries {
            match &mut entry.source {
                #[cfg(feature = "ring")]
                Source::Ring(ring) => {
                    use mmap_ring::Head;
                    let head = if prepare { ring.prepare_wait() } else { ring.head().map_err(mmap_ring::Error::from) };
                    let head = head.map_err(|error| PollError::of(entry.token, error))?;
                    entry.ready = head == Head::Ready;
                    state.ring_ready |= entry.ready;
                    state.ring_busy |= head == Head::Busy;
                    state.has_rings = true;
                }
                #[cfg(feature = "perf")]
                Source::Perf(buffers) => entry.ready |= buffers.next_poll().is_some_and(|at| at <= now),
                #[cfg(feature = "perf")]
                Source::PerfSet(set) => {
                    if set.next_poll().is_some_and(|at| at <= now) {
                        // The caller may read the set without noting the poll; it would then be ready again at once.
                        set.note_poll();
                        entry.ready |= entry.source.has_perf_records();
                    }
                }
                Source::Fd(_) => {}
            }
            state.ready |= entry.ready;
        }
        if state.has_rings && (state.ready || prepare) {
            self.timers.checked(state.ring_ready);
        }
        #[cfg(feature = "perf")]
        if state.ready {
            // As long as one source is always ready there is no sleep, so epoll never reports these.
            for entry in &mut self.entries {
                entry.ready |= entry.source.has_perf_records();
            }
        }
        Ok(state)
    }

    /// Returns the longest sleep that the sources allow.
    fn limit(&mut self, state: &State, now: Instant) -> Option<Duration> {
        let mut limit = if state.has_rings { self.timers.limit(state.ring_busy) } else { None };
        let mut shorten = |by: Duration| limit = Some(limit.map_or(by, |limit| limit.min(by)));
        #[cfg(not(feature = "perf"))]
        let _ = (&mut shorten, now);
        #[cfg(feature = "perf")]
        for entry in &self.entries {
            let at = match &entry.source {
                Source::Perf(buffers) => {
                    shorten(REFRESH);
                    buffers.next_poll()
                }
                Source::PerfSet(set) => set.next_poll(),
                _ => continue,
            };
            if let Some(at) = at {
                shorten(at.saturating_duration_since(now));
            }
        }
        limit
    }

    /// Sleeps, and marks the sources that epoll reports. Returns true if it reported any.
    fn sleep(&mut self, limit: Option<Duration>) -> Result<bool, PollError> {
        let Self { epoll, stop, entries, .. } = self;
        let (mut broken, mut unknown) = (None, 0);
        let report = |event: Event| {
            if event.token == STOP {
                stop.notice();
                return;
            }
            let token = Token(event.token);
            let index = entries.binary_search_by_key(&token, |entry| entry.token);
            let Some(entry) = index.ok().and_then(|index| entries.get_mut(index)) else {
                unknown += 1;
                return;
            };
            match &entry.source {
                // The record at its head decides whether a ring is ready: this may be an old edge.
                #[cfg(feature = "ring")]
                Source::Ring(_) if !event.broken => {}
                _ => entry.ready |= event.ready,
            }
            if event.broken && !event.ready {
                broken = broken.or(Some(token));
            }
        };
        let why = "sleeps until a source is ready, or until the next check";
        let count = epoll.wait_events(limit, why, report).map_err(|error| failed("wait for sources", &error))?;
        if unknown != 0 {
            // The exchanged source would end every sleep from now on.
            self.watch_anew().map_err(|error| failed("wait for sources, one of which was exchanged", &error))?;
        }
        match broken {
            None => Ok(count > unknown),
            Some(token) => {
                let why = "it is closed at its other end, or has an error: remove it (`Poller::remove`)".to_owned();
                Err(PollError::of(token, Error::Invalid { operation: "wait for a file descriptor".to_owned(), why }))
            }
        }
    }

    /// Checks all perf buffers for CPUs that came or went, once a second. Returns the first error after all checks.
    #[cfg(feature = "perf")]
    fn refresh(&mut self) -> Result<(), PollError> {
        if self.refreshed.elapsed() < REFRESH {
            return Ok(());
        }
        self.refreshed = Instant::now();
        let mut failed = None;
        for entry in &mut self.entries {
            if let Source::Perf(buffers) = &mut entry.source {
                let new = match buffers.refresh() {
                    Ok(new) => new,
                    Err(error) => {
                        failed.get_or_insert(PollError::of(entry.token, error));
                        buffers.take_changes()
                    }
                };
                // Report the changes to the caller even if no record arrives.
                entry.ready |= new != perf_reader::HotplugChanges::default();
                let known = &mut entry.changes;
                for (known, new) in [
                    (&mut known.added, new.added),
                    (&mut known.restored, new.restored),
                    (&mut known.removed, new.removed),
                    (&mut known.taken, new.taken),
                    (&mut known.regained, new.regained),
                ] {
                    for cpu in new {
                        // Bound the list for callers that never take the changes.
                        if !known.contains(&cpu) {
                            known.push(cpu);
                        }
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

fn failed(attempt: &str, error: &io::Error) -> PollError {
    PollError { token: None, error: Error::kernel(attempt, error) }
}
