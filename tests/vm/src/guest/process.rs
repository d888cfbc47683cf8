//! Runs one process: passes on its output, waits for its end, enforces its time limit.
//!
//! ```text
//!   process ── stdout ─┐
//!           ── stderr ─┴─ pipe ──> poll ──> sink
//!   pidfd ────────────────────────> poll ──> status
//! ```
//!
//! Process 1 runs one test at a time, which makes cleaning up simple and complete. `kill(-1)` from process 1 reaches
//! every other process, including daemons that left the test's process group.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait};

use super::stacks;
use crate::protocol::Status;

/// The process to run.
pub(super) struct Spec<'a> {
    pub(super) program: &'a str,
    pub(super) arguments: &'a [String],
    pub(super) directory: &'a str,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) limit: Duration,
}

/// A report of a running process.
pub(super) enum Report<'a> {
    /// The next bytes of its output.
    Output(&'a [u8]),
    /// It exceeded its time limit: the stacks of its threads.
    Trace(&'a str),
}

/// Runs a process to its end and kills every process that it leaves behind.
pub(super) fn run(spec: &Spec<'_>, report: &mut dyn FnMut(Report<'_>)) -> (Status, Duration) {
    let started = Instant::now();
    let status = watched(spec, started, report).unwrap_or_else(|error| {
        report(Report::Output(format!("cannot run {}: {error}\n", spec.program).as_bytes()));
        Status::NotStarted
    });
    (status, started.elapsed())
}

fn watched(spec: &Spec<'_>, started: Instant, report: &mut dyn FnMut(Report<'_>)) -> io::Result<Status> {
    std::fs::create_dir_all(spec.directory)?;
    let (mut output, writer) = io::pipe()?;
    let child = Command::new(spec.program)
        .args(spec.arguments)
        .current_dir(spec.directory)
        .env_clear()
        .envs(spec.environment)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    // `Command` held the pipe's write ends and was dropped with the statement: only the child's are left.
    follow(child, &mut output, started + spec.limit, report)
}

/// Passes the output of a process on until it ends, and ends it at `deadline`. Then kills every process that it leaves
/// behind.
pub(super) fn follow(
    mut child: Child,
    output: &mut (impl Read + AsFd),
    deadline: Instant,
    report: &mut dyn FnMut(Report<'_>),
) -> io::Result<Status> {
    let ended = wait_for_end(&mut child, output, deadline, report);
    let timed_out = matches!(ended, Ok(false));
    if timed_out {
        report(Report::Trace(&stacks::all()));
    }
    end_all_processes();
    let status = child.wait()?;
    reap();
    // The output before the end is in the pipe. Only a process that cannot be killed could write more.
    let last = Instant::now() + Duration::from_secs(1);
    while poll_for(&[&*output], last)?.first().is_some_and(|ready| *ready) && pass_on(output, report)? {}
    ended?;
    Ok(match (timed_out, status.code(), status.signal()) {
        (true, _, _) => Status::TimedOut,
        (_, Some(code), _) => Status::Code(code),
        (_, _, signal) => Status::Signal(signal.unwrap_or(0)),
    })
}

/// Passes output on until the process ends (returns `true`) or `deadline` passes (returns `false`).
fn wait_for_end(
    child: &mut Child,
    output: &mut (impl Read + AsFd),
    deadline: Instant,
    report: &mut dyn FnMut(Report<'_>),
) -> io::Result<bool> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut open = true;
    while Instant::now() < deadline {
        let (ended, readable) = if open {
            let ready = poll_for(&[&process, &*output], deadline)?;
            (ready.first() == Some(&true), ready.last() == Some(&true))
        } else {
            (poll_for(&[&process], deadline)?.first() == Some(&true), false)
        };
        // The end counts even if there is output: a process that it left behind may print on without end.
        if ended {
            return Ok(true);
        }
        if readable {
            open = pass_on(output, report)?;
        }
    }
    Ok(false)
}

/// Waits until `deadline`. Returns for each of `sources` whether it is readable.
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

/// Reads once; returns `false` when all write ends are closed, which a pseudo terminal reports as EIO.
fn pass_on(output: &mut impl Read, report: &mut dyn FnMut(Report<'_>)) -> io::Result<bool> {
    let mut buffer = [0; 16 << 10];
    let length = match output.read(&mut buffer) {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
        read => read?,
    };
    if let Some(bytes) = buffer.get(..length)
        && length > 0
    {
        report(Report::Output(bytes));
    }
    Ok(length > 0)
}

/// Kills every process but this one.
fn end_all_processes() {
    #![expect(unsafe_code, reason = "kill(-1) has no safe wrapper: rustix takes one process or one group")]
    // SAFETY: kill(2) takes two integers and touches no memory; -1 means every process except process 1, which is us.
    let answer = unsafe { libc::kill(-1, libc::SIGKILL) };
    let error = io::Error::last_os_error();
    // ESRCH means that no process is left, as intended.
    if answer != 0 && error.raw_os_error() != Some(libc::ESRCH) {
        eprintln!("cutaway-vm: cannot end the test's processes: {error}");
    }
}

/// Reaps the orphans that process 1 inherits, and waits for those that are still dying. The wait is limited, because a
/// process may hang in the kernel.
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

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, kill_process_group};

    use super::*;

    #[test]
    fn process_ends_although_another_prints_on() {
        let (mut output, writer) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "yes & exit 3"]).stdout(writer.try_clone().unwrap()).stderr(writer).process_group(0);
        let mut child = command.spawn().unwrap();
        drop(command);
        let deadline = Instant::now() + Duration::from_secs(10);
        let ended = wait_for_end(&mut child, &mut output, deadline, &mut |_| {});
        kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
        assert!(ended.unwrap(), "it has ended, and not by the time limit");
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
}
