//! Has threads that are in a race with starting programs run before ordinary ones, as long as they take no CPU from
//! them.

use std::time::{Duration, Instant};

use log::debug;
use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// The priority of the calling thread, whose only it is.
///
/// Programs that map files without end could have such a thread run without end, before all others. So it goes back to
/// ordinary priority for [`PAUSE`] when it has used more than half of a CPU for [`WINDOW`].
pub(crate) struct First {
    /// The CPU to which the thread is pinned while it runs first. A pinned thread of ordinary priority would wait for
    /// the very program that it is to overtake, so it is pinned only while it runs first.
    cpu: Option<u32>,
    /// Where the thread may run otherwise.
    anywhere: Option<CpuSet>,
    /// The CPU time clock of a process that works for this thread: its time counts, too.
    helper: Option<libc::clockid_t>,
    is_first: bool,
    /// Since when, and what the thread had run by then.
    since: Instant,
    ran: Duration,
}

const WINDOW: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(5);

impl First {
    /// Runs first from now on, on this CPU alone if one is given. Without the right to do so the thread is slower, no
    /// more.
    pub(crate) fn begin(cpu: Option<u32>) -> Self {
        let anywhere = cpu.and_then(|_| sched_getaffinity(None).ok());
        let mut first = Self { cpu, anywhere, helper: None, is_first: false, since: Instant::now(), ran: ran() };
        first.enter();
        first
    }

    /// Counts the time of this process, too.
    pub(crate) fn with(mut self, helper: u32) -> Self {
        self.helper = clock_of(helper);
        self.ran = self.ran();
        self
    }

    /// Changes the priority when it is time. The caller calls it often.
    pub(crate) fn account(&mut self) {
        let (passed, ran) = (self.since.elapsed(), self.ran());
        let is_over = passed >= if self.is_first { WINDOW } else { PAUSE };
        // What it ran before the window was over counts, too: it may not come here again for long.
        let is_much = ran.saturating_sub(self.ran) > WINDOW / 2;
        match (self.is_first, is_over, is_much) {
            (true, _, true) => {
                debug!("libraries are noticed at ordinary priority for {PAUSE:?}: there is much to look at");
                self.leave();
            }
            (false, true, _) => self.enter(),
            (_, false, _) => return,
            (true, true, false) => {}
        }
        (self.since, self.ran) = (Instant::now(), ran);
    }

    /// Does something that is in no hurry, at ordinary priority.
    pub(crate) fn not_for<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let was_first = self.is_first;
        if was_first {
            self.leave();
        }
        let answer = act();
        if was_first {
            self.enter();
        }
        answer
    }

    fn enter(&mut self) {
        // The threads that wait on one CPU overtake the one that attaches, too: it may run there for long, and
        // meanwhile the thread to be held is moved to another CPU.
        self.is_first = run_at(libc::SCHED_FIFO, if self.cpu.is_some() { 2 } else { 1 });
        if let Some(cpu) = self.cpu.and_then(|cpu| usize::try_from(cpu).ok()).filter(|_| self.is_first)
            && cpu < CpuSet::MAX_CPU
        {
            let mut only = CpuSet::new();
            only.set(cpu);
            // A CPU that this process may not use: the thread comes from another one, which takes longer.
            let _ = sched_setaffinity(None, &only).inspect_err(|error| debug!("no thread waits on CPU {cpu}: {error}"));
        }
    }

    fn leave(&mut self) {
        if let Some(anywhere) = &self.anywhere {
            let _ = sched_setaffinity(None, anywhere);
        }
        self.is_first = !run_at(libc::SCHED_OTHER, 0);
    }

    fn ran(&self) -> Duration {
        ran() + self.helper.map_or(Duration::ZERO, time_of)
    }
}

/// How long the calling thread has run on a CPU.
fn ran() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Returns the CPU time clock of a process.
#[expect(unsafe_code, reason = "clock_getcpuclockid(3)")]
fn clock_of(pid: u32) -> Option<libc::clockid_t> {
    let mut clock = 0;
    let pid = libc::pid_t::try_from(pid).ok()?;
    // SAFETY: `clock` is alive and of the type that is written.
    let answer = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    (answer == 0).then_some(clock)
}

/// Returns what a clock shows; 0 if the process is gone.
#[expect(unsafe_code, reason = "clock_gettime(2) of another process's clock")]
fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is alive and of the type that is written.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let rest = Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
    if answer == 0 { seconds + rest } else { Duration::ZERO }
}

/// Sets the calling thread's policy and priority; `false` if that is not permitted.
#[expect(unsafe_code, reason = "sched_setscheduler(2)")]
fn run_at(policy: libc::c_int, priority: libc::c_int) -> bool {
    let priority = libc::sched_param { sched_priority: priority };
    // SAFETY: `priority` is alive; 0 is the calling thread.
    let answer = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) };
    if answer != 0 {
        debug!("libraries are noticed at the priority that is: {}", std::io::Error::last_os_error());
    }
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 41 of stat (proc(5)).
    fn policy() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3).unwrap().to_owned()
    }

    fn cpus() -> u32 {
        sched_getaffinity(None).unwrap().count()
    }

    #[test]
    fn a_thread_that_runs_all_the_time_does_not_run_first() {
        let before = cpus();
        let mut first = First::begin(Some(0));
        if !first.is_first {
            eprintln!("this machine does not permit real-time priorities");
            return;
        }
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        first.account();
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        assert_eq!(first.not_for(|| (policy(), cpus())), ("0".to_owned(), before));
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        let begin = Instant::now();
        while first.is_first && begin.elapsed() < Duration::from_secs(5) {
            first.account();
        }
        assert_eq!((policy().as_str(), cpus()), ("0", before));
        // And again later.
        first.since = begin.checked_sub(PAUSE).unwrap();
        first.account();
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        first.leave();
    }

    #[test]
    fn the_time_of_a_helper_counts() {
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let mut first = First::begin(None).with(busy.id());
        let was_first = first.is_first;
        let begin = Instant::now();
        // This thread sleeps nearly all the time.
        while first.is_first && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(150));
            first.account();
        }
        assert!(!first.is_first);
        busy.kill().unwrap();
        busy.wait().unwrap();
        if was_first {
            assert!(begin.elapsed() < PAUSE, "{:?}", begin.elapsed());
        }
        assert!(!time_of(clock_of(std::process::id()).unwrap()).is_zero());
        assert!(clock_of(busy.id()).is_none());
    }
}
