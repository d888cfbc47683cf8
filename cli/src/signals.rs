//! Signals that end a command: on the first it cleans up and exits, on the second it dies at once.
//!
//! | signal | effect |
//! | --- | --- |
//! | the first SIGINT, SIGTERM or SIGHUP | calls the function of [`on_stop`]: the command detaches, reports, exits |
//! | the second, in any mix | runs the acts of [`at_sudden_end`], then kills the process by that signal (128 + N) |
//! | one that was ignored when the process started | stays ignored: `nohup`, and SIGINT of a shell's background jobs |
//!
//! SIGUSR1 ends a process, unless the command has called [`on_user_signal`].
//!
//! A command that never calls [`on_stop`] has nothing to detach, and the first signal ends it as the second would: by
//! the default disposition, or if there are acts, after those.
//!
//! Nothing between the second signal and the end of the process waits for another thread without a limit: the main
//! thread may compute, or block in a write to a pipe that is not read.

use std::{
    io, process,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ},
    iterator::{Signals, SignalsInfo, exfiltrator::raw::WithRawSiginfo},
    low_level::emulate_default_handler,
};

/// Time limit of the acts before a sudden end.
const ACTS: Duration = Duration::from_millis(500);

/// Time of the first signal.
static STOPPING: OnceLock<Instant> = OnceLock::new();

/// The acts that run before the process dies of the second signal, with their ids.
static LAST_ACTS: Mutex<Vec<(u64, Act)>> = Mutex::new(Vec::new());

/// The channel that reports the first signal.
static FIRST: Mutex<Option<mpsc::Sender<()>>> = Mutex::new(None);

type Act = Arc<dyn Fn() + Send + Sync>;

/// Calls `stop` once, on a thread of its own, on the first SIGINT, SIGTERM or SIGHUP from now on; the second ends the
/// process.
///
/// # Errors
///
/// Fails if the pipe for the signals or a thread cannot be created.
pub(crate) fn on_stop(stop: impl Fn() + Send + 'static) -> io::Result<()> {
    // `stop` may block, for instance in a report to a full stderr. The second signal must not wait for it.
    let (first, stops) = mpsc::channel();
    thread::Builder::new().name("stop".to_owned()).spawn(move || stops.iter().for_each(|()| stop()))?;
    *FIRST.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    listen()
}

/// Calls `act` for each SIGUSR1, on a thread of its own. Signals in quick succession may count as one.
///
/// # Errors
///
/// Fails if the pipe for the signal or a thread cannot be created.
pub(crate) fn on_user_signal(act: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGUSR1])?;
    let listen = move || signals.forever().for_each(|_| act());
    thread::Builder::new().name("user-signals".to_owned()).spawn(listen).map(drop)
}

/// Listens for the signals from now on, if nothing does yet.
fn listen() -> io::Result<()> {
    static LISTENING: Mutex<bool> = Mutex::new(false);
    let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
    if *listening {
        return Ok(());
    }
    let handled: Vec<_> = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)).collect();
    // Each delivery is one item: two signals in a row must not count as one.
    let mut signals = SignalsInfo::<WithRawSiginfo>::new(&handled)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            match FIRST.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                Some(first) if STOPPING.set(Instant::now()).is_ok() => {
                    // The receiver lives as long as the process.
                    let _ = first.send(());
                }
                _ => end_at_once(signal.si_signo),
            }
        }
    })?;
    *listening = true;
    Ok(())
}

/// Returns the time of the first signal; `None` before it.
pub(crate) fn stopping() -> Option<Instant> {
    STOPPING.get().copied()
}

/// Makes a write beyond RLIMIT_FSIZE fail with EFBIG instead of ending the process by SIGXFSZ.
pub(crate) fn report_limits_of_files() {
    if !is_ignored(SIGXFSZ) {
        // The handler does nothing, and execve(2) resets it for a COMMAND. Without it the signal ends the process, as
        // it would any other.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    }
}

/// The guard of an act: the act runs before the process dies of a signal, as long as this guard is alive.
#[must_use]
#[derive(Debug)]
pub(crate) struct LastAct(u64);

/// Runs `act` before the process dies of the second signal, or of the first where that ends it. It must not block and
/// must not wait for another thread.
pub(crate) fn at_sudden_end(act: impl Fn() + Send + Sync + 'static) -> LastAct {
    // If that fails, the signal ends the process without the act.
    let _ = listen();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // ATOMICS: the number alone counts; the mutex orders the rest.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    LAST_ACTS.lock().unwrap_or_else(PoisonError::into_inner).push((number, Arc::new(act)));
    LastAct(number)
}

impl Drop for LastAct {
    fn drop(&mut self) {
        LAST_ACTS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != self.0);
    }
}

/// Ends the process by this signal.
fn end_at_once(signal: i32) -> ! {
    let (done, acted) = mpsc::channel();
    let act = move || {
        let acts: Vec<_> = LAST_ACTS.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        // The newest act runs first.
        acts.iter().rev().for_each(|(_, act)| act());
        // The waiter may have given up.
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(act).is_ok() {
        // The process ends even if the acts are late.
        let _ = acted.recv_timeout(ACTS);
    }
    // Death by the signal itself, so that a shell knows why. It returns only if that fails.
    let _ = emulate_default_handler(signal);
    process::exit(128 + signal)
}

/// Returns whether the process ignores this signal, by inheritance or by itself.
#[expect(unsafe_code, reason = "only sigaction(2) returns the disposition")]
fn is_ignored(signal: i32) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null action changes nothing; `old` is writable and as large as the call expects.
    let answer = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    // SAFETY: all of it is zeroed or was written by the call, and any bits are a valid `sigaction`.
    let old = unsafe { old.assume_init() };
    answer == 0 && old.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_guard_removes_its_act() {
        let known = |number| LAST_ACTS.lock().unwrap().iter().any(|(known, _)| *known == number);
        let act = at_sudden_end(|| {});
        let number = act.0;
        assert!(known(number));
        drop(act);
        assert!(!known(number));
    }

    #[test]
    fn ignored_signals_are_recognized() {
        // std ignores SIGPIPE, and does not change SIGUSR2.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGUSR2));
    }
}
