//! One guest from birth to report: boots it, listens, judges what it hears, and ends it in any case.
//!
//! A guest may be silent for three reasons, told apart by what is seen: its channel ends without `done` (it died: the
//! console says of what), it is not heard for too long (it hangs: an NMI makes it say where), or its time is up.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ChildStdout;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::console;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::kernel::Kernel;
use crate::libtest::{self, Said};
use crate::matrix::chain;
use crate::needs;
use crate::plan::Plan;
use crate::qemu::accel::Accelerator;
use crate::qemu::{Files, Machine, Running, monitor};
use crate::report::{End, Guest, Outcome, Test};
use crate::version::Version;
use crate::wire::{self, Message, Status};

/// What a guest's folder holds: its console, QEMU's complaints, the tests' files.
pub(crate) const CONSOLE: &str = "console.log";
pub(crate) const COMPLAINTS: &str = "qemu.log";
pub(crate) const FILES: &str = "files";

/// A turn of the listening loop takes a tenth of a second, and no more than this unless this process stood still.
const LONG_TURN: Duration = Duration::from_secs(2);
/// Frames that are kept while nobody looks at them; then the guest waits.
const FRAMES_AHEAD: usize = 64;

/// How long a guest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to the guest's first word.
    pub boot: Duration,
    /// Between two words; the guest beats every second.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

