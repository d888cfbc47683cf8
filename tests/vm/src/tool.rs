//! External programs: apt, dpkg-deb, cargo. Each call has advice on how to install the program if it is absent.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Error, Result};

/// A call of an external program.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    advice: &'static str,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>, advice: &'static str) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        Self { command, advice }
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn directory(mut self, path: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs the program. Returns its stdout if it succeeded.
    pub(crate) fn output(self) -> Result<String> {
        let (status, output, said) = self.finish()?;
        if status.success() { Ok(output) } else { Err(said) }
    }

    /// Runs the program. Returns its status, its stdout, and the error to return if the status counts as a failure:
    /// some programs fail partially.
    pub(crate) fn finish(mut self) -> Result<(ExitStatus, String, Error)> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let output = self.command.output().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NotInstalled { program: program.clone(), advice: self.advice },
            _ => Error::File { attempt: "run", path: program.clone().into(), source: error },
        })?;
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.iter().rev().take(5).rev().copied().collect::<Vec<_>>().join("; ");
        let refused = Error::Refused { program, status: output.status.to_string(), said: last };
        Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned(), refused))
    }

    /// Returns the command itself, for callers that stream the output.
    pub(crate) fn into_command(self) -> (Command, &'static str) {
        (self.command, self.advice)
    }
}
