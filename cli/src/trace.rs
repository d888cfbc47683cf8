//! `cutaway trace`: the way of a record, from the kernel's buffer to a line on the screen.
//!
//! ```text
//!     source.rs    buffer ──▶ record        whichever of the three ways it came
//!     output.rs    record ──▶ line          table or JSON
//!     libraries.rs which libraries' calls: every C library in use, or a named one
//!     origin.rs    the cgroup and container that a call came from
//!     follow.rs    whether its children can be followed
//!     drawn.rs     the ring as a picture, before a record is taken from it
//!     lost.rs      what did not arrive, counted once
//! ```

mod drawn;
mod follow;
mod libraries;
mod lost;
mod origin;
mod output;
mod source;

use std::{
    fs, io,
    process::Stdio,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use cutaway::{Links, Loaded, Object, features};
use cutaway_programs::getaddrinfo::{self, DecodedEvent, Transport, names};
use log::{info, warn};

use self::{
    drawn::{Drawn, Take},
    libraries::{Libraries, Names, Whose},
    lost::Lost,
    origin::{Cgroups, Origin, container},
    output::Output,
    source::Source,
};
use crate::{
    Format,
    command::{Process, Traced},
    diagnostics,
    failure::Failure,
    signals,
};

/// Bytes of buffer unless told otherwise.
const DEFAULT_BUFFER: u32 = 256 * 1024;

const EXAMPLES: &str = "\
Examples:
  cutaway trace -- getent ahosts localhost                  one event, one line
  cutaway trace --format json -- getent ahosts localhost    the same for other programs
  cutaway trace --draw -- getent ahosts localhost           and the ring that held it, as a picture";

/// The arguments of `cutaway trace`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The way events take to user space; auto is the ring, or perf-heap where the kernel has none (before 5.8)
    #[arg(long, value_enum, default_value = "auto", value_name = "WAY")]
    transport: Way,

    /// Traces getaddrinfo of this library alone: a path, or a name as the dynamic loader finds it; by default, of every C
    /// library in use, in containers, too, and of those that come into use
    #[arg(long, value_name = "PATH")]
    library: Option<String>,

    /// Never keeps a process waiting until probes are on a C library that was not in use before, and runs no thread at real-time
    /// priority; the first calls of such a process may be missed
    #[arg(long, conflicts_with = "library")]
    no_hold: bool,

    /// Traces this process only; without it, every process, or with COMMAND that and its children
    #[arg(long, value_name = "PID", conflicts_with = "command", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: Option<u32>,

    /// Ends after so many events; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Ends after so many seconds, fractions allowed; a COMMAND that still runs is ended, too
    #[arg(long, value_name = "SECS", value_parser = crate::seconds)]
    duration: Option<Duration>,

    /// Bytes of buffer: of the ring, or of each CPU's perf buffer; rounded up to a power of two of pages
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_BUFFER, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    buffer: u32,

    /// How events are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Shows in the table, too, which container and library each call came from; JSON has it always
    #[arg(long)]
    containers: bool,

    /// Draws the ring's pages whenever records wait in them: in the terminal, or into an SVG file
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    draw: Option<String>,

    /// One picture and one record at a time: a line on stdin calls for the next; a COMMAND gets an empty stdin
    #[arg(long, requires = "draw")]
    step: bool,

    /// Runs this command, traces it and its children, and ends when it does; its output goes to stderr
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<std::ffi::OsString>,
}

/// `--transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    Ring,
    PerfHeap,
    PerfStack,
    Auto,
}

impl Way {
    /// The transport, once it is known what the kernel has.
    fn choose(self, ring_buffer: impl FnOnce() -> features::Support) -> Transport {
        match self {
            Self::Ring => Transport::Ring,
            Self::PerfHeap => Transport::PerfHeap,
            Self::PerfStack => Transport::PerfStack,
            Self::Auto => match ring_buffer() {
                features::Support::Needs(version) => {
                    info!("this kernel has no ring buffer (it came with Linux {version}): taking perf-heap");
                    Transport::PerfHeap
                }
                // If it is merely not permitted, loading will say so, and what to do.
                features::Support::Yes | features::Support::NotPermitted | features::Support::Unknown => {
                    Transport::Ring
                }
            },
        }
    }
}

