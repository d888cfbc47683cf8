//! Loads the object with marks, runs its programs, and reads which lines ran.

use std::{
    io::{self, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use cutaway::{CoverageReport, NotMeasured, Stopper, Wake, btf::Btf};

use super::{arguments::Arguments, test_run::Request};
use crate::{
    child::{Child, Process},
    error::CliError,
    object_arg::ReadObject,
    object_reader::Reader,
    run::{
        AttachArgs, Attached, Buffers, DEFAULT_BUFFER, Skipped, TokenChoice, apply_unpinned, attach_except, set_globals,
    },
    signals,
};

/// The lines that ran, and the programs that were loaded and could not run.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) report: CoverageReport,
    pub(super) unattached: Vec<Unattached>,
}

/// A program that was loaded, but not attached, so its lines did not run.
pub(super) struct Unattached {
    pub(super) name: String,
    pub(super) why: String,
}

/// Runs the object until the command exits, the time is over, or a signal arrives.
pub(super) fn measure(arguments: &Arguments) -> Result<Measured, CliError> {
    let ReadObject { shown, mut object, .. } = arguments.object.read(Reader::Cutaway)?;
    let requests = arguments.test_runs.iter().map(|text| Request::read(text)).collect::<Result<Vec<_>, _>>()?;
    let section = object.btf();
    let types = section.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
    apply_unpinned(&mut object, &arguments.program)?;
    for request in &requests {
        object.program_mut(&request.program)?.section.autoload = true;
    }
    set_globals(&mut object, &arguments.program.settings, types.as_ref())?;
    object.cover();

    let process = arguments.program.pid.map(Process::open).transpose()?;
    let is_run = |name: &str| requests.iter().any(|request| request.program == name);
    let token = TokenChoice::of(&arguments.program)?;
    let (loaded, refused) = object.load_partial_with(&token.load_options())?;
    drop(token);
    let (required, refused): (Vec<_>, Vec<_>) = refused.into_iter().partition(|refused| is_run(&refused.name));
    if let Some(first) = required.into_iter().next() {
        return Err(first.why.into());
    }
    // Without a reader, a full buffer would send the programs into their error paths.
    let mut buffers = Buffers::open(&loaded, DEFAULT_BUFFER)?;
    let stop = buffers.stopper();
    let by_signal = stop.clone();
    signals::on_stop(move || by_signal.stop()).map_err(|error| CliError::system("listen for signals", &error))?;
    let mut attached = Attached::default();
    if arguments.attaches() {
        attached = attach_except(&loaded, &AttachArgs::of(&arguments.program), is_run);
    }
    let mut skipped = Skipped::of(&loaded, refused, &arguments.program.programs);
    let unloaded: Vec<_> = skipped.reasons().map(|(name, why)| NotMeasured::new(name, why)).collect();
    let unattached = if arguments.attaches() {
        let all = attached.skipped.iter().cloned();
        all.map(|(name, why)| Unattached { name, why }).collect()
    } else {
        let others = loaded.programs().map(|program| program.name().to_owned()).filter(|name| !is_run(name));
        others.map(|name| Unattached { name, why: NO_TEST_RUN.to_owned() }).collect()
    };
    skipped.add(std::mem::take(&mut attached.skipped));
    skipped.report(&shown, attached.is_empty() && requests.is_empty())?;
    attached.report(arguments.quiet);
    for request in &requests {
        request.run(&loaded)?;
        buffers.drain(|_| true)?;
    }
    wait(arguments, &mut buffers, attached, process, stop)?;
    let coverage = loaded.coverage().ok_or_else(|| CliError::new("the object was loaded without coverage"))?;
    let mut report = coverage.report()?;
    report.add_not_measured(unloaded);
    Ok(Measured { report, unattached })
}

/// Why a program did not run, if only test runs are requested.
const NO_TEST_RUN: &str = "no --test-run names it, and with --test-run alone cover attaches no program";

/// Waits until the run ends, then detaches the programs. Records are read and dropped.
fn wait(
    arguments: &Arguments,
    buffers: &mut Buffers,
    attached: Attached,
    process: Option<Process>,
    stop: Stopper,
) -> Result<(), CliError> {
    let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
    let command = match (arguments.command.split_first(), process) {
        (Some((program, rest)), _) => Some(Child::start(program, rest, Stdio::inherit(), move || stop.stop())?),
        (None, Some(process)) => {
            process.at_end(move || stop.stop())?;
            None
        }
        (None, None) => None,
    };
    let ends_by_itself = command.is_some() || arguments.program.pid.is_some() || deadline.is_some();
    let outcome = iterate(&attached).and_then(|()| {
        if attached.attached.is_empty() && !ends_by_itself { Ok(()) } else { read_until(buffers, deadline) }
    });
    let ended = command.map(Child::end).transpose();
    drop(attached);
    outcome?;
    ended.map(drop)
}

/// Reads every iterator once, which runs its program.
fn iterate(attached: &Attached) -> Result<(), CliError> {
    for (name, link) in &attached.iterators {
        let failed = |error| CliError::system(&format!("read the iterator `{name}`"), &error);
        io::copy(&mut link.read_iterator()?.by_ref(), &mut io::sink()).map_err(failed)?;
    }
    Ok(())
}

fn read_until(buffers: &mut Buffers, deadline: Option<Instant>) -> Result<(), CliError> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) || buffers.wait(left)? == Wake::Stopped {
            return Ok(());
        }
        buffers.drain(|_| true)?;
    }
}