/// What is heard while a guest runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard<'a> {
    /// It is up.
    Booted,
    /// These many tests will run that were not known before.
    Listed(usize),
    /// A test began.
    Started(&'a str),
    /// The running test printed this.
    Output(&'a [u8]),
    /// A test ended.
    Ended(&'a Test),
}

/// A guest to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the report calls it.
    pub name: &'a str,
    /// What to boot.
    pub kernel: &'a Kernel,
    /// On what.
    pub machine: &'a Machine,
    /// By what.
    pub accelerator: Accelerator,
    /// The packed initramfs, which holds the plan.
    pub initramfs: &'a Path,
    /// The same plan.
    pub plan: &'a Plan,
    /// How long it may take.
    pub limits: Limits,
    /// Where the console, the channel's record and the tests' files go.
    pub folder: &'a Path,
}

impl Run<'_> {
    /// Runs it. `listen` hears what happens as it happens.
    ///
    /// # Errors
    /// If QEMU cannot be started or the folder not be written. What goes wrong in the guest is in the report.
    pub fn guest(&self, listen: &mut dyn FnMut(Heard<'_>)) -> Result<Guest> {
        // Sockets have short names; a results folder may be deep.
        let sockets = tempfile::tempdir().map_err(Error::file("make", std::env::temp_dir()))?;
        let files = Files {
            kernel: self.kernel.image.clone(),
            initramfs: self.initramfs.to_path_buf(),
            console: self.folder.join(CONSOLE),
            monitor: sockets.path().join("qmp"),
            complaints: self.folder.join(COMPLAINTS),
        };
        let started = Instant::now();
        // How long this process itself stood still: suspended, stopped, or held up by whoever reads what it prints.
        let mut still = Duration::ZERO;
        let (mut qemu, channel) = Running::start(self.machine, &files, self.accelerator)?;
        let frames = receive(channel);
        let mut story = Story::new(self);
        let mut heard_last = started;
        let mut hanging = None;
        let mut turn = Instant::now();
        let end = loop {
            if turn.elapsed() > LONG_TURN {
                still += turn.elapsed();
                heard_last = Instant::now();
            }
            turn = Instant::now();
            if interrupt::seen() {
                break Ending::Interrupted;
            }
            if started.elapsed().saturating_sub(still) > self.limits.whole {
                break Ending::OutOfTime;
            }
            match frames.recv_timeout(Duration::from_millis(100)) {
                Ok(Ok((message, payload))) => {
                    heard_last = Instant::now();
                    hanging = None;
                    story.take(message, &payload, listen);
                }
                Ok(Err(error)) => break Ending::Noise(error.to_string()),
                Err(RecvTimeoutError::Timeout) => {
                    let patience = if story.booted.is_some() { self.limits.silence } else { self.limits.boot };
                    match hanging {
                        None if heard_last.elapsed() > patience => {
                            // Unheard: the guest is asked by an NMI where it is, and given time to answer on its console.
                            hanging = Some(Instant::now());
                            if let Err(error) = monitor::inject_nmi(&files.monitor) {
                                story.notes.push(format!("the NMI was not sent: {error}"));
                            }
                        }
                        Some(since) if since.elapsed() > Duration::from_secs(10) => break Ending::Hung,
                        _ => {}
                    }
                }
                // QEMU has ended, or is about to.
                Err(RecvTimeoutError::Disconnected) => {
                    break if hanging.is_some() { Ending::Hung } else { Ending::Gone };
                }
            }
        };
        let status = wait_a_little(&mut qemu)?;
        qemu.kill();
        let console =
            fs::read(&files.console).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let complaints = fs::read_to_string(&files.complaints).unwrap_or_default();
        let end = end.explained(story.done, &console, &complaints, status.map(|status| status.to_string()));
        Ok(story.finish(end, &console, started))
    }
}

/// Why listening stopped.
enum Ending {
    Gone,
    Hung,
    OutOfTime,
    Interrupted,
    Noise(String),
}

impl Ending {
    fn explained(self, done: bool, console: &str, complaints: &str, status: Option<String>) -> End {
        match self {
            Self::Interrupted => End::Interrupted,
            Self::OutOfTime => End::OutOfTime,
            Self::Noise(error) => End::Broken(error),
            Self::Hung => End::Hung(console::crash(console)),
            Self::Gone if done => End::Clean,
            Self::Gone => match console::crash(console) {
                Some(crash) => End::Crashed(crash),
                None if !complaints.trim().is_empty() => {
                    End::Broken(format!("QEMU said: {}", complaints.lines().next().unwrap_or_default().trim()))
                }
                None => {
                    let status = status.unwrap_or_else(|| "still running".to_owned());
                    End::Broken(format!(
                        "the guest ended (QEMU: {status}) without a word; its console ends with:\n{}",
                        console::tail(console, 20)
                    ))
                }
            },
        }
    }
}

/// Reads frames on a thread of its own, so that waiting for one can end.
fn receive(channel: ChildStdout) -> mpsc::Receiver<std::io::Result<(Message, Vec<u8>)>> {
    let (send, receive) = mpsc::sync_channel(FRAMES_AHEAD);
    std::thread::spawn(move || {
        let mut channel = BufReader::with_capacity(1 << 16, channel);
        loop {
            let frame = match wire::read(&mut channel) {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let last = frame.is_err();
            // The listener may have given up on this guest already.
            if send.send(frame).is_err() || last {
                return;
            }
        }
    });
    receive
}

/// A guest that powers off takes a moment between its last word and QEMU's end.
fn wait_a_little(qemu: &mut Running) -> Result<Option<std::process::ExitStatus>> {
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(status) = qemu.ended()? {
            return Ok(Some(status));
        }
        if Instant::now() > limit || interrupt::seen() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What has been heard so far.
struct Story<'a> {
    run: &'a Run<'a>,
    started: Instant,
    booted: Option<(String, f64)>,
    tests: Vec<Test>,
    /// Listed and not yet started: (binary, name).
    waiting: Vec<(usize, String)>,
    current: Option<Current>,
    notes: Vec<String>,
    exit_code: Option<i32>,
    done: bool,
}

struct Current {
    binary: usize,
    name: String,
    output: Vec<u8>,
    trace: Vec<u8>,
}

impl<'a> Story<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            started: Instant::now(),
            booted: None,
            tests: Vec::new(),
            waiting: Vec::new(),
            current: None,
            notes: Vec::new(),
            exit_code: None,
            done: false,
        }
    }

    fn take(&mut self, message: Message, payload: &[u8], listen: &mut dyn FnMut(Heard<'_>)) {
        match message {
            Message::Hello { release, cpus, memory_kib: _ } => {
                if cpus != self.run.machine.cpus {
                    self.notes.push(format!("{cpus} of {} CPUs are online", self.run.machine.cpus));
                }
                self.booted = Some((release, self.started.elapsed().as_secs_f64()));
                listen(Heard::Booted);
            }
            Message::Beat => {}
            Message::Listed { binary, tests } => {
                listen(Heard::Listed(tests.len()));
                self.waiting.extend(tests.into_iter().map(|name| (binary, name)));
            }
            Message::Started { binary, test } => {
                listen(Heard::Started(&test));
                self.waiting.retain(|(other, name)| !(*other == binary && *name == test));
                self.current = Some(Current { binary, name: test, output: Vec::new(), trace: Vec::new() });
            }
            Message::Output => {
                listen(Heard::Output(payload));
                if let Some(current) = &mut self.current {
                    current.output.extend_from_slice(payload);
                }
            }
            Message::Trace => {
                if let Some(current) = &mut self.current {
                    current.trace.extend_from_slice(payload);
                }
            }
            Message::Ended { status, seconds, dropped } => {
                if let Some(current) = self.current.take() {
                    let test = self.ended(current, status, seconds, dropped);
                    listen(Heard::Ended(&test));
                    self.tests.push(test);
                }
            }
            Message::File { path, offset } => {
                if let Err(error) = self.keep(&path, offset, payload) {
                    self.notes.push(format!("the file {path:?} that a test left is not kept: {}", chain(&error)));
                }
            }
            Message::Note { text } => self.notes.push(text),
            Message::Done => self.done = true,
        }
    }

    /// A package knows its patch level, which Debian's `uname -r` hides (6.1.0-50 is 6.1.176).
    fn version(&self) -> Option<Version> {
        let booted = || Version::leading(&self.booted.as_ref()?.0).map(|(version, _)| version);
        self.run.kernel.version.or_else(booted)
    }

    fn label(&self, binary: usize) -> String {
        self.run.plan.binaries.get(binary).map(|binary| binary.label.clone()).unwrap_or_default()
    }

    fn ended(&mut self, current: Current, status: Status, seconds: f64, dropped: u64) -> Test {
        let binary = self.run.plan.binaries.get(current.binary);
        let output = String::from_utf8_lossy(&current.output).into_owned();
        let trace = String::from_utf8_lossy(&current.trace).into_owned();
        let label = self.label(current.binary);
        let plain = current.name.is_empty();
        if plain {
            self.exit_code = Some(exit_code(status));
        }
        let missing = binary.map_or(&[][..], |binary| &binary.missing);
        let (name, kind) = libtest::without_kind(&current.name);
        let named = (!plain).then_some(current.name.as_str());
        let outcome = match (outcome(named, status, &output, trace, missing), kind) {
            (Outcome::Skipped(reason), Some(kind)) if reason.is_empty() => Outcome::Skipped(kind.to_owned()),
            (outcome, _) => outcome,
        };
        let outcome = outcome.judged(self.version());
        Test { binary: label, name: name.to_owned(), outcome, seconds, output, dropped }
    }

    /// Keeps a piece of a file. The path is the guest's word, and no guest writes outside its folder.
    fn keep(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.is_empty() {
            self.notes.push(format!("the file {path:?} lies outside the results folder and is not kept"));
            return Ok(());
        }
        let place = self.run.folder.join(FILES).join(path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
        }
        let file = if offset == 0 { File::create(&place) } else { File::options().append(true).open(&place) };
        file.and_then(|mut file| file.write_all(bytes)).map_err(Error::file("write", &place))
    }

    fn finish(mut self, end: End, console: &str, started: Instant) -> Guest {
        if let Some(current) = self.current.take() {
            let outcome = match end {
                End::Interrupted => Outcome::NotRun,
                End::OutOfTime => Outcome::TimedOut(String::from_utf8_lossy(&current.trace).into_owned()),
                _ => Outcome::Died,
            };
            self.tests.push(Test {
                binary: self.label(current.binary),
                name: libtest::without_kind(&current.name).0.to_owned(),
                outcome,
                seconds: 0.0,
                output: String::from_utf8_lossy(&current.output).into_owned(),
                dropped: 0,
            });
        }
        for (binary, name) in std::mem::take(&mut self.waiting) {
            let binary = self.label(binary);
            self.tests.push(Test {
                binary,
                name,
                outcome: Outcome::NotRun,
                seconds: 0.0,
                output: String::new(),
                dropped: 0,
            });
        }
        // Binaries whose turn never came have no listed tests, and must not vanish from the report.
        if end != End::Clean {
            for binary in &self.run.plan.binaries {
                if !self.tests.iter().any(|test| test.binary == binary.label) {
                    self.tests.push(Test {
                        binary: binary.label.clone(),
                        name: String::new(),
                        outcome: Outcome::NotRun,
                        seconds: 0.0,
                        output: String::new(),
                        dropped: 0,
                    });
                }
            }
        }
        self.notes.extend(console::warnings(console).map(|line| format!("the kernel warned: {line}")));
        let version = self.version();
        let (release, boot_seconds) = match self.booted {
            Some((release, seconds)) => (Some(release), seconds),
            None => (None, 0.0),
        };
        Guest {
            name: self.run.name.to_owned(),
            release,
            version,
            tests: self.tests,
            end,
            boot_seconds,
            seconds: started.elapsed().as_secs_f64(),
            exit_code: self.exit_code,
            notes: self.notes,
            folder: Some(PathBuf::from(self.run.folder)),
        }
    }
}

