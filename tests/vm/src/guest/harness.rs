//! Runs one binary of the plan: each of its tests in a process of its own, or the whole binary once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::channel::Channel;
use super::leftovers::Sent;
use super::process::{self, Report, Spec};
use super::shell::{self, Lines};
use crate::libtest::{self, Arguments};
use crate::orders::Task;
use crate::plan::{Binary, Plan};
use crate::protocol::{Message, Status};
use crate::shard::Shard;
use crate::shell::Shell;
use crate::slice;

/// The name under which a harness's failure to list its tests is reported.
pub(crate) const LISTING: &str = "(list of tests)";
/// A line of the channel is limited, so long lists are sent in pieces of about this many bytes.
const NAMES_A_LINE: usize = 16 << 10;
/// The largest piece of output that is sent, in bytes.
const PIECE: usize = 16 << 10;
/// The longest list of tests in bytes. Process 1 must not use up the memory, or the kernel panics.
const LIST_LIMIT: usize = 8 << 20;
/// The bytes that are kept of the end of output beyond the limit.
const TAIL: usize = 16 << 10;

/// The channel, the plan and the lines from the host, for all binaries.
#[derive(Clone, Copy)]
pub(super) struct Guest<'a> {
    pub(super) channel: &'a Channel,
    pub(super) plan: &'a Plan,
    pub(super) lines: &'a Lines,
}

/// Executes the part of the task that concerns the binary with this index in the plan.
pub(super) fn run(
    guest: &Guest<'_>,
    index: usize,
    task: &Task,
    environment: &BTreeMap<String, String>,
    sent: &mut Sent,
) {
    let Guest { channel, plan, lines } = *guest;
    let Some(binary) = plan.binaries.get(index) else { return };
    let shard = match task {
        Task::Run(shard) => *shard,
        Task::List => Shard::WHOLE,
        Task::One { binary, .. } if *binary != index => return,
        Task::One { .. } => Shard::WHOLE,
        // Process 1 starts it.
        Task::Shell(_) => return,
    };
    let mut environment = environment.clone();
    environment.extend(binary.environment.clone());
    let runner = Runner { channel, plan, lines, index, binary, environment };
    let arguments = Arguments::parse(&binary.arguments);
    if let Task::One { test, .. } = task
        && !test.is_empty()
    {
        return runner.run(test, &arguments.to_run(test), sent);
    }
    // The name without its kind: the kind may differ between kernels, the slice must not.
    let in_slice = |name: &str| plan.slice.is_none_or(|slice| slice.has(&binary.label, libtest::without_kind(name).0));
    let once = |sent: &mut Sent| {
        if !in_slice("") {
            return;
        }
        if *task == Task::List {
            channel.send(&Message::Listed { binary: index, tests: vec![String::new()] }, b"");
        } else if shard.has(index) {
            runner.run("", &binary.arguments, sent);
        }
    };
    if !binary.harness || arguments.verbatim || matches!(task, Task::One { .. }) {
        return once(sent);
    }
    let names = match runner.list(&arguments) {
        // It has no tests, or only looks like a harness: run it once and report its output.
        Ok(names) if names.is_empty() && runner.list(&Arguments::default()).is_ok_and(|all| all.is_empty()) => {
            return once(sent);
        }
        Ok(names) => names,
        Err(no_list) if shard.has(index) => return runner.report_failure(&no_list),
        Err(_) => return,
    };
    if plan.slice.is_some() {
        let digest = slice::digest(names.iter().map(|name| libtest::without_kind(name).0));
        channel.send(&Message::Whole { binary: index, digest }, b"");
    }
    // Numbered from the binary's index on. Otherwise the first guest would have the larger half of every binary.
    let names: Vec<String> = (index..)
        .zip(names.into_iter().filter(|name| in_slice(name)))
        .filter(|(number, _)| shard.has(*number))
        .map(|(_, name)| name)
        .collect();
    let mut rest = names.as_slice();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(fitting(rest));
        channel.send(&Message::Listed { binary: index, tests: piece.to_vec() }, b"");
        rest = behind;
    }
    for name in names.iter().filter(|_| *task != Task::List) {
        runner.run(name, &arguments.to_run(name), sent);
    }
}

/// Returns the number of names that fit one line: at least one.
fn fitting(names: &[String]) -> usize {
    let mut bytes = 0;
    let fits = names.iter().take_while(|name| {
        bytes += name.len();
        bytes <= NAMES_A_LINE
    });
    fits.count().max(1)
}

