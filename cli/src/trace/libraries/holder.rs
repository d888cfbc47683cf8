//! The holder process: it holds threads for `trace`, by ptrace(2).
//!
//! Attaching a probe takes some ten milliseconds, in which the kernel waits for every CPU. A small program calls
//! `getaddrinfo` within one millisecond of its start. So the thread is stopped, without its process or parent noticing:
//! `PTRACE_SEIZE` and `PTRACE_INTERRUPT` send no signal. A thread that another debugger traces is held as soon as that
//! debugger has detached.
//!
//! On each CPU one thread waits, pinned to the CPU, at real-time priority. It is woken on the CPU where the thread to
//! be held runs, so it runs before that thread returns to its program.
//!
//! Each held thread has a tracer thread of its own in this process. The tracer thread ends after [`HOLD_LIMIT`] at the
//! latest, whatever the others do. It releases its thread only by ending, because then the kernel detaches
//! (`kernel/ptrace.c`, `exit_ptrace`). There are three reasons:
//!
//! - `PTRACE_DETACH` requires a stopped thread, and a thread in an uninterruptible sleep does not stop.
//! - A thread may have stopped to receive a signal, which waitid(2) followed by `PTRACE_DETACH` would discard.
//! - A thread that is killed while it is held stays a zombie of its tracer. Its parent could not wait for its process,
//!   nor could the process call execve(2) (`de_thread` waits for the thread). `exit_ptrace` hands it over.
//!
//! If this process ends for any reason, the kernel does the same.
#![expect(unsafe_code, reason = "ptrace(2)")]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
    ptr,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    realtime::RealtimePriority,
    wire::{self, Message},
};

/// The time for which a thread is held, at most.
pub(crate) const HOLD_LIMIT: Duration = Duration::from_secs(1);

/// The only argument of the holder process.
pub(crate) const SUBCOMMAND: &str = "hold-threads";

/// The holder's answer to a request, and later changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Held,
    /// Another process traces the thread. It is held once that process has detached.
    Waiting,
    /// The thread has ended, or may not be stopped.
    No,
    /// The thread was held, and continues because [`HOLD_LIMIT`] has passed.
    TooLong,
}

impl Answer {
    const ALL: [Self; 4] = [Self::Held, Self::Waiting, Self::No, Self::TooLong];

    pub(crate) fn read(word: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| *answer as u32 == word)
    }

    fn send(self, to: &OwnedFd) -> bool {
        wire::send(to, self as u32, None).is_ok()
    }
}

/// Runs as the holder process until the socket on stdin is closed. Returns `None` at once if the command line does not
/// request it.
pub(crate) fn run_if_requested() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != SUBCOMMAND || words.next().is_some() {
        return None;
    }
    let control = io::stdin().as_fd().try_clone_to_owned().ok()?;
    if !wire::is_seqpacket(&control) {
        // A user has typed it, which is wrong usage as of any unknown word. With ssh stdin can be a socket too, but of
        // another kind.
        return None;
    }
    // In a session of its own, this process gets no signals from a terminal or to its parent's process group. While it
    // is stopped it could not release threads.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"cutaway-hold");
    serve(&control);
    Some(ExitCode::SUCCESS)
}

/// Receives a socket for each CPU, and reports when a thread waits on each, until the other end is closed.
pub(crate) fn serve(control: &OwnedFd) {
    let (ready, are_ready) = mpsc::channel();
    let mut started = 0;
    while let Some(Message { word, fd }) = wire::receive(control, true) {
        match fd {
            Some(requests) => {
                if start(word, &Arc::new(requests), Some(ready.clone())).is_err() {
                    return;
                }
                started += 1;
            }
            None => {
                let all = are_ready.iter().take(started).count();
                if wire::send(control, u32::try_from(all).unwrap_or(0), None).is_err() {
                    return;
                }
            }
        }
    }
}

/// Starts a thread that waits for a request.
fn start(cpu: u32, requests: &Arc<OwnedFd>, ready: Option<Sender<()>>) -> io::Result<()> {
    /// Bytes of a thread's stack. It is small because there is a thread for each CPU and each held thread.
    const STACK: usize = 128 << 10;
    let requests = Arc::clone(requests);
    let wait = move || wait(cpu, &requests, ready);
    thread::Builder::new().name(format!("hold/{cpu}")).stack_size(STACK).spawn(wait).map(drop)
}

/// Waits for a request, and holds its thread. The calling thread has to end afterward, to release it.
fn wait(cpu: u32, requests: &Arc<OwnedFd>, ready: Option<Sender<()>>) {
    let _priority = RealtimePriority::start(Some(cpu));
    if let Some(ready) = ready {
        let _ = ready.send(());
    }
    let Some(Message { word, fd: Some(answers) }) = wire::receive(&**requests, true) else { return };
    let begin = Instant::now();
    let tid = libc::pid_t::try_from(word).unwrap_or(-1);
    // An old request may have been canceled, and its thread id reused.
    let is_held = !wire::is_closed(&answers) && seize(tid);
    // The next request comes from the same CPU. No ordinary thread has run there since this one was woken, so the next
    // waiting thread is not late.
    if start(cpu, requests, None).is_err() {
        // Without a waiting thread this CPU's requests would not be served. Exiting releases all threads, and `trace`
        // sees the sockets closed.
        std::process::exit(1);
    }
    hold(tid, is_held, begin, &answers);
}

/// Holds the thread until the other end of `answers` is closed.
fn hold(tid: libc::pid_t, mut is_held: bool, begin: Instant, answers: &OwnedFd) {
    /// The range of intervals at which to try whether another tracer has detached. They are shorter than the time that
    /// a program needs from there to its first call.
    const RETRY: [Duration; 2] = [Duration::from_micros(100), Duration::from_micros(500)];
    let answer = match is_held {
        true => Answer::Held,
        false if is_traced(tid) => Answer::Waiting,
        false => Answer::No,
    };
    if !answer.send(answers) || answer == Answer::No {
        return;
    }
    loop {
        let left = HOLD_LIMIT.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break;
        }
        // The interval grows with the time waited, because many threads may wait.
        let timeout = if is_held { left } else { left.min((begin.elapsed() / 32).clamp(RETRY[0], RETRY[1])) };
        let mut fds = [PollFd::new(answers, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(timeout).ok().as_ref()) {
            Ok(0) if !is_held => {
                is_held = seize(tid);
                if is_held && !Answer::Held.send(answers) {
                    return;
                }
            }
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
    if is_held {
        Answer::TooLong.send(answers);
    }
}

fn seize(tid: libc::pid_t) -> bool {
    let seized = tid > 0 && ptrace(libc::PTRACE_SEIZE, tid);
    if seized {
        ptrace(libc::PTRACE_INTERRUPT, tid);
    }
    seized
}

/// Returns whether the thread exists, is not a zombie, and is traced by a process.
fn is_traced(tid: libc::pid_t) -> bool {
    let status = std::fs::read(format!("/proc/{tid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("TracerPid:").is_some_and(|tracer| tracer != "0")
        && !field("State:").is_some_and(|state| state.starts_with('Z'))
}

fn ptrace(request: libc::c_uint, tid: libc::pid_t) -> bool {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take a number, and neither address nor data.
    unsafe { libc::ptrace(request, tid, none, none) == 0 }
}
