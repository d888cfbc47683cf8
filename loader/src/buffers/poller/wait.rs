//! The wait.

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

/// After so many waits that led to no sleep, ask whether a stop came by the file descriptor.
const ASK_EVERY: u32 = 64;
/// How often CPUs that came or went are looked for.
#[cfg(feature = "perf")]
const REFRESH: Duration = Duration::from_secs(1);

/// What is known of the sources without a system call.
#[derive(Debug, Default)]
struct Look {
    ready: bool,
    ring_ready: bool,
    ring_busy: bool,
    has_rings: bool,
}

impl Poller {
    /// Sleeps until a source is [`ready`](Self::ready), a [`Stopper`](crate::Stopper) is used, or `timeout` is over
    /// (rounded up to milliseconds; `None` waits without limit, zero only asks). Returns at once if a source is ready.
    ///
    /// [`Wake::Stopped`] comes first; sources may be ready all the same. After [`Wake::Ready`] a perf buffer may turn
    /// out to have nothing.
    ///
    /// # Errors
    ///
    /// [`PollError`] with the token of the source that is broken: a ring that is corrupt or that another process reads
    /// as well; a file descriptor that is closed at its other end and has nothing more to read, or has an error. The
    /// wait fails in this way until that source is [removed](Self::remove). Perf buffers whose CPUs or slots cannot be
    /// looked after ([`AdaptiveReader::refresh`](perf_reader::AdaptiveReader::refresh)) make a wait fail at most once a
    /// second, and can be read all the same. No event of another source is lost. Without a token if epoll_wait(2)
    /// fails.
    #[doc(alias("ring_buffer__poll", "perf_buffer__poll", "epoll_wait"))]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Wake, PollError> {
        // A time too long for the clock is no limit.
        self.wait_for(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Does the same until `deadline`.
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
            // Whether these are ready is asked anew.
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
            let mut look = self.look(false)?;
            if !look.ready {
                look = self.look(true)?;
            }
            let now = Instant::now();
            let is_over = deadline.is_some_and(|deadline| deadline <= now);
            if look.ready || is_over {
                // Of files the kernel alone knows.
                if !asked && (!look.ready || self.entries.iter().any(|entry| matches!(entry.source, Source::Fd(_)))) {
                    self.sleep(Some(Duration::ZERO))?;
                    if self.stop.is_stopped() {
                        return Ok(Wake::Stopped);
                    }
                }
                let is_ready = self.entries.iter().any(|entry| entry.ready);
                return Ok(if is_ready { Wake::Ready } else { Wake::TimedOut });
            }
            let limit = self.limit(&look, now).into_iter().chain(deadline.map(|deadline| deadline - now)).min();
            asked = true;
            let woken = self.sleep(limit)?;
            self.timers.slept(woken);
        }
    }

    /// Returns whether a stop is known. A poller whose sources are always ready never sleeps, so a stop that came by
    /// the file fd alone is asked for now and then.
    fn is_stopped(&mut self, slept: bool) -> Result<bool, PollError> {
        if !slept {
            self.at_once = self.at_once.wrapping_add(1);
            if self.at_once.is_multiple_of(ASK_EVERY) {
                self.stop.poll().map_err(|error| failed("ask for a stop", &error))?;
            }
        }
        Ok(self.stop.is_stopped())
    }

    /// Looks at all sources without a system call, and marks those that are ready. `prepare`: makes each ready for a
    /// sleep.
    fn look(&mut self, prepare: bool) -> Result<Look, PollError> {
        let mut look = Look::default();
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
                    look.ring_ready |= entry.ready;
                    look.ring_busy |= head == Head::Busy;
                    look.has_rings = true;
                }
                #[cfg(feature = "perf")]
                Source::Perf(buffers) => entry.ready |= buffers.next_poll().is_some_and(|at| at <= now),
                #[cfg(feature = "perf")]
                Source::PerfSet(set) => {
                    if set.next_poll().is_some_and(|at| at <= now) {
                        // The caller may read it in a way that does not note the poll, and would then be told at once
                        // again.
                        set.note_poll();
                        entry.ready |= entry.source.has_perf_records();
                    }
                }
                Source::Fd(_) => {}
            }
            look.ready |= entry.ready;
        }
        if look.has_rings && (look.ready || prepare) {
            self.timers.looked(look.ring_ready);
        }
        #[cfg(feature = "perf")]
        if look.ready {
            // As long as one source is always ready there is no sleep, so nothing tells of these.
            for entry in &mut self.entries {
                entry.ready |= entry.source.has_perf_records();
            }
        }
        Ok(look)
    }

    /// Returns how long the sources allow to sleep.
    fn limit(&mut self, look: &Look, now: Instant) -> Option<Duration> {
        let mut limit = if look.has_rings { self.timers.limit(look.ring_busy) } else { None };
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

    /// Sleeps, and marks the sources that epoll reports. Returns whether it reported any.
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
                // What stands at its head says whether it is ready: this may be an edge of long ago.
                #[cfg(feature = "ring")]
                Source::Ring(_) if !event.broken => {}
                _ => entry.ready |= event.ready,
            }
            if event.broken && !event.ready {
                broken = broken.or(Some(token));
            }
        };
        let why = "sleeps until a source has something, or it is time to look";
        let count = epoll.wait_events(limit, why, report).map_err(|error| failed("wait for sources", &error))?;
        if unknown != 0 {
            // It would end every sleep from now on.
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

    /// Looks for CPUs that came or went, once a second, in all perf buffers. Returns the first error afterwards.
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
                // The caller may want to know even if no record comes.
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
                        // A caller that never asks must not cost memory without limit.
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