/// Traces until the command ends, a limit is reached, or a signal comes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
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
            // ATOMICS: pairs with the load in `Trace::drain`; the stopper's own wake-up orders everything else.
            stopped.store(true, Ordering::Relaxed);
            stopper.stop();
        }
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let by_signal = {
        let (interrupted, stop) = (Arc::clone(&interrupted), stop.clone());
        move || {
            // ATOMICS: nothing but the flag itself passes from thread to thread.
            interrupted.store(true, Ordering::Relaxed);
            stop();
        }
    };
    signals::on_stop(by_signal).map_err(|error| Failure::system("listen for signals", &error))?;

    let followers = attach_followers(&loaded, follow)?;
    let mut libraries = match &arguments.library {
        Some(library) => {
            names.add(0, library);
            Libraries::named(&loaded, library, arguments.pid)?
        }
        None => {
            let everybody_or = |pid: Option<u32>| pid.map_or(Whose::Everybody, Whose::Process);
            let whose = if follow { Whose::Followed } else { everybody_or(arguments.pid) };
            Libraries::in_use(&loaded, whose, &names, !arguments.no_hold)?
        }
    };
    let mut trace = Trace {
        transport,
        output: Output::new(arguments.format, arguments.containers),
        names,
        cgroups: Cgroups::new(),
        received: 0,
        unreadable: 0,
        most: arguments.count,
        stopped: &stopped,
        interrupted: &interrupted,
        closed: false,
        drawn,
    };
    let command = match (arguments.command.split_first(), process) {
        (Some((program, rest)), _) => {
            let stdin = if arguments.step { Stdio::null() } else { Stdio::inherit() };
            let start = || Traced::start(program, rest, stdin, stop);
            Some(follow::from_here(&loaded, follow, start)?)
        }
        (None, Some(process)) => {
            process.at_end(stop)?;
            None
        }
        (None, None) => None,
    };
    let deadline = arguments.duration.and_then(|duration| Instant::now().checked_add(duration));
    let outcome = trace.follow(&mut source, deadline);

    // Nothing is attached any more when the summary is printed, and it knows of all that was sent before.
    let command = command.map(Traced::end).transpose();
    libraries.detach();
    drop((libraries, followers));
    let outcome = outcome.and_then(|()| trace.drain(&mut source));
    let lost = Lost::count(&loaded, &source, trace.unreadable, arguments.pid)?;
    let drawn = trace.drawn.as_mut().map_or(Ok(()), Drawn::finish);
    // With --explain, letting go of them is told, too; the summary is the last line all the same.
    drop((source, loaded));
    lost.explain();
    diagnostics::say(&format!("received {}, lost {}", trace.received, lost.total()));
    command?;
    outcome.and(drawn)
}

pub(crate) use follow::obstacle as cannot_follow;
pub(crate) use libraries::hold_threads_if_asked;

/// Does all that tracing does but wait for events.
pub(crate) fn rehearse(transport: Transport) -> Result<(), Failure> {
    let bytes = assemble(transport)?;
    let loaded = Object::parse(&bytes)?.load()?;
    let _source = Source::open(transport, &loaded, DEFAULT_BUFFER)?;
    Libraries::named(&loaded, getaddrinfo::LIBRARY, None).map(drop)
}

fn assemble(transport: Transport) -> Result<Vec<u8>, Failure> {
    transport.object().map_err(|error| Failure::new(format!("cannot assemble the programs: {error}")))
}

/// The object for this transport, adapted to what was asked, in the kernel; with what is to become the names of the libraries
/// that events come from.
///
/// Where an event came from is asked for where the kernel can tell. If it turns out that it cannot after all, it is not asked.
fn load(transport: Transport, arguments: &Arguments, follow: bool) -> Result<(Loaded, Names), Failure> {
    let load = |cookie: bool, cgroup: bool| {
        let mut object = Object::parse(&assemble(transport)?)?;
        if transport == Transport::Ring {
            object.map_mut(names::EVENTS)?.max_entries = arguments.buffer;
        }
        object.set_variable(names::ONLY_FOLLOWED, &u32::from(follow))?;
        object.set_variable(names::WITH_COOKIE, &u32::from(cookie))?;
        object.set_variable(names::WITH_CGROUP, &u32::from(cgroup))?;
        for name in FOLLOWERS {
            object.program_mut(name)?.section.wanted = follow;
        }
        Ok::<_, Failure>((object.load()?, Names::new(cookie)))
    };
    // A library that was named is the only one. Cookies came with links on perf events.
    let cookie = arguments.library.is_none() && features::perf_link().is_yes();
    let cgroup = fs::exists("/proc/self/cgroup").unwrap_or(false);
    match load(cookie, cgroup) {
        Err(failure) if failure.details().is_some() && (cookie || cgroup) => {
            info!("which container and library a call came from is not known here: {failure}");
            load(false, false)
        }
        answer => answer,
    }
}

