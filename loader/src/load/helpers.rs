//! Does jobs on the calling thread, and on helpers if that is worth it.
//!
//! The threads take the jobs from one queue, in its order. A helper costs some 50 µs. So one is started for each
//! [`WORTH`] that the jobs have taken: if the rest of the jobs is small, little is wasted.

use std::{
    any::Any,
    panic::resume_unwind,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, Builder, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use log::debug;

use crate::sys::signals::BlockedSignals;

/// The time that the jobs must have taken for each helper.
const WORTH: Duration = Duration::from_millis(2);

/// The size of a helper's stack in bytes. Only the pages that it uses take memory. It is that of the standard library,
/// without the environment variable that changes it.
const STACK: usize = 2 << 20;

/// A queue of jobs.
pub(super) trait Jobs: Send {
    type Job;
    type Outcome;
    /// Gives out the next job.
    fn next(&mut self) -> Option<Self::Job>;
    /// Takes the outcome of a job.
    fn finish(&mut self, outcome: Self::Outcome);
    /// Gives out no further job.
    fn stop(&mut self);
    /// Returns the number of jobs that are not given out yet.
    fn left(&self) -> usize;
}

/// The number of threads.
pub(super) struct Threads {
    /// The highest number of threads, with the calling thread.
    pub(super) most: usize,
    /// The number of helpers that are started at once.
    pub(super) at_once: usize,
    /// Returns the number of CPUs. It is called before the first helper is started.
    pub(super) cpus: fn() -> usize,
}

/// Runs `work` on all jobs. Returns the queue after all helpers have ended. A panic of a helper becomes one of this
/// thread.
pub(super) fn run<Q: Jobs>(jobs: Q, threads: &Threads, work: &(dyn Fn(Q::Job) -> Q::Outcome + Sync)) -> Q {
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        let mut helpers = Helpers { scope, jobs: &jobs, work, most: threads.most, cpus: None, started: Vec::new() };
        let start = Instant::now();
        helpers.start(threads.at_once, threads.cpus);
        do_all(&jobs, work, || {
            let worth = start.elapsed().as_nanos() / WORTH.as_nanos();
            helpers.start(usize::try_from(worth).unwrap_or(usize::MAX), threads.cpus);
        });
        if let Some(panic) = helpers.join() {
            resume_unwind(panic);
        }
    });
    jobs.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` on jobs until none is left. Calls `after` after each.
fn do_all<Q: Jobs>(jobs: &Mutex<Q>, work: &(dyn Fn(Q::Job) -> Q::Outcome + Sync), mut after: impl FnMut()) {
    let _stop = StopOnPanic(jobs);
    loop {
        let next = lock(jobs).next();
        let Some(job) = next else { return };
        let outcome = work(job);
        lock(jobs).finish(outcome);
        after();
    }
}

/// Locks the queue, which is also usable after a panic: a job that was not finished has no outcome.
fn lock<Q>(jobs: &Mutex<Q>) -> MutexGuard<'_, Q> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the work of all threads if this one panics.
struct StopOnPanic<'q, Q: Jobs>(&'q Mutex<Q>);

impl<Q: Jobs> Drop for StopOnPanic<'_, Q> {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(self.0).stop();
        }
    }
}

/// The threads that do jobs beside the calling thread.
struct Helpers<'scope, 'env, Q: Jobs> {
    scope: &'scope Scope<'scope, 'env>,
    jobs: &'scope Mutex<Q>,
    work: &'scope (dyn Fn(Q::Job) -> Q::Outcome + Sync),
    /// The highest number of threads, with the calling thread.
    most: usize,
    /// The number of CPUs; `None` until it is counted.
    cpus: Option<usize>,
    started: Vec<ScopedJoinHandle<'scope, ()>>,
}

impl<Q: Jobs> Helpers<'_, '_, Q> {
    /// Starts helpers until there are `worth` of them. One job that is left is for the calling thread, and each new
    /// helper needs another.
    fn start(&mut self, worth: usize, cpus: fn() -> usize) {
        if worth <= self.started.len() || self.started.len() + 1 >= self.most {
            return;
        }
        let left = lock(self.jobs).left().saturating_sub(1);
        if left == 0 {
            return;
        }
        // Counting reads files of the cgroup, so it is done only if a helper is worth it.
        let most = self.most.min(*self.cpus.get_or_insert_with(cpus));
        self.most = most;
        let wanted = worth.min(most.saturating_sub(1)).min(self.started.len().saturating_add(left));
        if wanted <= self.started.len() {
            return;
        }
        // Helpers inherit the mask. Otherwise a handler of the caller's could run on a helper and interrupt the system
        // call there.
        let _blocked = BlockedSignals::new();
        while self.started.len() < wanted {
            let (jobs, work) = (self.jobs, self.work);
            let builder = Builder::new().name("cutaway-load".to_owned()).stack_size(STACK);
            match builder.spawn_scoped(self.scope, move || do_all(jobs, work, || {})) {
                Ok(helper) => self.started.push(helper),
                Err(error) => {
                    // For example EAGAIN by RLIMIT_NPROC. The threads that exist do the jobs.
                    debug!("no further thread loads programs: {error}");
                    self.most = self.started.len() + 1;
                    return;
                }
            }
        }
    }

    /// Waits for all helpers to end. Returns the panic of one, if any.
    fn join(self) -> Option<Box<dyn Any + Send>> {
        let mut panic = None;
        for helper in self.started {
            if let Err(payload) = helper.join() {
                panic = panic.or(Some(payload));
            }
        }
        panic
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, panic::catch_unwind, thread::ThreadId};

    use super::*;

    /// The jobs from 0 on, and the outcomes.
    struct Numbers {
        next: usize,
        end: usize,
        done: Vec<(usize, ThreadId)>,
    }

    impl Numbers {
        fn to(end: usize) -> Self {
            Self { next: 0, end, done: Vec::new() }
        }

        fn threads(&self) -> usize {
            self.done.iter().map(|(_, thread)| thread).collect::<HashSet<_>>().len()
        }
    }

    impl Jobs for Numbers {
        type Job = usize;
        type Outcome = (usize, ThreadId);

        fn next(&mut self) -> Option<usize> {
            let next = self.next;
            (next < self.end).then(|| self.next += 1).map(|()| next)
        }

        fn finish(&mut self, outcome: (usize, ThreadId)) {
            self.done.push(outcome);
        }

        fn stop(&mut self) {
            self.end = self.next;
        }

        fn left(&self) -> usize {
            self.end - self.next
        }
    }

    /// Takes as long as a large program.
    fn sleep(job: usize) -> (usize, ThreadId) {
        thread::sleep(Duration::from_millis(5));
        (job, thread::current().id())
    }

    fn threads(most: usize, at_once: usize) -> Threads {
        Threads { most, at_once, cpus: || 4 }
    }

    #[test]
    fn each_job_is_done_once() {
        let queue = run(Numbers::to(400), &threads(usize::MAX, 0), &sleep);
        let mut done: Vec<_> = queue.done.iter().map(|(job, _)| *job).collect();
        done.sort_unstable();
        assert_eq!(done, (0..400).collect::<Vec<_>>());
        assert_eq!(queue.threads(), 4, "long jobs are done on all CPUs");
    }

    #[test]
    fn limit_is_kept() {
        assert_eq!(run(Numbers::to(200), &threads(2, 9), &sleep).threads(), 2);
        for most in [0, 1] {
            assert_eq!(run(Numbers::to(5), &threads(most, 9), &sleep).threads(), 1);
        }
        let one_cpu = Threads { most: 9, at_once: 9, cpus: || 1 };
        assert_eq!(run(Numbers::to(5), &one_cpu, &sleep).threads(), 1);
    }

    #[test]
    fn helpers_wait_for_long_jobs() {
        let begun = Mutex::new(0);
        let meet = |job| {
            *lock(&begun) += 1;
            // However late the helper is, the first job waits for the second.
            let end = Instant::now() + Duration::from_secs(20);
            while *lock(&begun) < 2 && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            (job, thread::current().id())
        };
        let at_once = run(Numbers::to(2), &threads(usize::MAX, 1), &meet);
        assert_eq!(at_once.threads(), 2);
        // After the first job, the last one is for the calling thread.
        let measured = run(Numbers::to(2), &threads(usize::MAX, 0), &sleep);
        assert_eq!(measured.threads(), 1);
        // On a busy machine, this thread may have to wait within a short job too.
        let quick = |job| (job, thread::current().id());
        let is_alone = || run(Numbers::to(3), &threads(usize::MAX, 0), &quick).threads() == 1;
        assert!((0..50).filter(|_| is_alone()).count() > 25, "short jobs need no helper");
    }

    #[test]
    fn panic_of_any_thread_stops_all_and_is_passed_on() {
        for on_caller in [false, true] {
            let caller = thread::current().id();
            let seen = Mutex::new(0);
            let panicked = catch_unwind(|| {
                run(Numbers::to(100_000), &threads(usize::MAX, 3), &|job| {
                    *lock(&seen) += 1;
                    if job >= 8 && (thread::current().id() == caller) == on_caller {
                        panic!("job {job}");
                    }
                    sleep(job)
                })
            });
            let payload = panicked.err().expect("the panic is passed on");
            let text = payload.downcast_ref::<String>().expect("the panic's own text");
            assert!(text.starts_with("job "), "{text}");
            let seen = *lock(&seen);
            assert!(seen < 50_000, "the other threads stop: {seen} jobs");
        }
    }

    /// The mask of this thread is the same afterwards, and its helpers block all signals except those of faults.
    #[test]
    fn helpers_block_signals() {
        fn blocked() -> u64 {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("proc");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
            u64::from_str_radix(mask.trim(), 16).expect("hexadecimal")
        }
        let bit = |signal: i32| 1_u64 << (signal - 1);
        let (before, masks) = (blocked(), Mutex::new(Vec::new()));
        run(Numbers::to(200), &threads(2, 1), &|job| {
            let done = sleep(job);
            lock(&masks).push((done.1, blocked()));
            done
        });
        assert_eq!(blocked(), before);
        let masks = masks.into_inner().expect("no panic");
        let caller = thread::current().id();
        let helpers: Vec<_> = masks.iter().filter(|(thread, _)| *thread != caller).map(|(_, mask)| *mask).collect();
        assert!(!helpers.is_empty());
        for mask in helpers {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGALRM, libc::SIGUSR1, libc::SIGCHLD, libc::SIGRTMAX()] {
                assert_ne!(mask & bit(signal), 0, "signal {signal} is blocked");
            }
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGSYS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
                assert_eq!(mask & bit(signal), 0, "signal {signal} is not blocked");
            }
        }
        assert!(masks.iter().all(|(thread, mask)| *thread != caller || *mask == before));
    }
}
