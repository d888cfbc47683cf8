//! Keeps a thread from going on while probes are put on a library that it has just mapped.
//!
//! A probe takes some ten milliseconds to attach (the kernel waits until every CPU knows of it), and a small program calls
//! `getaddrinfo` within one millisecond of its start. So the thread is stopped by ptrace(2), in the way that its parent and
//! the process itself do not notice: `PTRACE_SEIZE` and `PTRACE_INTERRUPT` send no signal. A thread that another debugger
//! has is held as soon as that one lets it go.
//!
//! The tracer is the thread that calls this, or one that waits for another tracer to be done. When it ends, for whatever
//! reason, the kernel lets all held threads go on (`kernel/ptrace.c`, `exit_ptrace`): nothing stays stopped.
#![expect(unsafe_code, reason = "ptrace(2), waitid(2) and sched_setscheduler(2)")]

use std::{
    ptr,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The threads that stand still because of the calling one.
#[derive(Default)]
pub(crate) struct Holder {
    /// Those that are to go on and have not stopped yet: only a stopped thread can be let go.
    late: Vec<libc::pid_t>,
}

/// A held thread, to be given back to [`Holder::release`].
#[must_use]
pub(crate) enum Held {
    /// By the calling thread.
    Here(libc::pid_t),
    /// By a thread that ends when the sender is dropped.
    There(Sender<()>, JoinHandle<()>),
}

/// How often, a millisecond apart, to ask whether a thread has stopped before it is put off.
const PATIENCE: u32 = 20;

impl Holder {
    /// Stops the thread as soon as it would return to its program; `None` if it is gone, or may not be stopped.
    pub(crate) fn hold(&self, tid: u32) -> Option<Held> {
        let tid = libc::pid_t::try_from(tid).ok().filter(|tid| !self.late.contains(tid))?;
        if seize(tid) {
            return Some(Held::Here(tid));
        }
        is_traced(tid).then(|| wait_for(tid))?
    }

    /// Lets the thread go on.
    pub(crate) fn release(&mut self, held: Held) {
        let tid = match held {
            Held::Here(tid) => tid,
            Held::There(sender, tracer) => {
                drop(sender);
                let _ = tracer.join();
                return;
            }
        };
        for _ in 0..PATIENCE {
            if let_go(tid) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // In the middle of something that cannot be interrupted.
        self.late.push(tid);
    }

    /// Tries again with those that had not stopped.
    pub(crate) fn retry(&mut self) {
        self.late.retain(|tid| !let_go(*tid));
    }

    /// Whether [`Holder::retry`] is worth calling soon.
    pub(crate) fn is_late(&self) -> bool {
        !self.late.is_empty()
    }
}

fn seize(tid: libc::pid_t) -> bool {
    let seized = request(libc::PTRACE_SEIZE, tid, 0);
    if seized {
        request(libc::PTRACE_INTERRUPT, tid, 0);
    }
    seized
}

/// Holds a thread from the moment on that its present tracer, another `cutaway` most likely, lets it go.
fn wait_for(tid: libc::pid_t) -> Option<Held> {
    /// Less than a program needs from there to its first call.
    const SOON: Duration = Duration::from_micros(100);
    let (sender, released) = mpsc::channel();
    let wait = move || {
        let mut held = false;
        while released.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
            held = held || seize(tid);
        }
    };
    let tracer = thread::Builder::new().name("hold".to_owned()).spawn(wait).ok()?;
    Some(Held::There(sender, tracer))
}

/// Detaches from the thread if it has stopped or ended; `false` if it still runs.
fn let_go(tid: libc::pid_t) -> bool {
    // A process that ended has no stops, and asking for them alone is refused (ECHILD), as if it were not traced.
    let stop = wait(tid, libc::WSTOPPED);
    if let Ok(Some(status)) = stop {
        // A stop that is no event is one to deliver a signal: the thread gets it, since it was not asked for here.
        let signal = if status >> 8 == 0 { status } else { 0 };
        return request(libc::PTRACE_DETACH, tid, signal) || !is_traced(tid);
    }
    let status = status(tid);
    let field = |name| field(&status, name);
    if field("TracerPid:").is_none_or(|tracer| tracer == "0") {
        return true;
    }
    if !field("State:").is_some_and(|state| state.starts_with('Z')) {
        return stop.is_err();
    }
    // It ended before it stopped, and cannot be detached from. Its parent learns of its end when the tracer has waited for
    // it (`kernel/exit.c`, `wait_task_zombie`). A child of this process is its starter's to wait for, who is told anyway.
    let own = field("PPid:") == Some(std::process::id().to_string().as_str());
    let is_process = field("Tgid:") == Some(tid.to_string().as_str());
    own && is_process || !matches!(wait(tid, libc::WEXITED), Ok(None))
}

/// What the thread has to tell of this kind, with its status, if there is any; `Err` if it is not this process's to ask.
fn wait(tid: libc::pid_t, kind: libc::c_int) -> Result<Option<libc::c_int>, ()> {
    // SAFETY: plain bits, all of which may be 0.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(tid).map_err(drop)?;
    let options = kind | libc::WNOHANG | libc::__WALL;
    // SAFETY: `info` is writable.
    let answer = unsafe { libc::waitid(libc::P_PID, id, &raw mut info, options) };
    if answer != 0 {
        return Err(());
    }
    // SAFETY: the kernel has filled it in, or it is zeroed.
    let told = unsafe { info.si_pid() } == tid;
    // SAFETY: the same.
    Ok(told.then(|| unsafe { info.si_status() }))
}

fn status(tid: libc::pid_t) -> String {
    let status = std::fs::read(format!("/proc/{tid}/status")).unwrap_or_default();
    String::from_utf8_lossy(&status).into_owned()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether the thread is there and this process traces it.
fn is_traced(tid: libc::pid_t) -> bool {
    let status = status(tid);
    let field = |name| field(&status, name);
    field("TracerPid:").is_some_and(|tracer| tracer != "0")
        && !field("State:").is_some_and(|state| state.starts_with('Z'))
}

fn request(request: libc::c_uint, tid: libc::pid_t, number: libc::c_int) -> bool {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take numbers, and no address.
    unsafe { libc::ptrace(request, tid, none, libc::c_long::from(number)) == 0 }
}

/// Has the calling thread run before all ordinary ones when it is woken (`SCHED_FIFO`, the lowest of these priorities):
/// it is in a race with a program that starts. Without the right to do so it is slower, no more.
pub(crate) fn run_first() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` is alive; 0 is the calling thread.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if answer != 0 {
        log::debug!("libraries are noticed at ordinary priority: {}", std::io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::{BufRead, BufReader},
        os::unix::process::ExitStatusExt,
        process::{Command, Stdio},
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

    #[test]
    fn a_held_thread_stands_still_and_goes_on() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let mut holder = Holder::default();
        let held = holder.hold(child.id()).unwrap();
        becomes(child.id(), "t");
        // Another one has to wait.
        let next = holder.hold(child.id()).unwrap();
        assert!(matches!(next, Held::There(..)), "it has a tracer");
        holder.release(held);
        assert!(!holder.is_late());
        becomes(child.id(), "t");
        holder.release(next);
        becomes(child.id(), "S");
        assert!(holder.hold(u32::MAX).is_none());
        // One whose tracer just ends goes on, too.
        let pid = child.id();
        thread::spawn(move || {
            let held = Holder::default().hold(pid);
            becomes(pid, "t");
            drop(held);
        })
        .join()
        .unwrap();
        becomes(child.id(), "S");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_parent_of_a_thread_that_ended_while_it_was_held_is_told() {
        // The shell is the parent and waits for a process that is none of this one's children.
        let mut shell =
            Command::new("sh").args(["-c", "sleep 100 & echo $!; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        let mut holder = Holder::default();
        let held = holder.hold(pid).unwrap();
        becomes(pid, "t");
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
        becomes(pid, "Z");
        assert!(shell.try_wait().unwrap().is_none(), "it cannot know yet");
        holder.release(held);
        assert!(!holder.is_late());
        for _ in 0..5_000 {
            if shell.try_wait().unwrap().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        shell.kill().unwrap();
        panic!("the shell waits for ever");
    }

    #[test]
    fn a_held_child_that_ended_is_its_starters_to_wait_for() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let mut holder = Holder::default();
        let held = holder.hold(child.id()).unwrap();
        becomes(child.id(), "t");
        child.kill().unwrap();
        becomes(child.id(), "Z");
        holder.release(held);
        assert!(!holder.is_late());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
