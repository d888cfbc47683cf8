//! The transcript of a guest: its messages so far, and the report made from them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use super::heard::Heard;
use super::spec::{FILES, Run};
use super::verdict;
use crate::console::Log;
use crate::error::{Error, Result, chain};
use crate::libtest;
use crate::orders::Task;
use crate::protocol::{Message, Status};
use crate::report::{End, Guest, Outcome, Output, Test};
use crate::version::Version;

/// The largest trace that is kept, in bytes: a process may have thousands of threads.
const TRACE_LIMIT: usize = 1 << 20;

/// The messages so far.
pub(super) struct Transcript<'a> {
    run: &'a Run<'a>,
    started: Instant,
    booted: Option<(String, f64)>,
    tests: Vec<Test>,
    /// The tests listed and not yet started: (binary, name).
    waiting: Vec<(usize, String)>,
    current: Option<Current>,
    notes: Vec<String>,
    exit_code: Option<i32>,
    lists: BTreeMap<String, String>,
    done: bool,
}

struct Current {
    binary: usize,
    name: String,
    output: Output,
    trace: Vec<u8>,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            started: Instant::now(),
            booted: None,
            tests: Vec::new(),
            waiting: match run.task {
                Task::One { binary, test } => vec![(*binary, test.clone())],
                Task::Run(_) | Task::List | Task::Shell(_) => Vec::new(),
            },
            current: None,
            notes: Vec::new(),
            exit_code: None,
            lists: BTreeMap::new(),
            done: false,
        }
    }

    pub(super) fn has_booted(&self) -> bool {
        self.booted.is_some()
    }

    /// Returns true if the guest has reported that everything has run.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Returns the last test that has ended, if it failed.
    pub(super) fn last_failure(&self) -> Option<&Test> {
        self.tests.last().filter(|test| test.outcome.is_failure())
    }

    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    pub(super) fn take(&mut self, message: Message, payload: &[u8], listen: &mut dyn FnMut(Heard<'_>)) {
        match message {
            Message::Hello { release, cpus, memory_kib: _ } => {
                if cpus != self.run.machine.cpus {
                    self.notes.push(format!("{cpus} of {} CPUs are online", self.run.machine.cpus));
                }
                self.booted = Some((release, self.started.elapsed().as_secs_f64()));
                listen(Heard::Booted);
            }
            Message::Ready | Message::Beat => {}
            Message::Listed { binary, tests } => {
                listen(Heard::Listed(tests.len()));
                self.waiting.extend(tests.into_iter().map(|name| (binary, name)));
            }
            Message::Whole { binary, digest } => {
                self.lists.insert(self.label(binary), digest);
            }
            Message::Started { binary, test } => {
                listen(Heard::Started(&test));
                self.waiting.retain(|(other, name)| !(*other == binary && *name == test));
                self.current = Some(Current { binary, name: test, output: Output::default(), trace: Vec::new() });
            }
            Message::Output => {
                listen(Heard::Output(payload));
                if let Some(current) = &mut self.current {
                    current.output.push(payload);
                }
            }
            Message::Trace => {
                if let Some(current) = self.current.as_mut().filter(|current| current.trace.len() < TRACE_LIMIT) {
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
                    self.notes.push(format!("a test's file {path:?} is not kept: {}", chain(&error)));
                }
            }
            Message::Note { text } => self.notes.push(text),
            // The loop that reads messages ends at this one.
            Message::Unable { why } => self.notes.push(why),
            Message::Shell => listen(Heard::Shell(payload)),
            Message::Left { status, seconds: _ } => {
                if matches!(self.run.task, Task::Shell(_)) {
                    self.exit_code = Some(verdict::exit_code(status));
                }
            }
            Message::Done => self.done = true,
        }
    }

    /// Returns the kernel's version, from the package if possible: that has the patch level, which Debian's `uname -r`
    /// hides (6.1.0-50 is 6.1.176).
    fn version(&self) -> Option<Version> {
        let booted = || Version::leading(&self.booted.as_ref()?.0).map(|(version, _)| version);
        self.run.kernel.version.or_else(booted)
    }

    fn label(&self, binary: usize) -> String {
        self.run.plan.binaries.get(binary).map(|binary| binary.label.clone()).unwrap_or_default()
    }

    fn ended(&mut self, current: Current, status: Status, seconds: f64, dropped: u64) -> Test {
        let binary = self.run.plan.binaries.get(current.binary);
        let output = current.output;
        let trace = String::from_utf8_lossy(&current.trace).into_owned();
        let label = self.label(current.binary);
        let plain = current.name.is_empty();
        if plain {
            self.exit_code = Some(verdict::exit_code(status));
        }
        let missing = binary.map_or(&[][..], |binary| &binary.missing);
        let (name, kind) = libtest::without_kind(&current.name);
        let named = (!plain).then_some(current.name.as_str());
        let outcome = match (verdict::outcome(named, status, &output.text(), trace, missing), kind) {
            (Outcome::Skipped(reason), Some(kind)) if reason.is_empty() => Outcome::Skipped(kind.to_owned()),
            (outcome, _) => outcome,
        };
        let outcome = outcome.judged(self.version());
        Test { binary: label, name: name.to_owned(), outcome, seconds, output, dropped }
    }

    /// Writes a piece of a file. The path comes from the guest, and must not lead outside the guest's directory.
    fn keep(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.is_empty() {
            self.notes.push(format!("the file {path:?} is outside the results directory and is not kept"));
            return Ok(());
        }
        let target = self.run.folder.join(FILES).join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        let file = if offset == 0 { File::create(&target) } else { File::options().append(true).open(&target) };
        file.and_then(|mut file| file.write_all(bytes)).map_err(Error::file("write", &target))
    }

    /// Makes the report. `console` is the output of the guest's console.
    pub(super) fn finish(mut self, end: End, console: &Log, started: Instant) -> Guest {
        if let Some(current) = self.current.take() {
            let outcome = match end {
                End::Interrupted => Outcome::NotRun,
                End::OutOfTime => Outcome::TimedOut(String::from_utf8_lossy(&current.trace).into_owned()),
                _ => Outcome::Died,
            };
            let output = current.output;
            let name = libtest::without_kind(&current.name).0.to_owned();
            self.tests.push(Test { output, ..without_end(self.label(current.binary), name, outcome) });
        }
        for (binary, name) in std::mem::take(&mut self.waiting) {
            let binary = self.label(binary);
            self.tests.push(without_end(binary, name, Outcome::NotRun));
        }
        // Binaries that did not run have no listed tests, but must be in the report.
        if end != End::Clean && !matches!(self.run.task, Task::One { .. } | Task::Shell(_)) {
            for binary in &self.run.plan.binaries {
                if !self.tests.iter().any(|test| test.binary == binary.label) {
                    self.tests.push(without_end(binary.label.clone(), String::new(), Outcome::NotRun));
                }
            }
        }
        self.notes.extend(console.warnings().map(|line| format!("the kernel warned: {line}")));
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
            lists: self.lists,
        }
    }
}

/// Returns the result of a test that did not end by itself, or never began.
fn without_end(binary: String, name: String, outcome: Outcome) -> Test {
    Test { binary, name, outcome, seconds: 0.0, output: Output::default(), dropped: 0 }
}
