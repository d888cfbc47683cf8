//! Options for daily use: times, `--strict`, an object from stdin, the verifier's log, progress, and the examples of
//! the help.

use std::{
    fs::File,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    binary::{self, Running},
    corpus,
    endings::no_getent,
    harness::{Test, test},
    patience::wait_until,
    pseudo_terminal,
    requirements::{ring, root},
    run_own,
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(time_is_that_of_the_kernel_or_of_reception).needs(ring),
        test!(strict_run_fails_if_a_program_is_skipped).needs(ring),
        test!(object_is_read_from_stdin).needs(ring),
        test!(verifier_log_has_each_program).needs(ring),
        test!(attached_target_is_printed).needs(root).since(6, 6, "the file of a uprobe in the link's information"),
        test!(progress_is_shown_if_stdout_is_no_terminal).needs(ring),
        test!(quiet_run_prints_only_problems).needs(ring),
        test!(unset_variable_is_a_hint_if_nothing_arrives).needs(ring),
        test!(messages_fit_the_terminal).needs(ring),
        test!(sizes_of_maps_have_suffixes).needs(ring),
        test!(examples_of_the_help_work).needs(ring).unless(no_getent),
    ]
}

fn time_is_that_of_the_kernel_or_of_reception() {
    for (object, source) in [("kinds/legacy", "stored"), ("events/integers", "received")] {
        let before = Timestamp::now();
        let words: &[_] = if source == "stored" { &["--timestamps", "--type", "u64"] } else { &["--timestamps"] };
        let ran = run_own(object, words, 2);
        let lines = ran.lines();
        assert_eq!(lines.len(), 2);
        for line in lines {
            let time: Timestamp = line["time"].as_str().unwrap().parse().unwrap();
            // The two clocks are not read at the same moment.
            let slack = SignedDuration::from_millis(5);
            assert!(time >= before - slack && time <= Timestamp::now() + slack, "{line}");
            assert_eq!(line["time_is"], source, "{line}");
        }
    }
    let ran = run_own("events/integers", &["--timestamps", "--format", "table"], 1);
    let mut lines = ran.ended.stdout.lines();
    assert!(lines.next().unwrap().starts_with("TIME             U8_MOST"), "{:?}", ran.ended);
    let time = lines.next().unwrap().split(' ').next().unwrap();
    assert!(time.len() == 15 && time.matches(':').count() == 2, "{time}");
}

fn strict_run_fails_if_a_program_is_skipped() {
    let run = |words: &[&str]| {
        let mut command = binary::command(["run", "--strict"]);
        Running::start(command.arg(corpus("events/chooses")).args(words).args(["--", "true"])).end()
    };
    let ended = run(&[]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.starts_with("cutaway: --strict: 3 programs are skipped of `"), "{ended:?}");
    assert!(ended.stderr.contains("skipped `wild`: the verifier refuses it") && !ended.stderr.contains("attached "));
    run(&["--program", "runs"]).success();
}

fn object_is_read_from_stdin() {
    let run = |input: File| {
        let output = binary::command(["run", "-", "--duration", "0.1"]).stdin(Stdio::from(input)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, stderr) = run(File::open(corpus("events/integers")).unwrap());
    assert!(status == Some(0) && stderr.contains("attached sends ("), "{stderr}");
    let (status, stderr) = run(File::open("/dev/null").unwrap());
    assert!(status == Some(1) && stderr.starts_with("cutaway: cannot read `stdin`: "), "{stderr}");
}

fn verifier_log_has_each_program() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let option = format!("--verifier-log={}", path.display());
    let mut command = binary::command(["run", &option]);
    let ended = Running::start(command.arg(corpus("events/chooses")).args(["--", "true"])).end();
    ended.success();
    let log = std::fs::read_to_string(&path).unwrap();
    for part in ["=== `runs`: accepted\n", "\nprocessed ", "=== `wild`: refused\n", "invalid mem access"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // Without a file the log is on stderr.
    let mut command = binary::command(["run", "--verifier-log"]);
    let ended = Running::start(command.arg(corpus("events/integers")).args(["--", "true"])).end();
    assert!(ended.stderr.contains("=== `sends`: accepted\n"), "{ended:?}");
    // The object is not replaced by its log.
    let copy = directory.path().join("object.o");
    std::fs::copy(corpus("events/integers"), &copy).unwrap();
    let mut command = binary::command(["run".to_owned(), format!("--verifier-log={}", copy.display())]);
    let ended = Running::start(command.arg(&copy)).end();
    assert!(ended.complaint().contains("the command reads this file"), "{ended:?}");
}

fn attached_target_is_printed() {
    let ended = Running::start(&mut binary::command(["run", "--built-in", "ring", "--", "true"])).end();
    let line = ended.stderr.lines().find(|line| line.starts_with("attached ")).unwrap();
    assert!(line.contains("getaddrinfo_entry (uprobe/libc.so.6:getaddrinfo at /"), "{line}");
}

fn progress_is_shown_if_stdout_is_no_terminal() {
    let (outer, inner) = pseudo_terminal::open();
    let mut sender = Sender::start(5);
    let own = format!("own={}", sender.pid());
    let mut command = binary::command(["run", "--format", "json", "--set", &own]);
    command.arg(corpus("events/integers")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(inner()));
    let shown = Arc::new(Mutex::new(String::new()));
    let taken = Arc::clone(&shown);
    pseudo_terminal::read(&outer, move |bytes| {
        taken.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        true
    });
    let mut child = command.spawn().unwrap();
    let has = |part: &'static str| {
        let shown = Arc::clone(&shown);
        wait_until(part, move || shown.lock().unwrap().contains(part).then_some(()));
    };
    has("attached ");
    sender.go();
    sender.end();
    has("\r\u{1b}[Kreceived 5 (");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    // The line is removed before the summary.
    has("\r\u{1b}[Kreceived 5, lost 0");
}

