//! `cutaway trace`: traces calls of getaddrinfo, and prints a line for each event.
//!
//! ```text
//!     args.rs            the arguments
//!     filter_args.rs     the arguments that select calls
//!     users.rs           users by name or id
//!     built_in.rs        the built-in programs, read by either reader
//!     libraries.rs       the traced libraries: every C library in use, or a named one
//!     follow.rs          the traced processes: all, one, or a set that a program maintains
//!     source.rs          buffer ──▶ record, for every transport
//!     recorded.rs        --record, and the replay of a recording
//!     session.rs         the loop: waits, takes records, counts
//!     output.rs          record ──▶ line: table or JSON
//!     words.rs           results, durations and strings as words
//!     summary.rs         counts, latencies, hosts and commands of many records
//!     origin.rs          the cgroup and container that a call came from
//!     draw_then_read.rs  the ring as a picture, before its records are read
//!     lost.rs            lost events, each counted once
//! ```

mod args;
mod built_in;
mod draw_then_read;
mod filter_args;
mod follow;
mod libraries;
mod lost;
mod origin;
mod output;
mod recorded;
mod session;
mod source;
mod summary;
mod users;
mod words;

use std::{
    fs,
    process::Stdio,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use cutaway::{Loaded, features};
use cutaway_programs::getaddrinfo::{Filter, LIBRARY, Transport, names};
use log::{info, warn};

pub(crate) use self::{
    args::{Arguments, SummaryArg},
    filter_args::host,
    follow::obstacle as cannot_follow,
    libraries::hold_threads_if_asked,
    recorded::replay,
    users::id as user_id,
};
use self::{
    args::{DEFAULT_BUFFER, DEFAULT_READER, TransportArg},
    draw_then_read::Drawn,
    follow::Following,
    libraries::{Libraries, Names},
    lost::Lost,
    origin::Cgroups,
    output::Output,
    recorded::TraceRecorder,
    session::Trace,
    source::Source,
    summary::{Period, Requests, Summaries},
};
use crate::{
    child::{self, Child, Process},
    diagnostics,
    error::CliError,
    recorder::NewRecording,
    signals,
};

/// Traces until the command ends, a limit is reached, or a signal arrives.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    // First of all, so that a signal during the start is a request too.
    let requests = arguments.summary.map(|_| Requests::listen()).transpose()?;
    let filters = &arguments.filters;
    let filter = filters.filter(!arguments.command.is_empty())?;
    let transport = arguments.transport.choose(features::ring_buffer);
    let new_recording = arguments.record.as_deref().map(|path| NewRecording::create(path, false)).transpose()?;
    let processes = filters.pid.iter().map(|pid| Process::open(*pid)).collect::<Result<Vec<_>, _>>()?;
    let (following, obstacle) = Following::choose(&filters.pid, filters.children, !arguments.command.is_empty())?;
    let (loaded, names) = load(transport, arguments, &filter, following)?;
    let loaded = Arc::new(loaded);
    if let Some(why) = obstacle {
        warn!("tracing every process, not the command alone: {why}");
    }
    let mut source = Source::open(transport, &loaded, arguments.buffer)?;
    let recorder = new_recording.map(|new| TraceRecorder::begin(new, transport, source.bytes())).transpose()?;
    let draw = |file: &String| {
        Drawn::new(file, arguments.step, arguments.format, transport, &loaded, arguments.record.as_deref())
    };
    let drawn = arguments.draw.as_ref().map(draw).transpose()?;
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = {
        let (stopped, stopper) = (Arc::clone(&stopped), source.stopper()?);
        move || {
            // ATOMICS: pairs with the load in `Trace::ended`; the stopper's own wake-up orders everything else.
            stopped.store(true, Ordering::Relaxed);
            stopper.stop();
        }
    };
    let interrupted = on_signal(stop.clone())?;
    let followers = following.begin(&loaded)?;
    let mut libraries = attach_probes(arguments, following, &loaded, &names)?;
    let one_process = matches!(following, Following::Process(_));
    let count_lost = |source: &Source, unreadable| Lost::count(&loaded, source, unreadable, one_process);
    let summaries = requests.map(|requests| summaries(arguments, requests, &mut source)).transpose()?;
    let mut trace = Trace {
        transport,
        output: Output::new(arguments.format, arguments.containers, arguments.wide),
        names,
        cgroups: Cgroups::new(),
        host: filter.host,
        received: 0,
        unreadable: 0,
        limit: arguments.count,
        stopped: &stopped,
        interrupted: &interrupted,
        closed: false,
        drawn,
        lines: arguments.summary != Some(SummaryArg::Only),
        summaries,
        recorder,
        lost: &|source, unreadable| Ok(count_lost(source, unreadable)?.total()),
    };
    if !arguments.quiet {
        let command = arguments.command.first().map(|command| command.display().to_string());
        diagnostics::say(&format!("Tracing {}; Ctrl-C to end", following.describe(command.as_deref())));
    }
    let command = start_command(arguments, &loaded, following, processes, stop)?;
    let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
    let outcome = trace.follow(&mut source, deadline);

    // All programs are detached before the summary, so that it counts every event that was sent.
    let command = command.map(Child::end).transpose();
    thread::scope(|scope| {
        // Without another thread, the programs are detached here.
        let _ = thread::Builder::new().spawn_scoped(scope, || followers.detach_together());
        libraries.detach();
    });
    drop(libraries);
    let outcome = outcome.and_then(|()| trace.drain(&mut source));
    let outcome = outcome.and_then(|()| trace.summarize(Period::Trace, &source));
    let lost = count_lost(&source, trace.unreadable)?;
    let recorded =
        trace.recorder.take().map_or(Ok(()), |recorder| recorder.finish(trace.received, lost.total(), arguments.quiet));
    let drawn = trace.drawn.as_mut().map_or(Ok(()), Drawn::finish);
    let received = trace.received;
    // --explain also reports the closing of these two, and the summary is the last line.
    drop((source, loaded));
    lost.explain();
    if !arguments.quiet || lost.total() > 0 {
        diagnostics::say(&format!("received {received}, lost {}", lost.total()));
    }
    command?;
    outcome.and(drawn).and(recorded)
}

