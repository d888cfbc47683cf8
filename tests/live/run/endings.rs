//! The endings of a run: its command ends, a number of records or seconds is reached, a signal arrives, stdout is
//! closed. Nothing is left.

use std::{process::Stdio, time::Duration};

use rustix::process::Signal;

use crate::{
    binary::{self, Running},
    corpus,
    harness::{Test, test},
    kernel_objects::Held,
    requirements::{ring, root},
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(end_of_the_command_ends_run).needs(ring),
        test!(count_ends_run).needs(ring),
        test!(duration_ends_run).needs(ring),
        test!(signal_ends_run_and_detaches).needs(ring),
        test!(closed_stdout_ends_run).needs(ring),
        test!(overflow_of_a_perf_buffer_is_counted).needs(root),
    ]
}

/// Starts a run of `one_ring` for every process: each one that calls getpgid makes it send. So the other tests may fill
/// its ring, and it may lose records.
fn started(words: &str) -> Running {
    let mut command = binary::command(["run", "--type", "u64"]);
    command.arg(corpus("kinds/one_ring")).args(words.split_whitespace());
    let running = Running::start(&mut command);
    running.stderr_line("everything is attached", |line| line.starts_with("attached sends (tracepoint/"));
    running
}

fn end_of_the_command_ends_run() {
    let mut command = binary::command(["run", "--type", "u64"]);
    command.arg(corpus("kinds/one_ring")).args(["--", "echo", "from the command"]);
    let ended = Running::start(&mut command).end();
    ended.success();
    assert!(ended.stderr.contains("from the command") && !ended.stdout.contains("from the command"), "{ended:?}");
    let mut command = binary::command(["run"]);
    command.arg(corpus("kinds/one_ring")).args(["--", "/no/such/command"]);
    let ended = Running::start(&mut command).end();
    assert!(ended.stderr.contains("cannot run `/no/such/command`: ENOENT"), "{ended:?}");
    assert_eq!(ended.status.code(), Some(1));
}

fn count_ends_run() {
    let running = started("--count 7 --format json");
    let mut sender = Sender::start(100);
    sender.go();
    let ended = running.end();
    assert_eq!(ended.success().0, 7);
    assert_eq!(ended.stdout.lines().count(), 7);
}

fn duration_ends_run() {
    let began = std::time::Instant::now();
    let ended = started("--duration 0.3").end();
    ended.success();
    assert!(began.elapsed() >= Duration::from_millis(300));
}

fn signal_ends_run_and_detaches() {
    for signal in [Signal::INT, Signal::TERM] {
        let running = started("--format json");
        let held = Held::by(running.pid());
        assert_eq!(held.programs(), 1);
        running.send(signal);
        running.end().success();
        held.wait_until_gone();
    }
}

fn closed_stdout_ends_run() {
    let mut command = binary::command(["run", "--type", "u64"]);
    command.arg(corpus("kinds/one_ring"));
    // A pipe whose read end is closed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let running = Running::start_without_stdout(command.stdout(Stdio::from(writer)));
    drop(command);
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    let mut sender = Sender::start(3);
    sender.go();
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
}

/// A reader that is stopped while a page fills loses the records that do not fit, and knows their number.
fn overflow_of_a_perf_buffer_is_counted() {
    const CALLS: u32 = 5000;
    let mut sender = Sender::start(CALLS);
    let own = format!("own={}", sender.pid());
    let mut command = binary::command(["run", "--type", "u64", "--buffer", "4096", "--format", "json", "--set", &own]);
    let running = Running::start(command.arg(corpus("kinds/legacy")));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running.stop();
    sender.go();
    sender.end();
    running.send(Signal::INT);
    running.send(Signal::CONT);
    let ended = running.end();
    let (received, lost) = ended.success();
    assert!(lost > 0 && received > 0 && received + lost == u64::from(CALLS), "{ended:?}");
    assert!(
        ended.stderr.contains(" lost for want of room in a perf buffer: make it larger with --buffer"),
        "{ended:?}"
    );
}

/// Returns the reason why the example cannot be run here; `None` if it can.
pub(crate) fn no_getent() -> Option<String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&folders).any(|folder| folder.join("getent").is_file());
    (!there).then(|| "needs getent: the example asks by it".to_owned())
}
