//! Holds a thread while probes are attached to a library that it has just mapped. This is the side of `trace`.
//!
//! A separate process holds the threads (`holder.rs`), because a tracer that is stopped (SIGSTOP, Ctrl-Z) cannot
//! release them. The holder process is in a session of its own, where no terminal stops it. It is a second instance of
//! this program. It ends when its socket is closed, so also when `cutaway` is killed.

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use log::warn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    holder::{Answer, HOLD_LIMIT, SUBCOMMAND},
    wire,
};

/// Threads that are held at once, at most.
const MAX_HELD: usize = 128;

/// The holder process.
pub(crate) struct Holder {
    /// `None` in unit tests, where threads of this process hold the threads.
    child: Option<Child>,
    /// The socket of the thread that waits on each CPU.
    cpus: BTreeMap<u32, OwnedFd>,
    /// The process ends when this is closed.
    _control: OwnedFd,
    /// Cloned for each held thread, to count them.
    count: Arc<()>,
}

/// A held thread. It continues when this is dropped, or [`HOLD_LIMIT`] after this was created.
#[must_use]
pub(crate) struct Held {
    answers: OwnedFd,
    tid: u32,
    _count: Arc<()>,
}

impl Holder {
    /// Starts the holder process, with a thread that waits on each of these CPUs.
    ///
    /// # Errors
    ///
    /// Fails if this program cannot be started again, or the process does not answer within 5 seconds.
    pub(crate) fn start(cpus: &[u32]) -> io::Result<Self> {
        let (control, theirs) = wire::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("cutaway").arg(SUBCOMMAND).current_dir("/");
        let child = command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // `command` still has the process's end of the socket. If it stayed open, a process that ends at once would be
        // waited for until the timeout.
        drop(command);
        Self::prepare(Some(child), control, cpus)
    }

    fn prepare(child: Option<Child>, control: OwnedFd, cpus: &[u32]) -> io::Result<Self> {
        const TIMEOUT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
        // From here on the process ends on any failure.
        let mut holder = Self { child, cpus: BTreeMap::new(), _control: control.try_clone()?, count: Arc::default() };
        for &cpu in cpus {
            let (ours, theirs) = wire::pair()?;
            // With very many CPUs the socket can be full until the process has read more messages.
            while let Err(error) = wire::send(&control, cpu, Some(theirs.as_fd())) {
                let mut room = [PollFd::new(&control, PollFlags::OUT)];
                if error != rustix::io::Errno::AGAIN || poll(&mut room, Some(&TIMEOUT))? == 0 {
                    return Err(error.into());
                }
            }
            holder.cpus.insert(cpu, ours);
        }
        wire::send(&control, 0, None)?;
        poll(&mut [PollFd::new(&control, PollFlags::IN)], Some(&TIMEOUT))?;
        match wire::receive(&control, false) {
            Some(_) => Ok(holder),
            None => Err(io::Error::new(io::ErrorKind::TimedOut, "the holder process does not answer")),
        }
    }

    /// Returns the id of the process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks the holder process to hold a thread before it returns to its program. Does not wait for the answer.
    ///
    /// The request goes to the holder's waiting thread on `cpu`, where the thread to be held ran last. The kernel runs
    /// that one first. Returns `None` if too many threads are held, or the process has ended.
    pub(crate) fn hold(&self, cpu: u32, tid: u32) -> Option<Held> {
        if Arc::strong_count(&self.count) > MAX_HELD {
            return None;
        }
        let socket = self.cpus.get(&cpu)?;
        let (answers, theirs) = wire::pair().ok()?;
        wire::send(socket, tid, Some(theirs.as_fd())).ok()?;
        Some(Held { answers, tid, _count: Arc::clone(&self.count) })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The process would end by itself, unless it is stopped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Held {
    /// Receives the next answer. Waits for it for `timeout` at most.
    pub(crate) fn answer(&self, timeout: Duration) -> Option<Answer> {
        if !timeout.is_zero() {
            let timeout = Timespec::try_from(timeout).ok();
            poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], timeout.as_ref()).ok()?;
        }
        wire::receive(&self.answers, false).and_then(|message| Answer::read(message.word))
    }

    /// Returns whether the holder process no longer holds the thread, or has ended.
    pub(crate) fn is_closed(&self) -> bool {
        wire::is_closed(&self.answers)
    }

