//! Signals: one and two, also if the output is not read; and signals that were ignored from the start.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    binary::{self, Running, trace},
    child::{Job, Question},
    endings::assert_ended,
    harness::{Test, test},
    patience::wait_until,
    requirements::ring,
    stalled,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(first_signal_ends_trace_whose_stdout_is_not_read).needs(ring),
        test!(second_signal_ends_trace_by_that_signal).needs(ring),
        test!(second_signal_ends_trace_whose_stderr_is_not_read).needs(ring),
        test!(ignored_signals_stay_ignored).needs(ring),
    ]
}

/// Starts a command that asks until it is ended, and a trace of it whose stdout is full.
fn stalled_trace() -> (Job, u32, Running, std::io::PipeReader) {
    let (reader, writer) = stalled::pipe();
    let job = Job::new([]).wait().beacon(Question::hopeless("beacon"));
    let mut command = trace("--format json", job.command_line());
    let running = Running::start_without_stdout(command.stdout(writer));
    let pid = job.ready();
    blocked(running.pid());
    (job, pid, running, reader)
}

/// Waits until the process waits for space: it is in poll(2) repeatedly.
fn blocked(pid: u32) {
    let mut seen = 0;
    wait_until("it waits for its reader", || {
        let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        let number = text.split_whitespace().next().and_then(|number| number.parse::<libc::c_long>().ok());
        let polls = number.is_some_and(|number| stalled::POLLS.contains(&number));
        seen = if polls { seen + 1 } else { 0 };
        (seen > 20).then_some(())
    });
}

fn first_signal_ends_trace_whose_stdout_is_not_read() {
    let (_job, child, running, _reader) = stalled_trace();
    running.send(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("cutaway: cannot write to stdout: its reader has stopped reading\n"), "{ended:?}");
    assert!(ended.stderr.lines().any(|line| line.starts_with("received ")), "{ended:?}");
    assert_ended(child);
}

fn second_signal_ends_trace_by_that_signal() {
    for (one, two) in [(Signal::INT, Signal::INT), (Signal::TERM, Signal::HUP), (Signal::HUP, Signal::TERM)] {
        let (_job, child, running, _reader) = stalled_trace();
        running.send(one);
        // Two equal signals count as one if the second arrives before the first is delivered.
        thread::sleep(Duration::from_millis(20));
        running.send(two);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(two.as_raw()), "{ended:?}");
        assert_ended(child);
    }
}

fn second_signal_ends_trace_whose_stderr_is_not_read() {
    let ((_out, stdout), (_err, stderr)) = (stalled::pipe(), stalled::pipe());
    let mut command = binary::command(["--explain", "trace", "--duration", "60"]);
    let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
    blocked(child.id());
    // It may not have installed its handlers yet; then the first signal is enough.
    for signal in [Signal::TERM, Signal::INT] {
        let _ = kill_process(Pid::from_child(&child), signal);
        thread::sleep(Duration::from_millis(20));
    }
    let status = wait_until("it ends", || child.try_wait().unwrap());
    assert!([Some(15), Some(2)].contains(&status.signal()), "{status}");
}

/// nohup(1) ignores signals for its command, and a shell for a background job.
fn ignored_signals_stay_ignored() {
    let mut command = Command::new("sh");
    let script = r#"trap '' HUP INT; exec "$0" "$@""#;
    command.args(["-c", script]).arg(binary::path()).args(["trace", "--format", "json"]).env_remove("RUST_LOG");
    let job = Job::new([]).wait().beacon(Question::hopeless("beacon"));
    let running = Running::start(command.arg("--").args(job.command_line()));
    let child = job.ready();
    running.stdout_line("events come", |line| line.contains("\"beacon\""));
    let lines = running.stdout_lines();
    for signal in [Signal::HUP, Signal::INT, Signal::HUP] {
        running.send(signal);
        thread::sleep(Duration::from_millis(20));
    }
    running.stdout_nth("it continues", lines + 20);
    running.send(Signal::TERM);
    running.end().success();
    assert_ended(child);
}
