//! `--record`, and the replay of what was recorded.

use std::{fs, os::unix::fs::PermissionsExt};

use cutaway_programs::getaddrinfo::Transport;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    binary::{Ended, Running, command, trace},
    child::{Job, Question},
    events,
    filters::{self, hosts_of},
    harness::{Test, test},
    patience::wait_until,
    requirements::root,
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(recording_is_replayed_as_it_was_printed, transports(), transports::missing).collect();
    tests.extend([
        test!(replay_selects_calls_as_the_programs_do).needs(root),
        test!(summary_of_a_replay_counts_its_events).needs(root),
        test!(killed_trace_leaves_a_recording).needs(root),
        test!(file_of_a_recording_is_new_and_private).needs(root),
        test!(closed_stdout_ends_trace_and_replay_without_error).needs(root),
        test!(full_disk_ends_the_trace_with_its_reason).needs(root),
    ]);
    tests
}

fn job() -> Job {
    let known = (1..5).map(|number| Question::new(&format!("127.0.0.{number}")).flags(libc::AI_NUMERICHOST));
    Job::new(known.chain([Question::hopeless("nothing.invalid")])).times(20)
}

/// Traces the job and records it. Returns what was printed, and the path of the recording.
fn recorded(folder: &TempDir, words: &str, job: &Job) -> (Ended, String) {
    let path = folder.path().join("calls.rec").to_str().unwrap().to_owned();
    let ended = Running::start(&mut trace(&format!("{words} --record {path}"), job.command_line())).end();
    assert_eq!(ended.success().1, 0, "{}", ended.stderr);
    (ended, path)
}

fn replay(path: &str, words: &str) -> Ended {
    let ended = Running::start(command(["replay", path]).args(words.split_whitespace())).end();
    assert!(ended.status.success(), "{words}: {ended:?}");
    ended
}

fn recording_is_replayed_as_it_was_printed(transport: Transport) {
    for words in ["--format json", "--format table", "--wide --containers"] {
        let folder = TempDir::new().unwrap();
        let (live, path) = recorded(&folder, &format!("--transport {transport} {words}"), &job());
        let again = replay(&path, words);
        assert_eq!(again.stdout, live.stdout, "{words}");
        assert!(again.stderr.ends_with("replayed 100 of 100; 0 were lost while recording\n"), "{}", again.stderr);
        if words == "--format json" {
            assert_eq!(again.stdout.lines().count(), 100);
            let first = events::read(&again.stdout).remove(0);
            assert_eq!(first.node.as_deref(), Some("127.0.0.1"));
        }
    }
}

fn replay_selects_calls_as_the_programs_do() {
    let folder = TempDir::new().unwrap();
    let (_, path) = recorded(&folder, "--transport perf-heap", &filters::job());
    for (words, expected) in filters::cases() {
        let events = events::read(&replay(&path, &format!("--format json {words}")).stdout);
        assert_eq!(hosts_of(&events), expected, "{words}");
    }
    let all = events::read(&replay(&path, "--format json").stdout);
    let own = format!("--format json --pid {}", all[0].pid);
    assert_eq!(events::read(&replay(&path, &own).stdout).len(), all.len());
    assert!(replay(&path, "--format json --pid 1").stdout.is_empty());
    let some = replay(&path, "--format json --count 3");
    assert_eq!(some.stdout.lines().count(), 3);
    let refused = Running::start(&mut command(["replay", &path, "--filter", "a == 1"])).end();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--filter is for recordings of run, and this is one of trace"), "{refused:?}");
}

fn summary_of_a_replay_counts_its_events() {
    let folder = TempDir::new().unwrap();
    let (live, path) = recorded(&folder, "--summary --format json", &job());
    let summary = |text: &str| -> Value { serde_json::from_str(text.lines().last().unwrap()).unwrap() };
    let (live, again) = (summary(&live.stdout), summary(&replay(&path, "--summary --format json").stdout));
    for key in ["summary", "calls", "failed", "lost", "errors", "latency_ns", "hosts", "commands"] {
        assert_eq!(live[key], again[key], "{key}");
    }
    let of_failed = summary(&replay(&path, "--summary --errors --format json").stdout);
    assert_eq!((&of_failed["calls"], &of_failed["failed"]), (&20.into(), &20.into()));
    // Without --summary, the events are shown, and the line that the trace printed.
    assert_eq!(replay(&path, "--format json").stdout.lines().count(), 101);
}