/// Returns the summaries that the arguments request. SIGUSR1 ends a wait of `source`.
fn summaries(arguments: &Arguments, requests: Arc<Requests>, source: &mut Source) -> Result<Summaries, CliError> {
    let stopper = source.stopper()?;
    Ok(Summaries::new(arguments.interval, requests, move || stopper.stop()))
}

/// Starts the command, if the arguments have one. Calls `stop` when the command, or the last traced process, ends.
fn start_command(
    arguments: &Arguments,
    loaded: &Loaded,
    following: Following<'_>,
    processes: Vec<Process>,
    stop: impl FnOnce() + Send + 'static,
) -> Result<Option<Child>, CliError> {
    if let Some((program, rest)) = arguments.command.split_first() {
        let stdin = if arguments.step { Stdio::null() } else { Stdio::inherit() };
        let start = || Child::start(program, rest, stdin, stop);
        return follow::from_here(loaded, following, start).map(Some);
    }
    if !processes.is_empty() {
        child::when_all_ended(processes, stop)?;
    }
    Ok(None)
}

/// Calls `stop` at the first signal. Returns a flag that is set then.
fn on_signal(stop: impl Fn() + Send + 'static) -> Result<Arc<AtomicBool>, CliError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let by_signal = move || {
        // ATOMICS: only the flag itself passes from thread to thread.
        flag.store(true, Ordering::Relaxed);
        stop();
    };
    signals::on_stop(by_signal).map_err(|error| CliError::system("listen for signals", &error))?;
    Ok(interrupted)
}

/// Attaches to the library that the arguments name, or to every C library that the traced processes use.
fn attach_probes(
    arguments: &Arguments,
    following: Following<'_>,
    loaded: &Arc<Loaded>,
    names: &Names,
) -> Result<Libraries, CliError> {
    match &arguments.library {
        Some(library) => {
            names.add(0, library);
            let only = match following {
                Following::Process(pid) => Some(pid),
                _ => None,
            };
            Libraries::named(loaded, library, arguments.filters.pid.first().copied(), only)
        }
        None => Libraries::in_use(loaded, following.scope(), names, !arguments.no_hold),
    }
}

/// Loads and attaches everything that tracing needs, then detaches it without waiting for events.
pub(crate) fn try_transport(transport: Transport) -> Result<(), CliError> {
    let loaded = built_in::read(transport, &Filter::default(), DEFAULT_READER)?.load()?;
    let _source = Source::open(transport, &loaded, DEFAULT_BUFFER)?;
    Libraries::named(&loaded, LIBRARY, None, None).map(drop)
}

/// Returns the transport that `trace` chooses on this kernel.
pub(crate) fn chosen_transport() -> Transport {
    TransportArg::Auto.choose(features::ring_buffer)
}

/// Loads the programs for this transport, without attaching them.
pub(crate) fn try_load(transport: Transport) -> Result<(), CliError> {
    built_in::read(transport, &Filter::default(), DEFAULT_READER)?.load()?;
    Ok(())
}

/// Loads the programs for this transport, adapted to the arguments. Returns them with the table of libraries by cookie.
///
/// Events have a cookie and a cgroup where the kernel supports it. If the verifier rejects the programs nevertheless,
/// they are loaded without both.
fn load(
    transport: Transport,
    arguments: &Arguments,
    filter: &Filter,
    following: Following<'_>,
) -> Result<(Loaded, Names), CliError> {
    let load = |cookie: bool, cgroup: bool| {
        let mut object = built_in::read(transport, filter, arguments.reader)?;
        if transport == Transport::Ring {
            object.map_mut(names::EVENTS)?.max_entries = arguments.buffer;
        }
        following.prepare(&mut object)?;
        object.set_variable(names::WITH_COOKIE, &u32::from(cookie))?;
        object.set_variable(names::WITH_CGROUP, &u32::from(cgroup))?;
        Ok::<_, CliError>((object.load()?, Names::new(cookie)))
    };
    // A named library is the only one, so its events need no cookie. Cookies and links of perf events came with the
    // same kernel version.
    let cookie = arguments.library.is_none() && features::perf_link().is_yes();
    let cgroup = fs::exists("/proc/self/cgroup").unwrap_or(false);
    match load(cookie, cgroup) {
        Err(failure) if failure.details().is_some() && (cookie || cgroup) => {
            info!("the container and library of a call are unknown: {failure}");
            load(false, false)
        }
        result => result,
    }
}
