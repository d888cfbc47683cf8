//! A running QEMU.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::accelerator::Accelerator;
use super::machine::{Files, Machine};
use crate::error::{Error, Result};

/// A running QEMU. It is killed when this value is dropped, and when this process ends in any other manner.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    program: &'static str,
}

impl Running {
    /// Starts a guest and returns the two ends of its channel.
    pub(crate) fn start(
        machine: &Machine,
        files: &Files,
        accelerator: Accelerator,
    ) -> Result<(Self, ChildStdin, ChildStdout)> {
        let complaints = File::create(&files.complaints).map_err(Error::file("create", &files.complaints))?;
        let program = machine.arch.emulator();
        let mut command = Command::new(program);
        command
            .args(machine.arguments(files, accelerator))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            // This process handles Ctrl-C: QEMU is not in the terminal's process group.
            .process_group(0);
        die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NotInstalled { program: program.to_owned(), advice: machine.arch.advice() },
            _ => Error::File { attempt: "run", path: program.into(), source: error },
        })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::File {
                attempt: "talk to",
                path: program.into(),
                source: io::Error::other("its input and output are not piped"),
            });
        };
        Ok((Self { child, program }, to, from))
    }

    /// Returns the exit status if QEMU has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(Error::file("wait for", self.program))
    }

    /// Kills QEMU.
    pub(crate) fn kill(&mut self) {
        // QEMU may already have ended. In both cases it is waited for, so that no zombie stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sets `PR_SET_PDEATHSIG`: the kernel kills QEMU if the thread that started it dies, even by `kill -9`.
fn die_with_parent(command: &mut Command) {
    #![expect(unsafe_code, reason = "the code between fork and exec must be async-signal-safe")]
    let before_exec = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: the closure runs in the forked child before exec and only makes one system call (prctl); it allocates
    // nothing, takes no lock and touches no memory of the parent's, so it is async-signal-safe.
    unsafe { command.pre_exec(before_exec) };
}