/// The programs that keep the set of followed processes.
const FOLLOWERS: [&str; 2] = [names::FOLLOW, names::UNFOLLOW];

/// Attaches the programs that keep the set of followed processes, if they are wanted.
fn attach_followers(loaded: &Loaded, follow: bool) -> Result<Links, Failure> {
    FOLLOWERS.iter().filter(|_| follow).map(|name| Ok(loaded.program(name)?.attach()?)).collect()
}

/// What has been seen so far, and where to stop.
struct Trace<'a> {
    transport: Transport,
    output: Output,
    names: Names,
    cgroups: Cgroups,
    received: u64,
    /// Records that came and were no events.
    unreadable: u64,
    most: Option<u64>,
    stopped: &'a AtomicBool,
    /// By a signal: then the viewer of pictures is not waited for either.
    interrupted: &'a AtomicBool,
    /// Nobody reads stdout any more.
    closed: bool,
    /// The ring is drawn before it is read.
    drawn: Option<Drawn>,
}

impl Trace<'_> {
    /// Prints events as they come, until it is time to end.
    fn follow(&mut self, source: &mut Source, deadline: Option<Instant>) -> Result<(), Failure> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if self.ended() || left == Some(Duration::ZERO) {
                return Ok(());
            }
            source.wait(left)?;
            self.drain(source)?;
        }
    }

    /// Prints what is there now; if it is to be drawn, after a picture of it.
    fn drain(&mut self, source: &mut Source) -> Result<(), Failure> {
        while let Some(drawn) = &mut self.drawn {
            match drawn.look(self.interrupted) {
                Err(failure) if failure.is_unheard() => self.closed = true,
                Err(failure) => return Err(failure),
                Ok(Take::None) => return Ok(()),
                Ok(Take::AtMost(most)) => {
                    // None at all: they were discarded, or the first one is busy.
                    if most == 0 || self.take(source, most)? == 0 {
                        break;
                    }
                }
                Ok(Take::AllFromNowOn) => {
                    drawn.finish()?;
                    self.drawn = None;
                }
            }
            if self.full() {
                break;
            }
        }
        self.take(source, u64::MAX).map(drop)
    }

    /// Prints at most so many of the records that are there now, and gives their number.
    fn take(&mut self, source: &mut Source, most: u64) -> Result<u64, Failure> {
        if self.full() {
            return Ok(0);
        }
        let mut taken = 0;
        let transport = self.transport;
        let mut failed = Ok(());
        let unreadable = source.drain(transport.event_size(), |record| {
            let printed = match transport.read(record) {
                Ok(event) => self.print(&event),
                Err(error) => {
                    warn!("{error}");
                    self.unreadable += 1;
                    Ok(())
                }
            };
            match printed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
                Err(error) => failed = Err(Failure::system("write to stdout", &error)),
            }
            taken += 1;
            failed.is_ok() && !self.full() && taken < most
        })?;
        self.unreadable += unreadable;
        failed?;
        match self.output.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(Failure::system("write to stdout", &error)),
            Ok(()) => {}
        }
        Ok(taken)
    }

    fn print(&mut self, event: &DecodedEvent<'_>) -> io::Result<()> {
        self.received += 1;
        let call = &event.call;
        let origin = if self.output.tells_origin() {
            let cgroup = self.cgroups.path(call.cgroup, call.pid, call.time_ns);
            let container = cgroup.as_deref().and_then(container);
            Origin { library: self.names.get(call.cookie), cgroup, container }
        } else {
            Origin::default()
        };
        self.output.event(event, self.transport, origin)
    }

    /// As many events as were asked for, or nobody to show them to.
    fn full(&self) -> bool {
        self.closed || self.most.is_some_and(|most| self.received >= most)
    }

    fn ended(&self) -> bool {
        // ATOMICS: pairs with the store in `run`'s `stop`; see there.
        self.full() || self.stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutaway::features::Support;

    #[test]
    fn auto_takes_the_ring_unless_the_kernel_has_none() {
        assert_eq!(Way::Auto.choose(|| Support::Yes), Transport::Ring);
        assert_eq!(Way::Auto.choose(|| Support::Needs("5.8")), Transport::PerfHeap);
        assert_eq!(Way::Auto.choose(|| Support::NotPermitted), Transport::Ring);
        assert_eq!(Way::PerfStack.choose(|| unreachable!("nobody asked for auto")), Transport::PerfStack);
    }
}
