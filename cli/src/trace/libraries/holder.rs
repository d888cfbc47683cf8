//! The process that holds threads for `trace`, by ptrace(2).
//!
//! A probe takes some ten milliseconds to attach (the kernel waits until every CPU knows of it), and a small program
//! calls `getaddrinfo` within one millisecond of its start. So the thread is stopped in the way that its parent and the
//! process itself do not notice: `PTRACE_SEIZE` and `PTRACE_INTERRUPT` send no signal. A thread that another debugger
//! has is held as soon as that one lets it go.
//!
//! On each CPU one thread waits, pinned to it, at real-time priority. It is woken on the CPU where the thread to be
//! held runs, so it runs before that one returns to its program.
//!
//! Each thread is held by a thread of this process that does nothing else, and ends after [`MOST`] at the latest,
//! whatever the others do. To end is its only way to let go, and the kernel's (`kernel/ptrace.c`, `exit_ptrace`), for
//! three reasons:
//!
//! - `PTRACE_DETACH` works on a stopped thread alone, and one in an uninterruptible sleep does not stop.
//! - A thread may have stopped to receive a signal, which waitid(2) followed by `PTRACE_DETACH` would swallow.
//! - A thread that is killed meanwhile stays a zombie of its tracer's: its process could not be waited for, nor call
//!   execve(2) (`de_thread` waits for it). `exit_ptrace` hands it on.
//!
//! If this process ends, by whatever, the kernel does the same.
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
    first::First,
    wire::{self, Message},
};

/// How long a thread is held at most.
pub(crate) const MOST: Duration = Duration::from_secs(1);

/// The only argument that makes this program that process.
pub(crate) const WORD: &str = "hold-threads";

/// What the process says of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Held,
    /// Another tracer has it: it is held once that one lets it go.
    Waiting,
    /// It is gone, or may not be stopped.
    No,
    /// It was held, and goes on because [`MOST`] has passed.
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

/// Becomes that process, if the command line says so: serves until the socket on stdin is closed.
pub(crate) fn be_it_if_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != WORD || words.next().is_some() {
        return None;
    }
    let control = io::stdin().as_fd().try_clone_to_owned().ok()?;
    if !wire::is_one(&control) {
        // Typed by a person: wrong usage, as of any other word. Behind `ssh` stdin may be a socket, too.
        return None;
    }
    // A signal of a terminal or to a process group is not for this process: a stopped one could not let go.
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"cutaway-hold");
    serve(&control);
    Some(ExitCode::SUCCESS)
}

/// Takes the sockets of the CPUs, and answers when a thread waits at each, until the other end is closed.
pub(crate) fn serve(control: &OwnedFd) {
    let (ready, are_ready) = mpsc::channel();
    let mut started = 0;
    while let Some(Message { word, fd }) = wire::receive(control, true) {
        match fd {
            Some(orders) => {
                if start(word, &Arc::new(orders), Some(ready.clone())).is_err() {
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

/// Starts a thread that waits for one to hold.
fn start(cpu: u32, orders: &Arc<OwnedFd>, ready: Option<Sender<()>>) -> io::Result<()> {
    /// There is one for each CPU and each held thread.
    const STACK: usize = 128 << 10;
    let orders = Arc::clone(orders);
    let wait = move || wait(cpu, &orders, ready);
    thread::Builder::new().name(format!("hold/{cpu}")).stack_size(STACK).spawn(wait).map(drop)
}

/// Waits for a thread to hold, and holds it. The caller is a thread that ends then.
fn wait(cpu: u32, orders: &Arc<OwnedFd>, ready: Option<Sender<()>>) {
    let _first = First::begin(Some(cpu));
    if let Some(ready) = ready {
        let _ = ready.send(());
    }
    let Some(Message { word, fd: Some(answers) }) = wire::receive(&**orders, true) else { return };
    let begin = Instant::now();
    let tid = libc::pid_t::try_from(word).unwrap_or(-1);
    // An order that has waited for long may be void, and the number another thread's by now.
    let is_held = !wire::is_closed(&answers) && seize(tid);
    // The next one comes from the same CPU, where no ordinary thread has run meanwhile.
    if start(cpu, orders, None).is_err() {
        // Nothing is held by halves: everything is let go, and `trace` sees the sockets closed.
        std::process::exit(1);
    }
    hold(tid, is_held, begin, &answers);
}

/// Holds the thread until the other end of `answers` is closed.
fn hold(tid: libc::pid_t, mut is_held: bool, begin: Instant, answers: &OwnedFd) {
    /// How often to try whether another tracer has let go: less than a program needs from there to its first call.
    const SOON: [Duration; 2] = [Duration::from_micros(100), Duration::from_micros(500)];
    let answer = match is_held {
        true => Answer::Held,
        false if is_traced(tid) => Answer::Waiting,
        false => Answer::No,
    };
    if !answer.send(answers) || answer == Answer::No {
        return;
    }
    loop {
        let left = MOST.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break;
        }
        // The longer it takes, the longer it will take; many may wait.
        let patience = if is_held { left } else { left.min((begin.elapsed() / 32).clamp(SOON[0], SOON[1])) };
        let mut fds = [PollFd::new(answers, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(patience).ok().as_ref()) {
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
    let seized = tid > 0 && request(libc::PTRACE_SEIZE, tid);
    if seized {
        request(libc::PTRACE_INTERRUPT, tid);
    }
    seized
}

/// Whether the thread is there and some process traces it.
fn is_traced(tid: libc::pid_t) -> bool {
    let status = std::fs::read(format!("/proc/{tid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("TracerPid:").is_some_and(|tracer| tracer != "0")
        && !field("State:").is_some_and(|state| state.starts_with('Z'))
}

fn request(request: libc::c_uint, tid: libc::pid_t) -> bool {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take a number, and neither address nor data.
    unsafe { libc::ptrace(request, tid, none, none) == 0 }
}
