//! Runs a thread at real-time priority, so that it can hold a starting program in time, within a limit of CPU time.

use std::time::{Duration, Instant};

use log::debug;
use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// The real-time priority of the calling thread. A thread has one of these at most.
///
/// Programs that map files continuously could keep such a thread running all the time, before all others. So it returns
/// to ordinary priority for [`PAUSE`] when it has used more than half of a CPU for [`WINDOW`].
pub(crate) struct RealtimePriority {
    /// The CPU to which the thread is pinned while it has real-time priority. At ordinary priority it is not pinned,
    /// because it would wait for the very program that it has to hold in time.
    cpu: Option<u32>,
    /// The CPUs on which the thread may run otherwise.
    original_cpus: Option<CpuSet>,
    /// The CPU time clock of a process that works for this thread. Its time counts too.
    helper: Option<libc::clockid_t>,
    is_raised: bool,
    /// The start of the current window or pause, and the CPU time used until then.
    since: Instant,
    cpu_time: Duration,
}

/// The time over which CPU time is measured.
const WINDOW: Duration = Duration::from_millis(200);
/// The time at ordinary priority after too much CPU time was used.
const PAUSE: Duration = Duration::from_secs(5);

impl RealtimePriority {
    /// Raises the calling thread to real-time priority and pins it to the CPU, if one is given. Without the privilege
    /// the thread is only slower.
    pub(crate) fn start(cpu: Option<u32>) -> Self {
        let original_cpus = cpu.and_then(|_| sched_getaffinity(None).ok());
        let mut priority =
            Self { cpu, original_cpus, helper: None, is_raised: false, since: Instant::now(), cpu_time: cpu_time() };
        priority.raise();
        priority
    }

    /// Adds the CPU time of this process to the thread's.
    pub(crate) fn with_helper(mut self, helper: u32) -> Self {
        self.helper = cpu_clock(helper);
        self.cpu_time = self.cpu_time();
        self
    }

    /// Lowers the priority if too much CPU time was used, and raises it after the pause. The caller calls this often.
    pub(crate) fn throttle(&mut self) {
        let (passed, cpu_time) = (self.since.elapsed(), self.cpu_time());
        let is_over = passed >= if self.is_raised { WINDOW } else { PAUSE };
        // The time used before the end of the window counts at once, because the next call may be much later.
        let is_much = cpu_time.saturating_sub(self.cpu_time) > WINDOW / 2;
        match (self.is_raised, is_over, is_much) {
            (true, _, true) => {
                debug!("reading mmap records at ordinary priority for {PAUSE:?}: they took more than half of a CPU");
                self.lower();
            }
            (false, true, _) => self.raise(),
            (_, false, _) => return,
            (true, true, false) => {}
        }
        (self.since, self.cpu_time) = (Instant::now(), cpu_time);
    }

    /// Runs `act`, which is not urgent, at ordinary priority.
    pub(crate) fn at_ordinary_priority<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let was_raised = self.is_raised;
        if was_raised {
            self.lower();
        }
        let result = act();
        if was_raised {
            self.raise();
        }
        result
    }

    fn raise(&mut self) {
        // Threads that are pinned to a CPU also have precedence over the thread that attaches. That one may run on the
        // CPU for a long time, in which the thread to be held would be moved to another CPU.
        self.is_raised = set_scheduler(libc::SCHED_FIFO, if self.cpu.is_some() { 2 } else { 1 });
        if let Some(cpu) = self.cpu.and_then(|cpu| usize::try_from(cpu).ok()).filter(|_| self.is_raised)
            && cpu < CpuSet::MAX_CPU
        {
            let mut only = CpuSet::new();
            only.set(cpu);
            // This process may not use the CPU: the thread is woken on another one, which takes longer.
            let _ =
                sched_setaffinity(None, &only).inspect_err(|error| debug!("cannot pin a thread to CPU {cpu}: {error}"));
        }
    }

    fn lower(&mut self) {
        if let Some(original_cpus) = &self.original_cpus {
            let _ = sched_setaffinity(None, original_cpus);
        }
        self.is_raised = !set_scheduler(libc::SCHED_OTHER, 0);
    }

    fn cpu_time(&self) -> Duration {
        cpu_time() + self.helper.map_or(Duration::ZERO, clock_time)
    }
}

/// Returns the CPU time of the calling thread.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Returns the CPU time clock of a process.
#[expect(unsafe_code, reason = "clock_getcpuclockid(3)")]
fn cpu_clock(pid: u32) -> Option<libc::clockid_t> {
    let mut clock = 0;
    let pid = libc::pid_t::try_from(pid).ok()?;
    // SAFETY: `clock` is alive and of the type that is written.
    let answer = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    (answer == 0).then_some(clock)
}

/// Reads a clock. Returns 0 if the process has ended.
#[expect(unsafe_code, reason = "clock_gettime(2) of another process's clock")]
fn clock_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is alive and of the type that is written.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let rest = Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
    if answer == 0 { seconds + rest } else { Duration::ZERO }
}

/// Sets the calling thread's policy and priority. Returns `false` if that is not permitted.
#[expect(unsafe_code, reason = "sched_setscheduler(2)")]
fn set_scheduler(policy: libc::c_int, priority: libc::c_int) -> bool {
    let priority = libc::sched_param { sched_priority: priority };
    // SAFETY: `priority` is alive; 0 is the calling thread.
    let answer = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) };
    if answer != 0 {
        debug!("cannot change a thread's priority: {}", std::io::Error::last_os_error());
    }
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns field 41 of stat (proc(5)).
    fn policy() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(41 - 3).unwrap().to_owned()
    }

    fn cpus() -> u32 {
        sched_getaffinity(None).unwrap().count()
    }

    #[test]
    fn busy_thread_returns_to_ordinary_priority() {
        let before = cpus();
        let mut priority = RealtimePriority::start(Some(0));
        if !priority.is_raised {
            eprintln!("this machine does not permit real-time priorities");
            return;
        }
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        priority.throttle();
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        assert_eq!(priority.at_ordinary_priority(|| (policy(), cpus())), ("0".to_owned(), before));
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        let begin = Instant::now();
        while priority.is_raised && begin.elapsed() < Duration::from_secs(5) {
            priority.throttle();
        }
        assert_eq!((policy().as_str(), cpus()), ("0", before));
        // It is raised again after the pause.
        priority.since = begin.checked_sub(PAUSE).unwrap();
        priority.throttle();
        assert_eq!((policy().as_str(), cpus()), ("1", 1));
        priority.lower();
    }

    #[test]
    fn cpu_time_of_the_helper_counts() {
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let mut priority = RealtimePriority::start(None).with_helper(busy.id());
        let was_raised = priority.is_raised;
        let begin = Instant::now();
        // This thread itself sleeps nearly all the time.
        while priority.is_raised && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(150));
            priority.throttle();
        }
        assert!(!priority.is_raised);
        busy.kill().unwrap();
        busy.wait().unwrap();
        if was_raised {
            assert!(begin.elapsed() < PAUSE, "{:?}", begin.elapsed());
        }
        assert!(!clock_time(cpu_clock(std::process::id()).unwrap()).is_zero());
        assert!(cpu_clock(busy.id()).is_none());
    }
}
