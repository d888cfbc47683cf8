//! `cutaway trace`: traces calls of getaddrinfo, and prints a line for each event.
//!
//! ```text
//!     args.rs            the arguments
//!     built_in.rs        the built-in programs, read by either reader
//!     libraries.rs       the traced libraries: every C library in use, or a named one
//!     follow.rs          whether the children of a command can be followed
//!     source.rs          buffer ──▶ record, for every transport
//!     session.rs         the loop: waits, takes records, counts
//!     output.rs          record ──▶ line: table or JSON
//!     origin.rs          the cgroup and container that a call came from
//!     draw_then_read.rs  the ring as a picture, before its records are read
//!     lost.rs            lost events, each counted once
//! ```

mod args;
mod built_in;
mod draw_then_read;
mod follow;
mod libraries;
mod lost;
mod origin;
mod output;
mod session;
mod source;

use std::{
    fs,
    process::Stdio,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use cutaway::{Links, Loaded, Tracepoint, features};
use cutaway_programs::getaddrinfo::{LIBRARY, Transport, names};
use log::{info, warn};

pub(crate) use self::{args::Arguments, follow::obstacle as cannot_follow, libraries::hold_threads_if_asked};
use self::{
    args::{DEFAULT_BUFFER, DEFAULT_READER},
    draw_then_read::Drawn,
    libraries::{Libraries, Names, Scope},
    lost::Lost,
    origin::Cgroups,
    output::Output,
    session::Trace,
    source::Source,
};
use crate::{
    child::{Child, Process},
    diagnostics,
    error::CliError,
    signals,
};

/// Traces until the command ends, a limit is reached, or a signal arrives.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let transport = arguments.transport.choose(features::ring_buffer);
    let process = arguments.pid.map(Process::open).transpose()?;
    let obstacle = if arguments.command.is_empty() { None } else { follow::obstacle() };
    let follow = !arguments.command.is_empty() && obstacle.is_none();
    let (loaded, names) = load(transport, arguments, follow)?;
    let loaded = Arc::new(loaded);
    if let Some(why) = obstacle {
        warn!("tracing every process, not the command alone: {why}");
    }
    let mut source = Source::open(transport, &loaded, arguments.buffer)?;
    let draw = |file: &String| Drawn::new(file, arguments.step, arguments.format, transport, &loaded);
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
    let followers = attach_followers(&loaded, follow)?;
    let mut libraries = attach_probes(arguments, follow, &loaded, &names)?;
    let mut trace = Trace {
        transport,
        output: Output::new(arguments.format, arguments.containers),
        names,
        cgroups: Cgroups::new(),
        received: 0,
        unreadable: 0,
        limit: arguments.count,
        stopped: &stopped,
        interrupted: &interrupted,
        closed: false,
        drawn,
    };
    let command = start_command(arguments, &loaded, follow, process, stop)?;
    let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
    let outcome = trace.follow(&mut source, deadline);

    // All programs are detached before the summary, so that it counts every event that was sent.
    let command = command.map(Child::end).transpose();
    libraries.detach();
    drop((libraries, followers));
    let outcome = outcome.and_then(|()| trace.drain(&mut source));
    let lost = Lost::count(&loaded, &source, trace.unreadable, arguments.pid)?;
    let drawn = trace.drawn.as_mut().map_or(Ok(()), Drawn::finish);
    // --explain also reports the closing of these two, and the summary is the last line.
    drop((source, loaded));
    lost.explain();
    diagnostics::say(&format!("received {}, lost {}", trace.received, lost.total()));
    command?;
    outcome.and(drawn)
}

/// Starts the command, if the arguments have one. Calls `stop` when the command, or the traced process, ends.
fn start_command(
    arguments: &Arguments,
    loaded: &Loaded,
    follow: bool,
    process: Option<Process>,
    stop: impl FnOnce() + Send + 'static,
) -> Result<Option<Child>, CliError> {
    match (arguments.command.split_first(), process) {
        (Some((program, rest)), _) => {
            let stdin = if arguments.step { Stdio::null() } else { Stdio::inherit() };
            let start = || Child::start(program, rest, stdin, stop);
            follow::from_here(loaded, follow, start).map(Some)
        }
        (None, Some(process)) => process.at_end(stop).map(|()| None),
        (None, None) => Ok(None),
    }
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
    follow: bool,
    loaded: &Arc<Loaded>,
    names: &Names,
) -> Result<Libraries, CliError> {
    match &arguments.library {
        Some(library) => {
            names.add(0, library);
            Libraries::named(loaded, library, arguments.pid)
        }
        None => {
            let all_or = |pid: Option<u32>| pid.map_or(Scope::All, Scope::Process);
            let scope = if follow { Scope::Followed } else { all_or(arguments.pid) };
            Libraries::in_use(loaded, scope, names, !arguments.no_hold)
        }
    }
}

/// Loads and attaches everything that tracing needs, then detaches it without waiting for events.
pub(crate) fn try_transport(transport: Transport) -> Result<(), CliError> {
    let loaded = built_in::read(transport, DEFAULT_READER)?.load()?;
    let _source = Source::open(transport, &loaded, DEFAULT_BUFFER)?;
    Libraries::named(&loaded, LIBRARY, None).map(drop)
}

/// Loads the programs for this transport, adapted to the arguments. Returns them with the table of libraries by cookie.
///
/// Events have a cookie and a cgroup where the kernel supports it. If the verifier rejects the programs nevertheless,
/// they are loaded without both.
fn load(transport: Transport, arguments: &Arguments, follow: bool) -> Result<(Loaded, Names), CliError> {
    let load = |cookie: bool, cgroup: bool| {
        let mut object = built_in::read(transport, arguments.reader)?;
        if transport == Transport::Ring {
            object.map_mut(names::EVENTS)?.max_entries = arguments.buffer;
        }
        object.set_variable(names::ONLY_FOLLOWED, &u32::from(follow))?;
        object.set_variable(names::WITH_COOKIE, &u32::from(cookie))?;
        object.set_variable(names::WITH_CGROUP, &u32::from(cgroup))?;
        for (name, _) in FOLLOWERS {
            object.program_mut(name)?.section.autoload = follow;
        }
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

/// The programs that maintain the set of followed processes, each with the category and name of its tracepoint.
const FOLLOWERS: [(&str, [&str; 2]); 2] =
    [(names::FOLLOW, ["task", "task_newtask"]), (names::UNFOLLOW, ["sched", "sched_process_exit"])];

/// Attaches the programs that maintain the set of followed processes, if `follow` is true.
fn attach_followers(loaded: &Loaded, follow: bool) -> Result<Links, CliError> {
    let attach = |(name, [category, event]): &(&str, [&str; 2])| {
        Ok(Tracepoint::new(category, event).attach(loaded.program(name)?)?)
    };
    FOLLOWERS.iter().filter(|_| follow).map(attach).collect()
}
