//! The child process that runs a COMMAND while its events are read.
//!
//! A limit or the first signal ends it by SIGTERM, and by SIGKILL if it still runs [`PATIENCE`] later. The second
//! signal ends it by SIGKILL at once. Processes that COMMAND has started are not ended.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, OwnedFd},
    process::{self, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    diagnostics,
    error::CliError,
    signals::{self, LastAct},
};

/// Time that a command has to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running COMMAND.
pub(crate) struct Child {
    name: OsString,
    child: Running,
    /// Readable when the child has ended. Unlike a pid, it is never reused.
    pidfd: Arc<OwnedFd>,
    _at_sudden_end: LastAct,
}

impl Child {
    /// Starts `program`; calls `ended` from another thread when it has ended. Its stdout goes to stderr, because stdout
    /// is for results.
    pub(crate) fn start(
        program: &OsStr,
        arguments: &[OsString],
        stdin: Stdio,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, CliError> {
        let run = format!("run `{}`", program.display());
        let failed = |error: io::Error| CliError::system(&run, &error);
        let stdout = io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        let child = Command::new(program).args(arguments).stdin(stdin).stdout(Stdio::from(stdout)).spawn().map_err(
            |error| {
                let failure = CliError::system(&run, &error);
                match error.kind() {
                    io::ErrorKind::NotFound => failure.advise("check its path, or PATH"),
                    io::ErrorKind::PermissionDenied => failure.advise("check that it is executable"),
                    _ => failure,
                }
            },
        )?;
        // From here on, the child is killed if anything fails.
        let mut running = Running(Some(child));
        let pidfd = running.0.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), open).map_err(failed)?;
        let pidfd = Arc::new(pidfd);
        let last = Arc::clone(&pidfd);
        // It may have ended.
        let last = signals::at_sudden_end(move || {
            let _ = pidfd_send_signal(&*last, Signal::KILL);
        });
        when_ended(Arc::clone(&pidfd), ended).map_err(failed)?;
        let child = running.0.take();
        Ok(Self { name: program.to_owned(), child: Running(child), pidfd, _at_sudden_end: last })
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.0.as_ref().map(process::Child::id)
    }

    /// Ends the command if it still runs: by SIGTERM, later by SIGKILL. Reports the status of a command that has failed
    /// by itself. Processes that the command has started are not ended.
    pub(crate) fn end(mut self) -> Result<(), CliError> {
        let ours = !wait(&self.pidfd, Some(Duration::ZERO));
        if ours {
            // It may have just ended.
            let _ = pidfd_send_signal(&*self.pidfd, Signal::TERM);
            if !wait(&self.pidfd, Some(PATIENCE)) {
                let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
            }
            if !wait(&self.pidfd, Some(PATIENCE)) {
                // It runs as another user now, for instance by a set-user-ID file.
                self.child.0 = None;
                return Err(CliError::new(format!(
                    "cannot end `{}`: signals to it are not permitted",
                    self.name.display()
                )));
            }
        }
        let Some(mut child) = self.child.0.take() else { return Ok(()) };
        let status = child.wait().map_err(|error| CliError::system("wait for the command", &error))?;
        if !status.success() && !ours {
            diagnostics::say(&format!("`{}` {}", self.name.display(), describe(status)));
        }
        Ok(())
    }
}

/// A child that is killed if it is dropped without having been waited for.
struct Running(Option<process::Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended, or run as another user.
            let _ = child.kill();
            let _ = child.try_wait();
        }
    }
}

/// Calls `ended` from another thread when the process has ended.
fn when_ended(pidfd: Arc<OwnedFd>, ended: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let wait = move || {
        wait(&pidfd, None);
        ended();
    };
    thread::Builder::new().name("command".to_owned()).spawn(wait).map(drop)
}

/// A process that this command did not start. It is opened before a program is attached to it, so that a process that
/// exits meanwhile has been traced to its end.
pub(crate) struct Process {
    pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    pub(crate) fn open(pid: u32) -> Result<Self, CliError> {
        let pidfd = open_pid(pid).map_err(|error| CliError::system(&format!("find process {pid}"), &error))?;
        Ok(Self { pid, pidfd })
    }

    /// Calls `ended` from another thread when it has ended.
    pub(crate) fn at_end(self, ended: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
        let failed = |error| CliError::system(&format!("wait for the end of process {}", self.pid), &error);
        when_ended(Arc::new(self.pidfd), ended).map_err(failed)
    }
}

/// Calls `ended` from another thread when all these processes have ended.
pub(crate) fn when_all_ended(processes: Vec<Process>, ended: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
    let wait_for_all = move || {
        for process in &processes {
            wait(&process.pidfd, None);
        }
        ended();
    };
    let thread = thread::Builder::new().name("processes".to_owned()).spawn(wait_for_all);
    thread.map(drop).map_err(|error| CliError::system("wait for the end of the processes", &error))
}

fn open(child: &process::Child) -> io::Result<OwnedFd> {
    open_pid(child.id())
}

fn open_pid(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits for the process to end. Returns `false` if `timeout` passes first.
fn wait(pidfd: &OwnedFd, timeout: Option<Duration>) -> bool {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
    loop {
        match poll(&mut ended, timeout.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => format!("ended: {status}"),
    }
}