/// The result of a binary that could not list its tests.
struct NoList {
    status: Status,
    took: Duration,
    output: Vec<u8>,
    trace: String,
}

struct Runner<'a> {
    channel: &'a Channel,
    plan: &'a Plan,
    lines: &'a Lines,
    index: usize,
    binary: &'a Binary,
    environment: BTreeMap<String, String>,
}

impl Runner<'_> {
    fn spec<'a>(&'a self, arguments: &'a [String]) -> Spec<'a> {
        Spec {
            program: &self.binary.path,
            arguments,
            directory: &self.binary.directory,
            environment: &self.environment,
            limit: Duration::from_secs(self.plan.test_seconds),
        }
    }

    /// Lists the binary's tests.
    fn list(&self, arguments: &Arguments) -> Result<Vec<String>, NoList> {
        let mut names = Vec::new();
        for line in arguments.to_list() {
            let mut output = Vec::new();
            let mut excess = 0;
            let mut trace = String::new();
            let (status, took) = process::run(&self.spec(&line), &mut |report| match report {
                Report::Output(bytes) if output.len() < LIST_LIMIT => output.extend_from_slice(bytes),
                Report::Output(bytes) => excess += bytes.len(),
                Report::Trace(text) => trace.push_str(text),
            });
            if excess > 0 {
                let bytes = output.len() + excess;
                output.truncate(PIECE);
                output.extend(format!("\n[a list of {bytes} bytes is too long]\n").into_bytes());
            }
            if status != Status::Code(0) || excess > 0 {
                return Err(NoList { status, took, output, trace });
            }
            for name in libtest::listed(&String::from_utf8_lossy(&output)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    /// Reports a binary that cannot list its tests as a failed test.
    fn report_failure(&self, NoList { status, took, output, trace }: &NoList) {
        self.channel.send(&Message::Started { binary: self.index, test: LISTING.to_owned() }, b"");
        for (message, bytes) in [(Message::Output, output.as_slice()), (Message::Trace, trace.as_bytes())] {
            for piece in bytes.chunks(PIECE) {
                self.channel.send(&message, piece);
            }
        }
        self.channel.send(&Message::Ended { status: *status, seconds: took.as_secs_f64(), dropped: 0 }, b"");
        self.after_test();
    }

    /// Runs one process and reports it under `name`.
    fn run(&self, name: &str, arguments: &[String], sent: &mut Sent) {
        self.channel.send(&Message::Started { binary: self.index, test: name.to_owned() }, b"");
        let mut output = Bounded::new(self.channel, self.plan.output_limit);
        let (status, took) = process::run(&self.spec(arguments), &mut |report| match report {
            Report::Output(bytes) => output.take(bytes),
            Report::Trace(text) => {
                text.as_bytes().chunks(PIECE).for_each(|piece| self.channel.send(&Message::Trace, piece));
            }
        });
        let dropped = output.finish();
        sent.send_new(self.channel);
        self.channel.send(&Message::Ended { status, seconds: took.as_secs_f64(), dropped }, b"");
        self.after_test();
    }

    /// Opens a shell if the host wants one after this test.
    fn after_test(&self) {
        if let Some(shell) = &self.plan.shell_on_failure
            && self.lines.wants_shell()
        {
            let shell = Shell { directory: self.binary.directory.clone(), ..shell.clone() };
            shell::run(self.channel, self.lines, &shell, &self.environment);
        }
    }
}

/// Sends output up to a limit, and beyond it only the last bytes, because a harness's verdict comes last.
struct Bounded<'a> {
    channel: &'a Channel,
    left: u64,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl<'a> Bounded<'a> {
    fn new(channel: &'a Channel, limit: u64) -> Self {
        Self { channel, left: limit, tail: VecDeque::new(), dropped: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        let fits = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (kept, rest) = bytes.split_at_checked(fits).unwrap_or((bytes, &[]));
        if !kept.is_empty() {
            self.channel.send(&Message::Output, kept);
        }
        self.left -= kept.len() as u64;
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    /// Sends the tail. Returns the number of bytes dropped in front of it.
    fn finish(mut self) -> u64 {
        if self.dropped > 0 {
            let mark = format!("\n[{} bytes dropped here]\n", self.dropped);
            self.channel.send(&Message::Output, mark.as_bytes());
        }
        if !self.tail.is_empty() {
            self.channel.send(&Message::Output, self.tail.make_contiguous());
        }
        self.dropped
    }
}
