//! Reads events from the buffer and prints them, until the trace ends.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use cutaway_programs::getaddrinfo::{DecodedEvent, HostGlob, Transport};
use log::warn;

use super::{
    draw_then_read::{Drawn, Take},
    libraries::Names,
    origin::{Cgroups, Origin, container},
    output::Output,
    recorded::TraceRecorder,
    source::Source,
    summary::{Period, Summaries, write_failed},
};
use crate::error::CliError;

/// The state of a trace, and its limits.
pub(super) struct Trace<'a> {
    pub(super) transport: Transport,
    pub(super) output: Output,
    pub(super) names: Names,
    pub(super) cgroups: Cgroups,
    /// The pattern of `--host`. The programs check only a part of it.
    pub(super) host: Option<HostGlob>,
    pub(super) received: u64,
    /// Records that could not be parsed.
    pub(super) unreadable: u64,
    pub(super) limit: Option<u64>,
    pub(super) stopped: &'a AtomicBool,
    /// Set by a signal. Then `--step` does not wait either.
    pub(super) interrupted: &'a AtomicBool,
    /// Stdout is closed.
    pub(super) closed: bool,
    /// With `--draw`, the drawing of the ring before it is read.
    pub(super) drawn: Option<Drawn>,
    /// Whether each event has a line. Not with `--summary` alone.
    pub(super) lines: bool,
    pub(super) summaries: Option<Summaries>,
    /// `None` without `--record`.
    pub(super) recorder: Option<TraceRecorder>,
    /// Counts the lost events so far; takes the number of records that could not be parsed.
    pub(super) lost: &'a dyn Fn(&Source, u64) -> Result<u64, CliError>,
}

impl Trace<'_> {
    /// Prints events as they arrive, until the trace ends.
    pub(super) fn follow(&mut self, source: &mut Source, deadline: Option<Instant>) -> Result<(), CliError> {
        loop {
            let now = Instant::now();
            let left = |at: Instant| at.saturating_duration_since(now);
            if self.ended() || deadline.is_some_and(|deadline| left(deadline).is_zero()) {
                return Ok(());
            }
            let next = self.summaries.as_ref().and_then(Summaries::next);
            if source.wait(deadline.into_iter().chain(next).min().map(left))? {
                // It may only have been a request for a summary. The end of the trace has a flag of its own.
                source.resume()?;
            }
            self.drain(source)?;
            if let Some(period) = self.summaries.as_ref().and_then(Summaries::due) {
                self.summarize(period, source)?;
            }
        }
    }

    /// Prints the summary of a period, if there are summaries.
    pub(super) fn summarize(&mut self, period: Period, source: &Source) -> Result<(), CliError> {
        let Some(summaries) = &mut self.summaries else { return Ok(()) };
        if self.closed {
            return Ok(());
        }
        let lost = (self.lost)(source, self.unreadable)?;
        let text = summaries.take(period, lost, self.output.format(), self.output.now())?;
        if let Some(recorder) = &mut self.recorder {
            recorder.lines(&text, self.output.format())?;
        }
        match self.output.lines(&text).and_then(|()| self.output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(write_failed(&error)),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Prints the records that are in the buffer now. If the ring is drawn, each batch follows its picture.
    pub(super) fn drain(&mut self, source: &mut Source) -> Result<(), CliError> {
        while let Some(drawn) = &mut self.drawn {
            match drawn.draw(self.interrupted) {
                Err(failure) if failure.is_broken_pipe() => self.closed = true,
                Err(failure) => return Err(failure),
                Ok(Take::None) => return Ok(()),
                Ok(Take::AtMost(most)) => {
                    // All records are discarded, or the first one is busy.
                    if most == 0 || self.take(source, most)? == 0 {
                        break;
                    }
                }
                Ok(Take::AllFromNowOn) => {
                    drawn.finish()?;
                    self.drawn = None;
                }
            }
            if self.is_done() {
                break;
            }
        }
        self.take(source, u64::MAX).map(drop)
    }

    /// Prints at most `most` of the records that are in the buffer now. Returns their number.
    fn take(&mut self, source: &mut Source, most: u64) -> Result<u64, CliError> {
        if self.is_done() {
            return Ok(0);
        }
        let mut taken = 0;
        let transport = self.transport;
        if let Some(recorder) = &mut self.recorder {
            recorder.clock(self.output.moment())?;
        }
        let mut failed = Ok(());
        let unreadable = source.drain(transport.event_size(), |record| {
            let printed = match transport.read(record) {
                Ok(event) if self.host.as_ref().is_none_or(|host| host.may_match(event.node)) => {
                    self.print(&event, record)
                }
                Ok(_) => Ok(()),
                Err(error) => {
                    warn!("{error}");
                    self.unreadable += 1;
                    Ok(())
                }
            };
            match printed {
                Err(failure) if failure.is_broken_pipe() => self.closed = true,
                printed => failed = printed,
            }
            taken += 1;
            failed.is_ok() && !self.is_done() && taken < most
        })?;
        self.unreadable += unreadable;
        failed?;
        if let Some(recorder) = &mut self.recorder {
            recorder.pass_on()?;
        }
        match self.output.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(CliError::system("write to stdout", &error)),
            Ok(()) => {}
        }
        Ok(taken)
    }

    /// Counts, records and prints an event. `bytes` are the event as it was received.
    fn print(&mut self, event: &DecodedEvent<'_>, bytes: &[u8]) -> Result<(), CliError> {
        self.received += 1;
        self.summaries.iter_mut().for_each(|summaries| summaries.add(event));
        if !self.lines && self.recorder.is_none() {
            return Ok(());
        }
        let call = &event.call;
        let origin = if self.output.shows_origin() || self.recorder.is_some() {
            let cgroup = self.cgroups.path(call.cgroup, call.pid, call.time_ns);
            let container = cgroup.as_deref().and_then(container);
            Origin { library: self.names.get(call.cookie), cgroup, container }
        } else {
            Origin::default()
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.event(bytes, &origin)?;
        }
        if !self.lines {
            return Ok(());
        }
        self.output.event(event, self.transport, origin).map_err(|error| write_failed(&error))
    }

    /// Returns whether `--count` events were printed, or stdout is closed.
    fn is_done(&self) -> bool {
        self.closed || self.limit.is_some_and(|limit| self.received >= limit)
    }

    fn ended(&self) -> bool {
        // ATOMICS: pairs with the store in `stop` of `trace::run`.
        self.is_done() || self.stopped.load(Ordering::Relaxed)
    }
}
