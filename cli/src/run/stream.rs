//! Prints records as they arrive, until the run ends.
//!
//! The run ends when the command or the process exits, `--count` or `--duration` is reached, a signal arrives, or
//! stdout is closed.

use std::{
    io::{self, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Stopper, Wake, btf::Btf};

use super::{
    arguments::{Arguments, Format},
    attach::Attached,
    buffers::{Buffers, Record, Source},
    command_tree::CommandTree,
    counted::LossesOfRun,
    maps::MapPrinter,
    output::Output,
    prints::{Print, Prints},
    progress::Progress,
    record_type::Records,
    selection::Selection,
    summary::{SourceSummary, Summary},
    tick::Tick,
    timestamps::Clock,
    variables,
};
use crate::{
    child::{Child, Process},
    diagnostics,
    error::CliError,
    moment::Moment,
    recorder::Recorder,
    terminal,
};

/// Interval at which the mappings of a process are read.
const OBSERVE: Duration = Duration::from_millis(100);

/// The parts of a run that only some options or objects need.
pub(super) struct Extras<'a> {
    /// The processes of `--only-command`.
    pub(super) tree: Option<&'a CommandTree>,
    /// `None` without `--maps`.
    pub(super) maps: Option<&'a MapPrinter<'a>>,
    /// `None` if no program prints.
    pub(super) prints: Option<Prints<'a>>,
    /// `None` without `--record`.
    pub(super) recorder: Option<Recorder>,
}

/// The state of a run: its output, its counts, and the conditions that end it.
pub(super) struct Stream<'a, 'b> {
    arguments: &'a Arguments,
    output: Output<'b>,
    /// The record types of each source, in the order of the sources.
    records: &'a [Records<'b>],
    selection: Selection<'b>,
    extras: Extras<'a>,
    /// The next time at which maps are printed.
    interval: Option<Tick>,
    /// The next time at which the mappings of a process are read, and the process.
    observed: Option<(Tick, u32)>,
    /// `None` if the line is not shown.
    progress: Option<Progress>,
    received: u64,
    printed: u64,
    /// Received records of each source, in the order of the sources.
    received_by_source: Vec<u64>,
    /// Corrupt records that were skipped.
    unreadable: u64,
    stop: Stopper,
    /// Stdout is closed.
    closed: bool,
}

