//! Keeps a thread from going on while probes are put on a library that it has just mapped: the side of `trace`.
//!
//! The threads are held by a process of its own (`holder.rs`), because a tracer that is stopped (SIGSTOP, Ctrl-Z)
//! cannot let go: that process is in a session of its own, where no terminal stops it. It is this same program, started
//! once, and it ends when the socket to it is closed, so also when `cutaway` is killed.

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
    holder::{Answer, MOST, WORD},
    wire,
};

/// How many threads are held at once at most.
const AT_ONCE: usize = 128;

/// The process that holds threads.
pub(crate) struct Holder {
    /// `None` in unit tests, where threads of this process hold.
    child: Option<Child>,
    /// To the thread that waits on each CPU.
    cpus: BTreeMap<u32, OwnedFd>,
    /// Closed at the end: the process ends then.
    _control: OwnedFd,
    /// Cloned for each thread that is held.
    count: Arc<()>,
}

/// A held thread, which goes on when this is dropped, or [`MOST`] after it was made.
#[must_use]
pub(crate) struct Held {
    answers: OwnedFd,
    tid: u32,
    _count: Arc<()>,
}

impl Holder {
    /// Starts the process, with a thread that waits on each of these CPUs.
    ///
    /// # Errors
    ///
    /// Fails if this program cannot be run once more, or the process does not answer within 5 seconds.
    pub(crate) fn start(cpus: &[u32]) -> io::Result<Self> {
        let (control, theirs) = wire::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("cutaway").arg(WORD).current_dir("/");
        let child = command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // It still has the process's end: without closing that one, a process that has ended at once would be waited
        // for.
        drop(command);
        Self::prepare(Some(child), control, cpus)
    }

    fn prepare(child: Option<Child>, control: OwnedFd, cpus: &[u32]) -> io::Result<Self> {
        const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
        // From here on the process ends if anything fails.
        let mut holder = Self { child, cpus: BTreeMap::new(), _control: control.try_clone()?, count: Arc::default() };
        for &cpu in cpus {
            let (ours, theirs) = wire::pair()?;
            // On a machine with very many CPUs the process has to read on before there is room.
            while let Err(error) = wire::send(&control, cpu, Some(theirs.as_fd())) {
                let mut room = [PollFd::new(&control, PollFlags::OUT)];
                if error != rustix::io::Errno::AGAIN || poll(&mut room, Some(&PATIENCE))? == 0 {
                    return Err(error.into());
                }
            }
            holder.cpus.insert(cpu, ours);
        }
        wire::send(&control, 0, None)?;
        poll(&mut [PollFd::new(&control, PollFlags::IN)], Some(&PATIENCE))?;
        match wire::receive(&control, false) {
            Some(_) => Ok(holder),
            None => Err(io::Error::new(io::ErrorKind::TimedOut, "the process that holds threads does not answer")),
        }
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Has the thread stopped as soon as it would return to its program. It is asked for on the CPU where the thread
    /// was last, whose waiting thread the kernel then runs before it, and does not wait for the answer. Returns `None`
    /// if too many are held, or the process has ended.
    pub(crate) fn hold(&self, cpu: u32, tid: u32) -> Option<Held> {
        if Arc::strong_count(&self.count) > AT_ONCE {
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
            // It would end by itself, but not if it is stopped.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Held {
    /// Takes the next answer that has arrived; waits for it no longer than this.
    pub(crate) fn answer(&self, patience: Duration) -> Option<Answer> {
        if !patience.is_zero() {
            let patience = Timespec::try_from(patience).ok();
            poll(&mut [PollFd::new(&self.answers, PollFlags::IN)], patience.as_ref()).ok()?;
        }
        wire::receive(&self.answers, false).and_then(|message| Answer::read(message.word))
    }

    /// Returns whether the holder process no longer holds the thread, or has ended.
    pub(crate) fn is_closed(&self) -> bool {
        wire::is_closed(&self.answers)
    }

    /// Takes the last answer that has arrived.
    pub(crate) fn last_answer(&self) -> Option<Answer> {
        std::iter::from_fn(|| self.answer(Duration::ZERO)).last()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.last_answer() == Some(Answer::TooLong) {
            tell_of_release(self.tid);
        }
    }
}

/// Warns, once, that a thread was let go before the probes were there.
pub(crate) fn tell_of_release(tid: u32) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // ATOMICS: the flag alone counts.
    if !TOLD.swap(true, Ordering::Relaxed) {
        warn!(
            "thread {tid} was to stand still until probes are on its C library, but that took more than {MOST:?}: it \
             goes on, and its first calls may be missed; of others this is not told again"
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

    /// One whose threads are this process's: the test's program is not `cutaway`.
    fn holder() -> Holder {
        let (control, theirs) = wire::pair().unwrap();
        thread::spawn(move || holder::serve(&theirs));
        Holder::prepare(None, control, &[0]).unwrap()
    }

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

    /// The first answer.
    fn first(held: &Held) -> Answer {
        held.answer(Duration::from_secs(5)).unwrap()
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
        let holder = holder();
        let held = holder.hold(0, child.id()).unwrap();
        assert_eq!(first(&held), Answer::Held);
        becomes(child.id(), "t");
        // Another one has to wait.
        let next = holder.hold(0, child.id()).unwrap();
        assert_eq!(first(&next), Answer::Waiting);
        drop(held);
        assert_eq!(first(&next), Answer::Held);
        becomes(child.id(), "t");
        drop(next);
        becomes(child.id(), "S");
        assert_eq!(first(&holder.hold(0, u32::MAX).unwrap()), Answer::No);
        // A CPU for which there is no thread.
        assert!(holder.hold(1, child.id()).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_goes_on_by_itself_after_a_second() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let begin = Instant::now();
        let held = holder().hold(0, child.id()).unwrap();
        becomes(child.id(), "t");
        becomes(child.id(), "S");
        assert!(begin.elapsed() >= MOST);
        assert_eq!(held.last_answer(), Some(Answer::TooLong));
        drop(held);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn no_more_threads_are_held_at_once_than_that() {
        let holder = holder();
        let held: Vec<_> = (0..AT_ONCE).map(|_| holder.hold(0, u32::MAX).unwrap()).collect();
        assert!(holder.hold(0, u32::MAX).is_none());
        assert!(held.iter().all(|held| first(held) == Answer::No));
        drop(held);
        assert!(holder.hold(0, u32::MAX).is_some());
    }

    #[test]
    fn one_that_is_killed_meanwhile_is_its_parents_to_wait_for() {
        let (mut shell, pid, mut says) = shell("sleep 100 & echo $!; wait $!; echo $?");
        let holder = holder();
        let held = holder.hold(0, pid).unwrap();
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
        let holder = holder();
        // Some are sent before the thread has stopped, some when it stands.
        for round in 0..20 {
            let held = holder.hold(0, pid).unwrap();
            assert_ne!(first(&held), Answer::No);
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
