//! The binary `cutaway` as a process, its streams, and its end.

use std::{
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::{PATIENCE, wait_until};

/// Returns the path of the binary under test.
pub(crate) fn path() -> PathBuf {
    std::env::var_os("CUTAWAY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_cutaway").into()).into()
}

/// Returns `cutaway` with these arguments, and an environment that does not change its output.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).env_remove("RUST_LOG").env_remove("NO_COLOR").env("RES_OPTIONS", "timeout:1 attempts:1");
    command
}

/// Returns `cutaway trace` with these words, then `--` and a command line.
pub(crate) fn trace(words: &str, command_line: impl IntoIterator<Item = OsString>) -> Command {
    let mut command = command(["trace"]);
    command.args(words.split_whitespace()).arg("--").args(command_line);
    command
}

/// A running process. Dropping it interrupts it first, so that it can end what it has started, and then kills it.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Reader>,
    stderr: Reader,
}

/// The result of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts the command with all its streams connected to this value.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut running = Self::start_without_stdout(command.stdout(Stdio::piped()));
        running.stdout = running.child.stdout.take().map(Reader::new);
        running
    }

    /// Starts the command like [`Self::start`], but with the stdout that `command` has.
    pub(crate) fn start_without_stdout(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = wait_until("no process has the program open for writing", || match command.spawn() {
            // The executable was just copied: a new process of another test has our fd of it until it calls execve.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            answer => Some(answer.unwrap()),
        });
        let stderr = Reader::new(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), stdout: None, stderr, child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line to its stdin, which is also the traced command's.
    pub(crate) fn go(&mut self) {
        // The reader may already have ended.
        let _ = self.stdin.as_mut().unwrap().write_all(b"go\n");
    }

    /// Writes to its stdin.
    pub(crate) fn write(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line on stdout that `accept` accepts.
    pub(crate) fn stdout_line(&self, what: &str, accept: impl Fn(&str) -> bool) -> String {
        self.wait_for(what, self.stdout.as_ref().unwrap(), |text| {
            text.lines().find(|line| accept(line)).map(str::to_owned)
        })
    }

    /// Returns the number of complete lines that it has written to stdout.
    pub(crate) fn stdout_lines(&self) -> usize {
        self.stdout.as_ref().unwrap().text().lines().count()
    }

    /// Waits for the line with this index on stdout, counted from 0.
    pub(crate) fn stdout_nth(&self, what: &str, number: usize) -> String {
        self.wait_for(what, self.stdout.as_ref().unwrap(), |text| text.lines().nth(number).map(str::to_owned))
    }

    /// Waits until `find` returns something of what the process has written. Panics if the stream ends before.
    fn wait_for(&self, what: &str, stream: &Reader, find: impl Fn(&str) -> Option<String>) -> String {
        wait_until(what, || {
            // In this order: the process may write something and end in between.
            let ended = stream.thread.is_finished();
            let found = find(&stream.text());
            assert!(found.is_some() || !ended, "it ended before {what}; its stderr:\n{}", self.stderr.text());
            found
        })
    }

    /// Waits for a line on stderr that `accept` accepts.
    pub(crate) fn stderr_line(&self, what: &str, accept: impl Fn(&str) -> bool) -> String {
        self.wait_for(what, &self.stderr, |text| text.lines().find(|line| accept(line)).map(str::to_owned))
    }

    /// Returns true if it has written this to stderr.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.stderr.text().contains(part)
    }

    /// Returns true if its first thread is in one of these system calls.
    pub(crate) fn is_in(&self, calls: &[libc::c_long]) -> bool {
        // The number comes first; a running thread has none.
        let text = std::fs::read_to_string(format!("/proc/{}/syscall", self.pid())).unwrap();
        let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| calls.contains(&number))
    }

    /// Waits until it is stopped after SIGSTOP.
    pub(crate) fn stop(&self) {
        self.send(Signal::STOP);
        let status = format!("/proc/{}/stat", self.pid());
        wait_until("the process is stopped", || {
            let text = std::fs::read_to_string(&status).unwrap();
            text.rsplit_once(") ").unwrap().1.starts_with('T').then_some(())
        });
    }

    /// Waits until it has ended, and every process that holds its stderr.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process does not end; stderr so far:\n{}", self.stderr.text());
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.stdout.take().map_or_else(String::new, Reader::all);
        let stderr = std::mem::replace(&mut self.stderr, Reader::new(std::io::empty())).all();
        Ended { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::CONT);
        let _ = kill_process(pid, Signal::TERM);
        for _ in 0..300 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Returns the command's own line with the error. There must be no other line of its own but the summary
    /// and the line at the start of a trace.
    pub(crate) fn complaint(&self) -> &str {
        assert_eq!(self.status.code(), Some(1), "{self:?}");
        assert_eq!(self.status.signal(), None);
        let lines: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| !["received ", "no buffer: ", "Tracing "].iter().any(|other| line.starts_with(other)))
            .collect();
        match lines[..] {
            [line] => line.strip_prefix("cutaway: ").unwrap_or_else(|| panic!("{line}")),
            _ => panic!("not one line: {self:?}"),
        }
    }

    /// Returns the numbers in the last line of stderr: received, lost; `None` if the losses are unknown. A run without
    /// a buffer has no summary.
    pub(crate) fn outcome(&self) -> (u64, Option<u64>) {
        let last = self.stderr.lines().last().unwrap_or_default();
        if last.starts_with("no buffer: ") {
            return (0, None);
        }
        let numbers = last.strip_prefix("received ").and_then(|rest| rest.split_once(", lost "));
        let (received, lost) = numbers.unwrap_or_else(|| panic!("no summary at the end: {self:?}"));
        let lost = if lost.contains("unknown") { None } else { Some(lost.parse().unwrap()) };
        (received.parse().unwrap(), lost)
    }

    /// Returns the same numbers if all losses are counted; panics otherwise.
    pub(crate) fn summary(&self) -> (u64, u64) {
        let (received, lost) = self.outcome();
        (received, lost.unwrap_or_else(|| panic!("losses are unknown: {self:?}")))
    }

    /// Asserts success without counted losses. Returns the number of records received.
    pub(crate) fn received(&self) -> u64 {
        assert!(self.status.success(), "{self:?}");
        let (received, lost) = self.outcome();
        assert_eq!(lost.unwrap_or(0), 0, "{self:?}");
        received
    }

    /// Asserts success. Returns the summary's numbers.
    pub(crate) fn success(&self) -> (u64, u64) {
        assert!(self.status.success(), "{self:?}");
        self.summary()
    }
}

/// Reads a stream to its end in a thread, so that its writer never blocks.
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn new(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                shared.lock().unwrap().append(&mut line);
            }
        });
        Self { text, thread }
    }

    /// Returns the complete lines so far.
    fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    fn all(self) -> String {
        wait_until("its streams are closed", || self.thread.is_finished().then_some(()));
        self.text()
    }
}