/// What a process's end says of its test, or of a plain program, which has no name.
fn outcome(name: Option<&str>, status: Status, output: &str, trace: String, missing: &[String]) -> Outcome {
    let lacks = || match missing {
        [] => String::new(),
        names => format!(" (it is linked to {}, which this machine does not have either)", names.join(", ")),
    };
    match status {
        Status::TimedOut => Outcome::TimedOut(trace),
        Status::Signal(signal) => Outcome::Failed(format!("killed by signal {signal} ({})", signal_name(signal))),
        Status::NotStarted => Outcome::Failed(format!("could not be started{}", lacks())),
        Status::Code(code) => match (code, name.map(|name| (name, libtest::said(output, name)))) {
            (0, None) => Outcome::Passed,
            (0, Some((_, Said::Passed))) => Outcome::Passed,
            (0, Some((_, Said::Ignored(reason)))) => Outcome::Skipped(reason),
            (0, Some((_, Said::Failed | Said::Nothing))) => Outcome::Failed(
                "its process left with status 0 before the harness could say that one test passed".to_owned(),
            ),
            (_, Some((name, Said::Failed))) => match needs::confessed(output, libtest::without_kind(name).0) {
                Some(reason) => Outcome::Skipped(reason.to_owned()),
                None => Outcome::Failed("the harness says FAILED".to_owned()),
            },
            (code, _) => Outcome::Failed(format!("exit status {code}{}", lacks())),
        },
    }
}