    /// Receives all answers that have arrived. Returns the last one.
    pub(crate) fn last_answer(&self) -> Option<Answer> {
        std::iter::from_fn(|| self.answer(Duration::ZERO)).last()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.last_answer() == Some(Answer::TooLong) {
            warn_of_release(self.tid);
        }
    }
}

/// Warns, once, that a thread was released before the probes were attached.
pub(crate) fn warn_of_release(tid: u32) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    // ATOMICS: the flag alone counts.
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(
            "thread {tid} was held for {HOLD_LIMIT:?} while probes were being attached to its C library, but that takes \
             longer: the thread continues, and its first calls may be missed; other such threads are not reported"
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::trace::libraries::holder;
    use std::{
        fs,
        io::{BufRead, BufReader},
        process::{Child, ChildStdout, Command, Stdio},
        thread,
        time::Instant,
    };

    /// Creates a holder with threads of this process, because the test's program is not `cutaway`.
    fn holder() -> Holder {
        let (control, theirs) = wire::pair().unwrap();
        thread::spawn(move || holder::serve(&theirs));
        Holder::prepare(None, control, &[0]).unwrap()
    }

    fn state(pid: u32) -> String {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1[..1].to_owned()
    }

    fn wait_for_state(pid: u32, wanted: &str) {
        for _ in 0..5_000 {
            if state(pid) == wanted {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the state is {}, not {wanted}", state(pid));
    }

    /// Receives the first answer.
    fn first_answer(held: &Held) -> Answer {
        held.answer(Duration::from_secs(5)).unwrap()
    }

    /// Starts a shell. Returns it, the number on its first line of output, and the rest of the output.
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
    fn held_thread_stops_and_continues() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let holder = holder();
        let held = holder.hold(0, child.id()).unwrap();
        assert_eq!(first_answer(&held), Answer::Held);
        wait_for_state(child.id(), "t");
        assert!(!held.is_closed());
        // A second holder has to wait.
        let next = holder.hold(0, child.id()).unwrap();
        assert_eq!(first_answer(&next), Answer::Waiting);
        drop(held);
        assert_eq!(first_answer(&next), Answer::Held);
        wait_for_state(child.id(), "t");
        drop(next);
        wait_for_state(child.id(), "S");
        assert_eq!(first_answer(&holder.hold(0, u32::MAX).unwrap()), Answer::No);
        // No thread waits on this CPU.
        assert!(holder.hold(1, child.id()).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn held_thread_continues_after_a_second() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let begin = Instant::now();
        let held = holder().hold(0, child.id()).unwrap();
        wait_for_state(child.id(), "t");
        wait_for_state(child.id(), "S");
        assert!(begin.elapsed() >= HOLD_LIMIT);
        assert_eq!(held.last_answer(), Some(Answer::TooLong));
        assert!(held.is_closed());
        drop(held);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn number_of_held_threads_is_limited() {
        let holder = holder();
        let held: Vec<_> = (0..MAX_HELD).map(|_| holder.hold(0, u32::MAX).unwrap()).collect();
        assert!(holder.hold(0, u32::MAX).is_none());
        assert!(held.iter().all(|held| first_answer(held) == Answer::No));
        drop(held);
        assert!(holder.hold(0, u32::MAX).is_some());
    }

    #[test]
    fn parent_can_wait_for_a_held_thread_that_is_killed() {
        let (mut shell, pid, mut says) = shell("sleep 100 & echo $!; wait $!; echo $?");
        let holder = holder();
        let held = holder.hold(0, pid).unwrap();
        wait_for_state(pid, "t");
        signal(pid, rustix::process::Signal::KILL);
        wait_for_state(pid, "Z");
        drop(held);
        let mut line = String::new();
        says.read_line(&mut line).unwrap();
        assert_eq!(line, "137\n");
        shell.wait().unwrap();
    }

    #[test]
    fn signals_arrive_after_the_hold() {
        let (mut shell, pid, mut says) = shell("trap 'echo got; exit' USR1; echo $$; while :; do sleep 0.01; done");
        let holder = holder();
        // Some holds end before the thread has stopped, some after it.
        for round in 0..20 {
            let held = holder.hold(0, pid).unwrap();
            assert_ne!(first_answer(&held), Answer::No);
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
