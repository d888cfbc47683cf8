//! Keeps a thread from going on while probes are put on a library that it has just mapped.
//!
//! A probe takes some ten milliseconds to attach (the kernel waits until every CPU knows of it), and a small program calls
//! `getaddrinfo` within one millisecond of its start. So the thread is stopped by ptrace(2), in the way that its parent and
//! the process itself do not notice: `PTRACE_SEIZE` and `PTRACE_INTERRUPT` send no signal. A thread that another debugger
//! has is held as soon as that one lets it go.
//!
//! Each thread is held by a thread of this process that does nothing else, and ends after [`MOST`] at the latest, whatever
//! the others do. To end is its only way to let go, and the kernel's (`kernel/ptrace.c`, `exit_ptrace`), for three reasons:
//!
//! - `PTRACE_DETACH` works on a stopped thread alone, and one in an uninterruptible sleep does not stop.
//! - A thread may have stopped to receive a signal, which waitid(2) followed by `PTRACE_DETACH` would swallow.
//! - A thread that is killed meanwhile stays a zombie of its tracer's: its process could not be waited for, nor call
//!   execve(2) (`de_thread` waits for it). `exit_ptrace` hands it on.
//!
//! If this process is killed, the kernel does the same. If it is stopped (SIGSTOP), a held thread stands until it goes on.
#![expect(unsafe_code, reason = "ptrace(2)")]

use std::{
    io, ptr,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use log::{debug, warn};

/// How long a thread is held at most.
pub(crate) const MOST: Duration = Duration::from_secs(1);

/// Holds threads, one after the other.
#[derive(Default)]
pub(crate) struct Holder {
    /// Started ahead, since the thread to be held runs meanwhile.
    tracer: Option<Tracer>,
}

/// A thread that holds one other thread, and ends.
struct Tracer {
    thread: JoinHandle<()>,
    target: Sender<Target>,
}

/// What a tracer is to do.
struct Target {
    tid: libc::pid_t,
    /// Where it says whether it does.
    tell: Sender<Answer>,
    /// Disconnected when the thread is to go on.
    released: Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Held,
    /// Another tracer has it: it is held once that one lets it go.
    Waiting,
    /// It is gone, or may not be stopped.
    No,
}

/// A held thread, which goes on when this is dropped, or [`MOST`] after it was made.
#[must_use]
pub(crate) struct Held {
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
    #[cfg(test)]
    at_once: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        // It does nothing any more but end.
        let _ = self.tracer.take().map(JoinHandle::join);
    }
}

impl Holder {
    /// Starts what the next [`Holder::hold`] needs.
    pub(crate) fn prepare(&mut self) {
        if self.tracer.is_none() {
            self.tracer = Tracer::start().inspect_err(|error| debug!("no thread can be held: {error}")).ok();
        }
    }

    /// Stops the thread as soon as it would return to its program; `None` if it is gone, or may not be stopped.
    pub(crate) fn hold(&mut self, tid: u32) -> Option<Held> {
        let tid = libc::pid_t::try_from(tid).ok()?;
        self.prepare();
        let Tracer { thread, target } = self.tracer.take()?;
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel();
        target.send(Target { tid, tell, released }).ok()?;
        let answer = told.recv().ok()?;
        (answer != Answer::No).then(|| Held {
            release: Some(release),
            tracer: Some(thread),
            #[cfg(test)]
            at_once: answer == Answer::Held,
        })
    }
}

impl Tracer {
    fn start() -> io::Result<Self> {
        let (target, targets) = mpsc::channel();
        let work = move || {
            if let Ok(target) = targets.recv() {
                trace(&target);
            }
        };
        Ok(Self { thread: thread::Builder::new().name("hold".to_owned()).spawn(work)?, target })
    }
}

/// Holds the thread until it is to go on. The caller is a thread that ends then.
fn trace(target: &Target) {
    /// How often to try whether another tracer has let go: less than a program needs from there to its first call.
    const SOON: Duration = Duration::from_micros(100);
    let begin = Instant::now();
    let mut held = seize(target.tid);
    let answer = match held {
        true => Answer::Held,
        false if is_traced(target.tid) => Answer::Waiting,
        false => Answer::No,
    };
    if target.tell.send(answer).is_err() || answer == Answer::No {
        return;
    }
    loop {
        let left = MOST.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break;
        }
        match target.released.recv_timeout(if held { left } else { left.min(SOON) }) {
            Err(RecvTimeoutError::Timeout) => held = held || seize(target.tid),
            _ => return,
        }
    }
    if held {
        tell_of_release(target.tid);
    }
}

/// Warns, once, that a thread was let go before the probes were there.
fn tell_of_release(tid: libc::pid_t) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let warn = move || {
        warn!(
            "thread {tid} was to stand still until probes are on its C library, but that took more than {MOST:?}: it goes on, \
             and its first calls may be missed; of others this is not told again"
        );
    };
    // ATOMICS: the flag alone counts.
    if !TOLD.swap(true, Ordering::Relaxed) {
        // By another thread: what is told may be read slowly, and the caller has to end.
        let _ = thread::Builder::new().spawn(warn);
    }
}

fn seize(tid: libc::pid_t) -> bool {
    let seized = request(libc::PTRACE_SEIZE, tid);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::{BufRead, BufReader},
        process::{Child, ChildStdout, Command, Stdio},
    };

    fn state(pid: u32) -> String {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1[..1].to_owned()
    }

    fn becomes(pid: u32, wanted: &str) {
        for _ in 0..5_000 {
            if state(pid) == wanted {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("it is {}, not {wanted}", state(pid));
    }

    /// A shell, and the number that is the first line of what it says.
    fn shell(script: &str) -> (Child, u32, BufReader<ChildStdout>) {
        let mut shell = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut says = BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        (shell, line.trim().parse().unwrap(), says)
    }

    fn signal(pid: u32, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    #[test]
    fn a_held_thread_stands_still_and_goes_on() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let mut holder = Holder::default();
        let held = holder.hold(child.id()).unwrap();
        assert!(held.at_once);
        becomes(child.id(), "t");
        // Another one has to wait.
        let next = holder.hold(child.id()).unwrap();
        assert!(!next.at_once, "it has a tracer");
        drop(held);
        becomes(child.id(), "t");
        drop(next);
        becomes(child.id(), "S");
        assert!(holder.hold(u32::MAX).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_goes_on_by_itself_after_a_second() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let begin = Instant::now();
        let held = Holder::default().hold(child.id()).unwrap();
        becomes(child.id(), "t");
        becomes(child.id(), "S");
        assert!(begin.elapsed() >= MOST);
        drop(held);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_is_killed_meanwhile_is_its_parents_to_wait_for() {
        let (mut shell, pid, mut says) = shell("sleep 100 & echo $!; wait $!; echo $?");
        let held = Holder::default().hold(pid).unwrap();
        becomes(pid, "t");
        signal(pid, rustix::process::Signal::KILL);
        becomes(pid, "Z");
        drop(held);
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        assert_eq!(line, "137\n");
        shell.wait().unwrap();
    }

    #[test]
    fn signals_come_after_it() {
        let (mut shell, pid, mut says) = shell("trap 'echo got; exit' USR1; echo $$; while :; do sleep 0.01; done");
        // Some are sent before the thread has stopped, some when it stands.
        for round in 0..20 {
            let held = Holder::default().hold(pid).unwrap();
            if round == 19 {
                signal(pid, rustix::process::Signal::USR1);
            }
            drop(held);
        }
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        assert_eq!(line, "got\n");
        shell.wait().unwrap();
    }
}
