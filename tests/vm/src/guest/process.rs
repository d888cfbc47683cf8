//! One process under watch: its output as it comes, its end, its limit.
//!
//! ```text
//!   process ── stdout ─┐
//!           ── stderr ─┴─ pipe ──> poll ──> sink
//!   pidfd ────────────────────────> poll ──> status
//! ```
//!
//! Process 1 runs one test at a time, and that buys a simple and complete way to clean up: `kill(-1)` from process 1
//! reaches every process but itself, daemons that left the test's group included.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait};

use super::stacks;
use crate::protocol::Status;

/// What to run.
pub(super) struct Spec<'a> {
    pub(super) program: &'a str,
    pub(super) arguments: &'a [String],
    pub(super) directory: &'a str,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) limit: Duration,
}

/// What a process tells while it runs.
pub(super) enum Told<'a> {
    /// The next bytes of its output.
    Output(&'a [u8]),
    /// It hangs: where its threads are.
    Trace(&'a str),
}

/// Runs a process to its end and leaves no other process behind.
pub(super) fn run(spec: &Spec<'_>, tell: &mut dyn FnMut(Told<'_>)) -> (Status, Duration) {
    let started = Instant::now();
    let status = watched(spec, started, tell).unwrap_or_else(|error| {
        tell(Told::Output(format!("cannot run {}: {error}\n", spec.program).as_bytes()));
        Status::NotStarted
    });
    (status, started.elapsed())
}

fn watched(spec: &Spec<'_>, started: Instant, tell: &mut dyn FnMut(Told<'_>)) -> io::Result<Status> {
    std::fs::create_dir_all(spec.directory)?;
    let (mut output, writer) = io::pipe()?;
    let mut child = Command::new(spec.program)
        .args(spec.arguments)
        .current_dir(spec.directory)
        .env_clear()
        .envs(spec.environment)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    // `Command` held the pipe's writing ends and is gone with the statement: the child's are the only ones.
    let ended = wait_for_end(&mut child, &mut output, started + spec.limit, tell);
    let timed_out = matches!(ended, Ok(false));
    if timed_out {
        tell(Told::Trace(&stacks::all()));
    }
    end_all_processes();
    let status = child.wait()?;
    reap();
    // What was written before the end is in the pipe; only a process that cannot be killed could write more.
    let last = Instant::now() + Duration::from_secs(1);
    while poll_for(&[&output], last)?.first().is_some_and(|ready| *ready) && pass_on(&mut output, tell)? {}
    ended?;
    Ok(match (timed_out, status.code(), status.signal()) {
        (true, _, _) => Status::TimedOut,
        (_, Some(code), _) => Status::Code(code),
        (_, _, signal) => Status::Signal(signal.unwrap_or(0)),
    })
}

/// Passes output on until the process ends (`true`) or `deadline` does (`false`).
fn wait_for_end(
    child: &mut Child,
    output: &mut PipeReader,
    deadline: Instant,
    tell: &mut dyn FnMut(Told<'_>),
) -> io::Result<bool> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut open = true;
    while Instant::now() < deadline {
        let (ended, readable) = if open {
            let ready = poll_for(&[&process, output], deadline)?;
            (ready.first() == Some(&true), ready.last() == Some(&true))
        } else {
            (poll_for(&[&process], deadline)?.first() == Some(&true), false)
        };
        if readable {
            open = pass_on(output, tell)?;
        } else if ended {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which of `sources` have something to say before `deadline`.
fn poll_for(sources: &[&dyn AsFd], deadline: Instant) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        sources.iter().map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)).collect();
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(polled.iter().map(|one| !one.revents().is_empty()).collect())
}

/// Reads once; `false` when all writers are gone.
fn pass_on(output: &mut PipeReader, tell: &mut dyn FnMut(Told<'_>)) -> io::Result<bool> {
    let mut buffer = [0; 16 << 10];
    let length = output.read(&mut buffer)?;
    if let Some(bytes) = buffer.get(..length)
        && length > 0
    {
        tell(Told::Output(bytes));
    }
    Ok(length > 0)
}

/// Ends every process but this one.
fn end_all_processes() {
    #![expect(unsafe_code, reason = "kill(-1) has no safe wrapper: rustix takes one process or one group")]
    // SAFETY: kill(2) takes two integers and touches no memory; -1 means every process except process 1, which is us.
    let answer = unsafe { libc::kill(-1, libc::SIGKILL) };
    let error = io::Error::last_os_error();
    // No process left is what is wanted.
    if answer != 0 && error.raw_os_error() != Some(libc::ESRCH) {
        eprintln!("cutaway-vm: cannot end the test's processes: {error}");
    }
}

/// Collects the orphans that fell to process 1, and waits for those that are still dying; not for ever, for one may
/// hang in the kernel.
fn reap() {
    let last = Instant::now() + Duration::from_secs(1);
    while Instant::now() < last {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            // No child is left.
            Err(_) => return,
        }
    }
}
