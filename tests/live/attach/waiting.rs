//! Another process that executes this binary and does nothing.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind, Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The argument that makes this binary wait for the end of its input.
pub(crate) const WAIT: &str = "wait";

/// Tells the parent that execve(2) is done, then waits for the end of the input.
pub(crate) fn be_waiting() {
    io::stdout().write_all(b"!").and_then(|()| io::stdout().flush()).unwrap();
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

/// A process that waits. It ends when this value is dropped.
pub(crate) struct Waiting(Child);

impl Waiting {
    /// Starts this binary.
    pub(crate) fn start() -> Self {
        Self::start_copy("/proc/self/exe")
    }

    /// Starts a copy of this binary, and waits until execve(2) is done. The kernel resumes the parent of vfork(2)
    /// before it gives the child its own address space: a probe of "the child" would be one of the parent until then.
    pub(crate) fn start_copy(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.arg(WAIT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut child, begin) = (command.spawn(), Instant::now());
        // A new process of another test has our fd of a copied file until it calls execve.
        while matches!(&child, Err(error) if error.kind() == ErrorKind::ExecutableFileBusy)
            && begin.elapsed() < Duration::from_secs(10)
        {
            thread::sleep(Duration::from_millis(10));
            child = command.spawn();
        }
        let mut child = child.unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