impl<'a, 'b> Stream<'a, 'b> {
    pub(super) fn new(
        arguments: &'a Arguments,
        records: &'a [Records<'b>],
        selection: Selection<'b>,
        extras: Extras<'a>,
        stop: Stopper,
    ) -> Self {
        Self {
            arguments,
            output: Output::new(arguments.format, arguments.timestamps, records),
            records,
            selection,
            extras,
            interval: arguments.interval.map(Tick::after),
            observed: None,
            progress: if arguments.quiet { None } else { Progress::start() },
            received: 0,
            printed: 0,
            received_by_source: vec![0; records.len()],
            unreadable: 0,
            stop,
            closed: false,
        }
    }

    /// Returns the received and lost records of all sources.
    pub(super) fn summary<'s>(&self, sources: &'s [Source], lost: LossesOfRun) -> Summary<'s> {
        let each = sources.iter().zip(lost.each).zip(&self.received_by_source);
        let each = each.map(|((source, lost), &received)| SourceSummary { source, received, lost }).collect();
        Summary {
            received: self.received,
            printed: self.selection.is_active().then_some(self.printed),
            unreadable: self.unreadable,
            each,
            of_unknown_maps: lost.of_unknown_maps,
            total: lost.total,
        }
    }

    /// Prints the summary to stdout if `--summary` is given.
    pub(super) fn print_summary(&mut self, summary: &Summary<'_>) -> Result<(), CliError> {
        if self.arguments.summary {
            let lines = match self.arguments.format {
                Format::Json => vec![summary.json()?],
                Format::Table | Format::Hex => summary.lines(),
            };
            self.print_lines("summary", &lines)?;
        }
        Ok(())
    }

    /// Ends the recording, if there is one.
    pub(super) fn finish_recording(&mut self, lost: Option<u64>) -> Result<(), CliError> {
        self.extras.recorder.take().map_or(Ok(()), |recorder| recorder.finish(self.printed, lost, self.arguments.quiet))
    }

    /// Prints records until the run ends. Then detaches the programs, and prints the records that were sent before.
    pub(super) fn run(
        &mut self,
        buffers: &mut Buffers,
        attached: Attached,
        process: Option<Process>,
    ) -> Result<(), CliError> {
        let arguments = self.arguments;
        let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
        let stop = self.stop.clone();
        let command = match (arguments.command.split_first(), process) {
            (Some((program, rest)), _) => {
                let start = || Child::start(program, rest, Stdio::inherit(), move || stop.stop());
                Some(match self.extras.tree {
                    Some(tree) => tree.with_children(start)?,
                    None => start()?,
                })
            }
            (None, Some(process)) => {
                process.at_end(move || stop.stop())?;
                None
            }
            (None, None) => None,
        };
        let pid = command.as_ref().and_then(Child::pid).or(arguments.program.pid);
        self.observed =
            pid.filter(|_| self.extras.maps.is_some_and(MapPrinter::has_stacks)).map(|pid| (Tick::now(OBSERVE), pid));
        let outcome = self.iterate(&attached).and_then(|()| {
            // Without attached programs no records follow: those that were run once and the iterators are done.
            let idle = attached.attached.is_empty()
                && command.is_none()
                && arguments.program.pid.is_none()
                && deadline.is_none();
            if idle { Ok(()) } else { self.follow(buffers, deadline) }
        });
        let command = command.map(Child::end).transpose();
        attached.detach();
        let outcome = outcome.and_then(|()| self.drain(buffers)).and_then(|()| self.finish_prints());
        self.progress = None;
        let sentence = self.selection.sentence().filter(|_| !self.arguments.quiet || !self.selection.has_judged_all());
        sentence.iter().for_each(|sentence| diagnostics::say(sentence));
        command?;
        outcome
    }

    /// Reads every iterator once, and prints what its program writes as lines of text.
    fn iterate(&mut self, attached: &Attached) -> Result<(), CliError> {
        for (name, link) in &attached.iterators {
            let mut written = Vec::new();
            link.read_iterator()?
                .read_to_end(&mut written)
                .map_err(|error| CliError::system(&format!("read the iterator `{name}`"), &error))?;
            let text = String::from_utf8_lossy(&written).into_owned();
            let lines = text.lines().map(|line| match self.arguments.format {
                Format::Json => terminal::json(&serde_json::json!({ "iterator": name, "line": line })),
                Format::Table | Format::Hex => Ok(terminal::clean(line).into_owned()),
            });
            let lines = lines.collect::<Result<Vec<_>, _>>()?;
            self.print_lines("iterator", &lines)?;
        }
        Ok(())
    }

    /// Prints and records lines that are no records.
    fn print_lines(&mut self, what: &str, lines: &[String]) -> Result<(), CliError> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(recorder) = &mut self.extras.recorder {
            recorder.clock(Moment::now())?;
            recorder.lines(what, lines, self.arguments.format == Format::Json)?;
            recorder.pass_on()?;
        }
        let written = lines.iter().try_for_each(|line| self.output.line(line)).and_then(|()| self.output.flush());
        self.check_output(written)
    }

    /// Prints records as they arrive, until the run ends.
    fn follow(&mut self, buffers: &mut Buffers, deadline: Option<Instant>) -> Result<(), CliError> {
        loop {
            let left = |at: Instant| at.saturating_duration_since(Instant::now());
            let is_over = deadline.map(left) == Some(Duration::ZERO);
            let next = deadline.into_iter().chain(self.progress.as_ref().map(Progress::next)).chain(self.ticks()).min();
            if self.is_done() || is_over || buffers.wait(next.map(left))? == Wake::Stopped {
                return Ok(());
            }
            self.drain(buffers)?;
            self.tick()?;
            let printed = self.selection.is_active().then_some(self.printed);
            if let Some(progress) = &mut self.progress {
                progress.update(self.received, printed);
            }
        }
    }

    /// Returns the times of the next ticks.
    fn ticks(&self) -> impl Iterator<Item = Instant> {
        let observed = self.observed.iter().map(|(tick, _)| tick.next());
        let prints = self.extras.prints.iter().map(Prints::next);
        self.interval.iter().map(Tick::next).chain(observed).chain(prints).collect::<Vec<_>>().into_iter()
    }

    /// Does what is due now: prints maps, and reads the mappings of the process.
    fn tick(&mut self) -> Result<(), CliError> {
        if let (Some((tick, pid)), Some(maps)) = (&mut self.observed, self.extras.maps)
            && tick.is_due()
        {
            maps.observe(*pid);
        }
        self.read_prints(Prints::read_if_due)?;
        if self.interval.as_mut().is_some_and(Tick::is_due) {
            let clock = Clock::at(Moment::now());
            let time = clock.time(None);
            let head = match self.arguments.format {
                Format::Json => terminal::json(&serde_json::json!({ "maps_at": time.rfc3339() }))?,
                Format::Table | Format::Hex => format!("--- {}", clock.local(time)),
            };
            self.print_maps(vec![head])?;
        }
        Ok(())
    }

    /// Prints what the programs have printed, as `read` returns it.
    fn read_prints(
        &mut self,
        read: impl FnOnce(&mut Prints<'a>) -> Result<Vec<Print>, CliError>,
    ) -> Result<(), CliError> {
        let Some(prints) = &mut self.extras.prints else { return Ok(()) };
        let prints = read(prints)?;
        let clock = self.arguments.timestamps.then(|| Clock::at(Moment::now()));
        let lines = prints.iter().map(|print| print.line(self.arguments.format, clock.as_ref()));
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        self.print_lines("print", &lines)
    }

    /// Prints what the programs have printed before they were detached. In the only trace of an old kernel,
    /// other programs may print on.
    fn finish_prints(&mut self) -> Result<(), CliError> {
        /// Number of reads of a mebibyte each: more than the trace of a machine with 128 CPUs holds.
        const MOST: usize = 256;
        self.extras.prints.iter().for_each(Prints::stop);
        let mut is_behind = true;
        for _ in 0..MOST {
            self.read_prints(Prints::read)?;
            is_behind = self.extras.prints.as_ref().is_some_and(Prints::is_behind);
            if !is_behind || self.closed {
                break;
            }
        }
        if is_behind && !self.closed {
            diagnostics::say(
                "the last texts of bpf_trace_printk are not printed: other programs print as fast as run reads",
            );
        }
        self.read_prints(|prints| Ok(prints.finish()))
    }

    /// Prints the lines, then the maps.
    fn print_maps(&mut self, mut lines: Vec<String>) -> Result<(), CliError> {
        if let Some(maps) = self.extras.maps {
            lines.extend(maps.lines()?);
        }
        let lines: Vec<_> = lines.iter().map(|line| terminal::clean(line).into_owned()).collect();
        self.print_lines("state", &lines)
    }

    /// Prints the available records.
    fn drain(&mut self, buffers: &mut Buffers) -> Result<(), CliError> {
        if self.is_done() {
            return Ok(());
        }
        let now = Moment::now();
        self.output.receive(now);
        let mut is_first = true;
        let mut failed = Ok(());
        let unreadable = buffers.drain(|record| {
            let Some(records) = self.records.get(record.source) else { return true };
            self.received += 1;
            if let Some(received) = self.received_by_source.get_mut(record.source) {
                *received += 1;
            }
            failed = self.print(record, records, std::mem::take(&mut is_first).then_some(now));
            failed.is_ok() && !self.is_done()
        })?;
        self.unreadable += unreadable;
        failed?;
        if let Some(recorder) = &mut self.extras.recorder {
            recorder.pass_on()?;
        }
        let written = self.output.flush();
        self.check_output(written)
    }

    /// Prints and records a record, if it is selected. `now` is the time of the first record of several.
    fn print(&mut self, record: &Record<'_>, records: &Records<'b>, now: Option<Moment>) -> Result<(), CliError> {
        if let (Some(recorder), Some(now)) = (&mut self.extras.recorder, now) {
            recorder.clock(now)?;
        }
        if !self.selection.admits(record.bytes, records)? {
            return Ok(());
        }
        self.printed += 1;
        if let Some(recorder) = &mut self.extras.recorder {
            recorder.add(&record.entry())?;
        }
        let written = self.output.record(record, records);
        self.check_output(written)
    }

    /// Prints the variables with `--variables`, and the elements of maps with `--maps`.
    pub(super) fn print_state(&mut self, loaded: &Loaded, btf: Option<&Btf<'_>>) -> Result<(), CliError> {
        let (arguments, mut lines) = (self.arguments, Vec::new());
        if arguments.variables {
            lines = variables::lines(loaded, btf, arguments.format)?;
            if lines.is_empty() {
                diagnostics::say("--variables: the object has no global variables");
            }
        }
        if self.extras.maps.is_some_and(|maps| !maps.has_maps()) {
            diagnostics::say("--maps: the object has no map with elements");
        }
        self.print_maps(lines)
    }

    /// Checks the result of writing to stdout. A closed stdout is not an error, but ends the run.
    fn check_output(&mut self, written: io::Result<()>) -> Result<(), CliError> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(CliError::system("write to stdout", &error)),
            Ok(()) => Ok(()),
        }
    }

    /// Returns whether `--count` is reached, or stdout is closed.
    fn is_done(&self) -> bool {
        self.closed || self.arguments.count.is_some_and(|most| self.printed >= most)
    }
}
