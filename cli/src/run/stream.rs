//! From the first record to the last: what comes is printed, until it is time to end.
//!
//! Time to end it is when the command or the process ends, when so many records have come or so much time has passed,
//! when a signal comes, and when stdout is closed.

use std::{
    io::{self, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use cutaway::{Loaded, MapSpec, Stopper, Wake, btf::Btf};

use super::{
    arguments::{Arguments, Form},
    attach::Attached,
    buffers::{Buffers, Source},
    dump,
    losses::Losses,
    output::Output,
    record_type::Records,
    summary::{Of, Summary},
};
use crate::{
    child::{Child, Process},
    diagnostics,
    error::CliError,
    terminal,
};

/// What has been seen so far, and where to stop.
pub(super) struct Stream<'a, 'b> {
    arguments: &'a Arguments,
    output: Output<'b>,
    /// Of each source, in the order of those.
    records: &'a [Records<'b>],
    received: u64,
    /// The same, of each source.
    received_of: Vec<u64>,
    /// Records that came and could not be read.
    unreadable: u64,
    stop: Stopper,
    /// Nobody reads stdout any more.
    closed: bool,
}

impl<'a, 'b> Stream<'a, 'b> {
    pub(super) fn new(arguments: &'a Arguments, records: &'a [Records<'b>], stop: Stopper) -> Self {
        let output = Output::new(arguments.format, records);
        let received_of = vec![0; records.len()];
        Self { arguments, output, records, received: 0, received_of, unreadable: 0, stop, closed: false }
    }

    /// What has come and what was lost.
    pub(super) fn summary<'s>(&self, sources: &'s [Source], lost: &[Losses]) -> Summary<'s> {
        let each = sources.iter().zip(lost).zip(&self.received_of);
        let each = each.map(|((source, &lost), &received)| Of { source, received, lost }).collect();
        Summary { received: self.received, unreadable: self.unreadable, each }
    }

    /// Prints the summary to stdout, if that is asked for.
    pub(super) fn sum_up(&mut self, summary: &Summary<'_>) -> Result<(), CliError> {
        if self.arguments.summary {
            let lines = match self.arguments.format {
                Form::Json => vec![summary.json()],
                Form::Table | Form::Hex => summary.lines(),
            };
            let answer = lines.iter().try_for_each(|line| self.output.line(line)).and_then(|()| self.output.flush());
            self.heard(answer)?;
        }
        Ok(())
    }

    /// From the first record to the last: what is attached is detached when it is time to end, and what was sent until
    /// then is printed.
    pub(super) fn whole(
        &mut self,
        buffers: &mut Buffers,
        attached: Attached,
        process: Option<Process>,
    ) -> Result<(), CliError> {
        let arguments = self.arguments;
        let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
        let stop = self.stop.clone();
        let command = match (arguments.command.split_first(), process) {
            (Some((program, rest)), _) => Some(Child::start(program, rest, Stdio::inherit(), move || stop.stop())?),
            (None, Some(process)) => {
                process.at_end(move || stop.stop())?;
                None
            }
            (None, None) => None,
        };
        let outcome = self.iterate(&attached).and_then(|()| {
            // Programs that have run, and iterators that were read, are done; there is nothing to wait for.
            let idle =
                attached.attached.is_empty() && command.is_none() && arguments.pid.is_none() && deadline.is_none();
            if idle { Ok(()) } else { self.follow(buffers, deadline) }
        });
        let command = command.map(Child::end).transpose();
        drop(attached);
        let outcome = outcome.and_then(|()| self.drain(buffers));
        command?;
        outcome
    }

    /// Reads every iterator once: what its program writes is text, or bytes that only it knows.
    fn iterate(&mut self, attached: &Attached) -> Result<(), CliError> {
        for (name, link) in &attached.iterators {
            let mut written = Vec::new();
            link.read_iterator()?
                .read_to_end(&mut written)
                .map_err(|error| CliError::system(&format!("read the iterator `{name}`"), &error))?;
            let text = String::from_utf8_lossy(&written).into_owned();
            for line in text.lines() {
                let line = match self.arguments.format {
                    Form::Json => terminal::json(&serde_json::json!({ "iterator": name, "line": line }))?,
                    Form::Table | Form::Hex => terminal::clean(line).into_owned(),
                };
                let answer = self.output.line(&line);
                self.heard(answer)?;
            }
        }
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// Prints records as they come, until it is time to end.
    fn follow(&mut self, buffers: &mut Buffers, deadline: Option<Instant>) -> Result<(), CliError> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if self.full() || left == Some(Duration::ZERO) || buffers.wait(left)? == Wake::Stopped {
                return Ok(());
            }
            self.drain(buffers)?;
        }
    }

    /// Prints what is there now.
    fn drain(&mut self, buffers: &mut Buffers) -> Result<(), CliError> {
        if self.full() {
            return Ok(());
        }
        let mut failed = Ok(());
        let unreadable = buffers.drain(|record| {
            let Some(records) = self.records.get(record.source) else { return true };
            self.received += 1;
            if let Some(of) = self.received_of.get_mut(record.source) {
                *of += 1;
            }
            let answer = self.output.record(record, records);
            failed = self.heard(answer);
            failed.is_ok() && !self.full()
        })?;
        self.unreadable += unreadable;
        failed?;
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// Variables and maps, if they are asked for.
    pub(super) fn state(&mut self, loaded: &Loaded, specs: &[MapSpec], btf: Option<&Btf<'_>>) -> Result<(), CliError> {
        let (arguments, mut lines) = (self.arguments, Vec::new());
        if arguments.variables {
            let told = dump::variables(loaded, btf, arguments.format)?;
            if told.is_empty() {
                diagnostics::say("--variables: the object has no global variables");
            }
            lines.extend(told);
        }
        if arguments.maps {
            if !specs.iter().any(dump::is_shown) {
                diagnostics::say("--maps: the object has no hash and no array");
            }
            lines.extend(dump::maps(loaded, specs, btf, arguments.format)?);
        }
        for line in lines {
            let answer = self.output.line(&terminal::clean(&line));
            self.heard(answer)?;
        }
        let answer = self.output.flush();
        self.heard(answer)
    }

    /// A reader who has gone is no failure, but a reason to end.
    fn heard(&mut self, answer: io::Result<()>) -> Result<(), CliError> {
        match answer {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(CliError::system("write to stdout", &error)),
            Ok(()) => Ok(()),
        }
    }

    /// As many records as were asked for, or nobody to show them to.
    fn full(&self) -> bool {
        self.closed || self.arguments.count.is_some_and(|most| self.received >= most)
    }
}