fn killed_trace_leaves_a_recording() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("calls.rec");
    let job = job();
    let mut tracing = command(["trace", "--format", "json", "--record", path.to_str().unwrap()]);
    let tracing = Running::start(&mut tracing);
    tracing.stderr_line("it traces", |line| line.starts_with("Tracing "));
    let child = job.command().output().unwrap();
    assert!(child.status.success());
    wait_until("the calls are printed", || (tracing.stdout_lines() >= 100).then_some(()));
    // It is written within a tenth of a second.
    let read = || {
        let ended = Running::start(&mut command(["replay", path.to_str().unwrap(), "--format", "json"])).end();
        ended.status.success().then_some(ended).filter(|ended| ended.stdout.lines().count() >= 100)
    };
    wait_until("the growing recording is readable", read);
    tracing.send(Signal::KILL);
    let stdout = tracing.end().stdout;
    let ended = read().unwrap();
    let whole: Vec<_> = ended.stdout.lines().collect();
    assert!(stdout.lines().collect::<Vec<_>>().starts_with(&whole) || ended.stdout.starts_with(&stdout));
    assert!(ended.stderr.contains("the end of the recording was not read"), "{}", ended.stderr);
    // A file that is cut anywhere has all whole entries.
    let bytes = fs::read(&path).unwrap();
    let cut = folder.path().join("cut.rec");
    fs::write(&cut, &bytes[..bytes.len() - 5]).unwrap();
    let ended = replay(cut.to_str().unwrap(), "--format json");
    assert!(ended.stderr.contains("the recording ends early"), "{}", ended.stderr);
    assert!(ended.stdout.lines().zip(&whole).all(|(cut, whole)| cut == *whole));
}

fn file_of_a_recording_is_new_and_private() {
    let folder = TempDir::new().unwrap();
    let (_, path) = recorded(&folder, "", &job());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&path).unwrap();
    let refused = Running::start(&mut trace(&format!("--record {path}"), job().command_line())).end();
    let why = refused.complaint();
    assert!(why.contains("cannot write the recording to") && why.contains("it exists already; remove it"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let other = Running::start(&mut command(["replay", "/proc/version"])).end();
    assert!(other.complaint().contains("it is not a recording of cutaway"), "{other:?}");
    // A command that fails before it records leaves no file.
    let unused = folder.path().join("unused.rec");
    let words = format!("--pid 999999999 --record {}", unused.display());
    let ended = Running::start(command(["trace"]).args(words.split(' '))).end();
    assert!(!ended.status.success() && !unused.exists(), "{ended:?}");
    let stdout = Running::start(&mut trace("--record /dev/stdout", job().command_line())).end();
    assert!(stdout.complaint().contains("the command prints there, too"), "{stdout:?}");
}

/// The output is more than a pipe holds.
fn closed_stdout_ends_trace_and_replay_without_error() {
    let folder = TempDir::new().unwrap();
    let (_, path) = recorded(&folder, "--buffer 4M", &job().times(100));
    let binary = crate::binary::path();
    let traced = job().times(100);
    let of_job = traced.command_line();
    let quoted: Vec<_> = of_job.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    for words in
        [format!("replay {path} --format json"), format!("trace -q --format json --buffer 4M -- {}", quoted.join(" "))]
    {
        let script = format!("{{ '{}' {words}; echo status $? >&2; }} | true", binary.display());
        let ended = Running::start(std::process::Command::new("sh").args(["-c", &script])).end();
        let own: Vec<_> =
            ended.stderr.lines().filter(|line| line.starts_with("cutaway:") || line.starts_with("status")).collect();
        assert_eq!(own, ["status 0"], "{words}: {ended:?}");
    }
}

fn full_disk_ends_the_trace_with_its_reason() {
    let ended = Running::start(&mut trace("--record /dev/full", job().command_line())).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot write the recording to /dev/full: ENOSPC"), "{}", ended.stderr);
}
