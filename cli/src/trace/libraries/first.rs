//! Has the thread that notices libraries run before ordinary ones, as long as it does not take a CPU from them.

use std::time::{Duration, Instant};

use log::debug;
use rustix::time::{ClockId, clock_gettime};

/// The priority of the calling thread, whose only it is.
///
/// It is in a race with programs that start. But programs that map files without end could have it run without end, before
/// all others. So it goes back to ordinary priority for [`PAUSE`] when it has used more than half of a CPU for [`WINDOW`].
pub(crate) struct First {
    is_first: bool,
    /// Since when, and what the thread had run by then.
    since: Instant,
    ran: Duration,
}

const WINDOW: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_secs(5);

impl First {
    /// Runs first from now on. Without the right to do so the thread is slower, no more.
    pub(crate) fn begin() -> Self {
        Self { is_first: run_at(libc::SCHED_FIFO, 1), since: Instant::now(), ran: ran() }
    }

    /// Is called often: changes the priority when it is time.
    pub(crate) fn account(&mut self) {
        let (passed, ran) = (self.since.elapsed(), ran());
        let is_over = passed >= if self.is_first { WINDOW } else { PAUSE };
        // What it ran before the window was over counts, too: it may not come here again for long.
        let is_much = ran.saturating_sub(self.ran) > WINDOW / 2;
        match (self.is_first, is_over, is_much) {
            (true, _, true) => {
                debug!("libraries are noticed at ordinary priority for {PAUSE:?}: there is much to look at");
                self.is_first = !run_at(libc::SCHED_OTHER, 0);
            }
            (false, true, _) => self.is_first = run_at(libc::SCHED_FIFO, 1),
            (_, false, _) => return,
            (true, true, false) => {}
        }
        (self.since, self.ran) = (Instant::now(), ran);
    }
}

impl First {
    /// Does something that is in no hurry, at ordinary priority.
    pub(crate) fn not_for<T>(&self, act: impl FnOnce() -> T) -> T {
        let was_first = self.is_first && run_at(libc::SCHED_OTHER, 0);
        let answer = act();
        if was_first {
            run_at(libc::SCHED_FIFO, 1);
        }
        answer
    }
}

/// How long the calling thread has run on a CPU.
fn ran() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
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

    #[test]
    fn a_thread_that_runs_all_the_time_does_not_run_first() {
        let mut first = First::begin();
        if !first.is_first {
            eprintln!("this machine does not permit real-time priorities");
            return;
        }
        assert_eq!(policy(), "1");
        first.account();
        assert_eq!(policy(), "1");
        assert_eq!(first.not_for(policy), "0");
        assert_eq!(policy(), "1");
        let begin = Instant::now();
        while first.is_first && begin.elapsed() < Duration::from_secs(5) {
            first.account();
        }
        assert_eq!(policy(), "0");
        // And again later.
        first.since = begin.checked_sub(PAUSE).unwrap();
        first.account();
        assert_eq!(policy(), "1");
        run_at(libc::SCHED_OTHER, 0);
    }
}
