//! All endings: a limit, a signal, a closed stdout. Each prints the summary.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    binary::{Running, command, trace},
    child::{Job, Question},
    events,
    harness::{Test, test},
    requirements::root,
    transports::{self, transports},
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(count_ends_trace, transports(), transports::missing).collect();
    tests.extend(test!(signal_ends_trace_and_command, transports(), transports::missing));
    tests.extend([
        test!(count_needs_no_command).needs(root),
        test!(duration_ends_trace).needs(root),
        test!(duration_ends_a_command_that_lasts_longer).needs(root),
        test!(command_that_ignores_sigterm_is_killed).needs(root),
        test!(command_output_goes_to_stderr).needs(root),
        test!(closed_stdout_ends_trace_quietly).needs(root),
        test!(full_stdout_is_an_error).needs(root),
    ]);
    tests
}

fn beacon() -> Question {
    Question::hopeless("beacon")
}

/// Returns a child that asks for its beacon until it is ended.
fn busy_child() -> Job {
    Job::new([]).wait().beacon(beacon())
}

/// Panics unless the process is gone or a zombie.
pub(crate) fn assert_ended(pid: u32) {
    assert!(has_ended(pid), "process {pid} still runs");
}

/// Returns true if the process is gone or a zombie. An orphan stays a zombie if init does not reap, as in test guests.
pub(crate) fn has_ended(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map(|(_, rest)| rest.chars().next().unwrap());
    matches!(state, None | Some('Z' | 'X'))
}

fn count_ends_trace(transport: Transport) {
    let job = Job::new((0..50).map(|number| Question::hopeless(&number.to_string()))).pinned();
    let words = format!("--format json --count 3 --transport {transport}");
    let ended = Running::start(&mut trace(&words, job.command_line())).end();
    assert_eq!(ended.success(), (3, 0));
    let nodes: Vec<_> = events::read(&ended.stdout).into_iter().map(|event| event.node.unwrap()).collect();
    assert_eq!(nodes, ["0", "1", "2"]);
}

fn count_needs_no_command() {
    let job = busy_child();
    let process = Running::start(&mut job.command());
    let ended = Running::start(&mut command(["trace", "--count", "2", "--format", "json"])).end();
    assert_eq!(ended.success().0, 2);
    assert_eq!(events::read(&ended.stdout).len(), 2);
    assert!(process.end().status.success());
}

fn duration_ends_trace() {
    let start = Instant::now();
    let ended = Running::start(&mut command(["trace", "--duration", "0.7", "--format", "json"])).end();
    let took = start.elapsed();
    assert_eq!(ended.success().0, ended.stdout.lines().count() as u64);
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

/// An emulated machine that is busy may not have started the command when a short limit ends it: the next is longer.
fn duration_ends_a_command_that_lasts_longer() {
    for seconds in ["0.7", "4", "20"] {
        let job = busy_child();
        let words = format!("--duration {seconds} --format json");
        let running = Running::start(&mut trace(&words, job.command_line()));
        // Its stdin stays open: only the limit ends it.
        running.stderr_line("it ends", |line| line.starts_with("received "));
        let Some(pid) = job.started() else { continue };
        assert_ended(pid);
        let ended = running.end();
        let (received, lost) = ended.success();
        assert_eq!((received, lost), (ended.stdout.lines().count() as u64, 0));
        if received > 0 {
            return;
        }
    }
    panic!("no call was traced in 20 seconds");
}

fn signal_ends_trace_and_command(transport: Transport) {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let job = busy_child();
        let running = Running::start(&mut trace(&format!("--format json --transport {transport}"), job.command_line()));
        let pid = job.ready();
        running.stdout_line("the beacon is seen", |line| line.contains("\"beacon\""));
        running.send(signal);
        running.stderr_line("it ends", |line| line.starts_with("received "));
        assert_ended(pid);
        let ended = running.end();
        let (received, lost) = ended.success();
        assert_eq!((received, lost), (events::read(&ended.stdout).len() as u64, 0));
        assert!(received > 0);
        assert_eq!(ended.stderr.lines().count(), 2, "only the start and the summary: {}", ended.stderr);
    }
}

fn command_that_ignores_sigterm_is_killed() {
    let script = "trap '' TERM; echo deaf; while :; do read line || sleep 1; done";
    let running = Running::start(&mut trace("--format json", ["sh", "-c", script].map(Into::into)));
    running.stderr_line("the shell ignores SIGTERM", |line| line == "deaf");
    running.send(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.success(), (0, 0));
}

fn command_output_goes_to_stderr() {
    let script = "echo from stdout; echo from stderr >&2";
    let ended = Running::start(&mut trace("--format json", ["sh", "-c", script].map(Into::into))).end();
    assert_eq!(ended.success(), (0, 0));
    assert_eq!(ended.stdout, "");
    assert_eq!(
        ended.stderr,
        "Tracing `sh` and its children; Ctrl-C to end\nfrom stdout\nfrom stderr\nreceived 0, lost 0\n"
    );
}

fn closed_stdout_ends_trace_quietly() {
    let job = busy_child();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = trace("--format json", job.command_line());
    let running = Running::start_without_stdout(command.stdout(Stdio::from(writer)));
    drop(command); // also holds the write end
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(events::read(&line).len(), 1);
    // The read end is now closed, and the child goes on.
    running.stderr_line("it ends", |line| line.starts_with("received "));
    assert_ended(job.ready());
    let ended = running.end();
    assert!(ended.success().0 > 0);
    assert_eq!(ended.stderr.lines().count(), 2, "no message about it: {}", ended.stderr);
}

fn full_stdout_is_an_error() {
    let job = busy_child();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let running = Running::start_without_stdout(trace("--format json", job.command_line()).stdout(Stdio::from(full)));
    running.stderr_line("it ends", |line| line.starts_with("cutaway: "));
    assert_ended(job.ready());
    let ended = running.end();
    assert_eq!(ended.complaint(), "cannot write to stdout: ENOSPC (No space left on device)");
}