fn quiet_run_prints_only_problems() {
    let stderr = |object: &str, words: &[&str]| {
        let mut command = binary::command(["run"]);
        Running::start(command.arg(corpus(object)).args(words).args(["--set", "own=1", "--", "true"])).end().stderr
    };
    let usual = stderr("events/integers", &[]);
    assert!(usual.contains("attached sends (") && usual.ends_with("received 0, lost 0\n"), "{usual}");
    assert_eq!(stderr("events/integers", &["--quiet"]), "");
    let quiet = stderr("events/chooses", &["-q"]);
    assert!(
        quiet.contains("skipped `wild`: ") && !quiet.contains("attached ") && !quiet.contains("received"),
        "{quiet}"
    );
}

fn unset_variable_is_a_hint_if_nothing_arrives() {
    let run = |words: &[&str]| {
        let mut command = binary::command(["run"]);
        let ended = Running::start(command.arg(corpus("events/integers")).args(words)).end();
        assert!(ended.status.success(), "{ended:?}");
        ended.stderr
    };
    let hint = "no record arrived, perhaps because `own` is 0: if the programs record only what matches it, set it: \
                --set own=VALUE\nreceived 0, lost 0\n";
    let stderr = run(&["--", "true"]);
    assert!(stderr.ends_with(hint), "{stderr}");
    let stderr = run(&["--set", "own=1", "--", "true"]);
    assert!(stderr.ends_with("received 0, lost 0\n") && !stderr.contains("no record arrived"), "{stderr}");
    // With a record, a variable is no reason.
    let ran = run_own("events/integers", &["--format", "table"], 1);
    assert!(!ran.ended.stderr.contains("no record arrived"), "{:?}", ran.ended);
}

fn messages_fit_the_terminal() {
    let (outer, inner) = pseudo_terminal::open();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&outer, size).unwrap();
    let mut command = binary::command(["run", "--built-in", "ring", "--", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(inner()));
    let shown = Arc::new(Mutex::new(String::new()));
    let taken = Arc::clone(&shown);
    pseudo_terminal::read(&outer, move |bytes| {
        taken.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        true
    });
    assert!(command.spawn().unwrap().wait().unwrap().success());
    wait_until("the run has ended", || shown.lock().unwrap().contains("lost 0").then_some(()));
    let shown = shown.lock().unwrap();
    let lines: Vec<_> = shown.lines().map(|line| line.rsplit("\u{1b}[K").next().unwrap().trim_end()).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    let words = lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("attached follow_fork (tracepoint/task/task_newtask), follow_exit ("), "{words}");
}

fn sizes_of_maps_have_suffixes() {
    let words = ["run", "--built-in", "ring", "--max-entries", "events=8K", "--format", "json", "--explain=json"];
    let ended = Running::start(binary::command(words).args(["--buffer", "4K", "--", "true"])).end();
    assert_eq!(ended.status.code(), Some(1), "--max-entries makes --buffer useless: {ended:?}");
    let ended = Running::start(binary::command(words).args(["--", "true"])).end();
    ended.success();
    assert!(ended.stderr.contains("`events` (ring, 8192 bytes)"), "{ended:?}");
    // One page is the smallest ring.
    let words = ["run", "--built-in", "ring", "--buffer", "4K", "--", "true"];
    let ended = Running::start(&mut binary::command(words)).end();
    assert!(ended.status.success() && ended.stderr.contains("`events` (ring, "), "{ended:?}");
    let ended = Running::start(&mut binary::command(["run", "a.o", "--max-entries", "events=4T"])).end();
    assert!(ended.stderr.contains("N must be a number from 1 to 4294967295, such as 1000 or 64K"), "{ended:?}");
}

/// The examples of `cutaway run --help` for the built-in objects, pasted into a shell, each by itself.
fn examples_of_the_help_work() {
    let help = Running::start(&mut binary::command(["run", "--help"])).end().stdout;
    let (_, script) = help.split_once("(as root):\n").unwrap();
    let script = script.replace("\\\n", " ");
    let examples: Vec<_> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(examples.len() > 5, "{examples:?}");
    let path = format!("{}:{}", binary::path().parent().unwrap().display(), std::env::var("PATH").unwrap());
    for example in examples {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", example]).env("PATH", &path).current_dir(directory.path());
        let ended = Running::start(&mut command).end();
        assert!(ended.status.success(), "{example}: {ended:?}");
        assert!(ended.stderr.lines().any(|line| line.starts_with("received ")), "{example}: {ended:?}");
        if example.contains("ahosts") {
            assert!(ended.stdout.contains("getent"), "{example}: {ended:?}");
        }
    }
}

/// Returns the objects of the lines of stdout.
pub(crate) fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