/// As a shell says it.
fn exit_code(status: Status) -> i32 {
    match status {
        Status::Code(code) => code,
        Status::Signal(signal) => 128 + signal,
        Status::TimedOut => 124,
        Status::NotStarted => 127,
    }
}

/// The signals that end test processes, by the names of signal(7); signals of this machine and its guests have the same numbers.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL, as the OOM killer does",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        _ => "signal(7) tells its name",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str =
        "test a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n";

    fn of(status: Status, output: &str) -> Outcome {
        outcome(Some("a"), status, output, String::new(), &[])
    }

    #[test]
    fn status_and_summary_must_agree() {
        assert_eq!(of(Status::Code(0), PASSED), Outcome::Passed);
        assert!(of(Status::Code(0), "").is_failure(), "exit(0) inside a test proves nothing");
        assert!(of(Status::Code(101), PASSED).is_failure());
        assert!(of(Status::Signal(11), PASSED).is_failure());
        assert_eq!(of(Status::TimedOut, PASSED), Outcome::TimedOut(String::new()));
    }

    #[test]
    fn a_confessing_panic_is_a_skip_to_be_judged() {
        let output = "thread 'a' panicked at x.rs:1:1:\nneeds 6.12: x\ntest a ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;\n";
        assert_eq!(of(Status::Code(101), output), Outcome::Skipped("needs 6.12: x".into()));
    }

    #[test]
    fn plain_programs_are_judged_by_their_status() {
        assert_eq!(outcome(None, Status::Code(0), "", String::new(), &[]), Outcome::Passed);
        let failed = outcome(None, Status::Code(127), "", String::new(), &["libx.so".into()]);
        assert!(matches!(&failed, Outcome::Failed(why) if why.contains("127") && why.contains("libx.so")));
        assert_eq!(exit_code(Status::Signal(9)), 137);
        assert_eq!(signal_name(11), "SIGSEGV");
    }
}
