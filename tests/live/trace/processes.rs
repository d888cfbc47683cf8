//! Whose calls are shown: the command's and its descendants', or one process's, and nobody else's.

use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::{
    binary::{Running, command, trace},
    child::{Job, Question},
    events,
    requirements::Needs,
    trial,
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_a_shell_starts_is_followed", Needs::Root, shell),
        trial("strangers_are_not_followed", Needs::Root, strangers),
        trial("one_process_alone_can_be_traced_and_lives_on", Needs::Root, by_pid),
        trial("a_command_that_fails_is_told_and_is_no_failure_of_ours", Needs::Root, failing_command),
    ]
}

const HEAP: &str = "--format json --transport perf-heap";

fn questions(names: &[&str]) -> Vec<Question> {
    names.iter().map(|name| Question::hopeless(name)).collect()
}

/// A command line as one word for a shell.
fn words(job: &Job) -> String {
    let line = job.command_line();
    line.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

fn shell() {
    let [first, second, third] = ["first", "second", "third"].map(|name| Job::new(questions(&[name, name])).threads(2));
    // A child, a grandchild in the background, and one that has taken the shell's own place.
    let script = format!("{}; ({} & wait); exec {}", words(&first), words(&second), words(&third));
    let ended = Running::start(&mut trace(HEAP, ["sh".into(), "-c".into(), script.into()])).end();
    assert_eq!(ended.success(), (6, 0));
    let events = events::read(&ended.stdout);
    for job in [first, second, third] {
        let pid = job.ready();
        let own: Vec<_> = events.iter().filter(|event| event.pid == pid).cloned().collect();
        events::check(&own, &job.answers(), pid, 0, Transport::PerfHeap);
    }
}

fn strangers() {
    let ours = Job::new(questions(&["ours"; 10])).wait();
    let mut running = Running::start(&mut trace(HEAP, ours.command_line()));
    let pid = ours.ready();
    // Attached by now, and these run to their ends in between.
    let stranger = Job::new(questions(&["stranger"; 10]));
    assert!(stranger.command().status().unwrap().success());
    Question::hopeless("tester").ask();
    running.go();
    let ended = running.end();
    assert_eq!(ended.success(), (10, 0));
    events::check(&events::read(&ended.stdout), &ours.answers(), pid, 0, Transport::PerfHeap);
    assert_eq!(stranger.answers().len(), 10);
}

fn by_pid() {
    let ours = Job::new(questions(&["ours"; 10])).wait().beacon(Question::hopeless("beacon"));
    let mut process = Running::start(&mut ours.command());
    let pid = ours.ready().to_string();
    let tracer = Running::start(&mut command(["trace", "--format", "json", "--transport", "perf-heap", "--pid", &pid]));
    tracer.stdout_line("the beacon is seen", |line| line.contains("\"beacon\""));
    assert!(Job::new(questions(&["stranger"])).command().status().unwrap().success());
    Question::hopeless("tester").ask();
    process.go();
    let answers = ours.answers();
    tracer.stdout_line("the last call is seen", |line| {
        line.contains(&format!("\"tid\":{pid}")) && line.contains("\"ours\"")
    });
    // The process is still there, or not: it ends by itself, whatever becomes of its tracer.
    tracer.send(Signal::INT);
    let ended = tracer.end();
    let (received, lost) = ended.success();
    assert!(process.end().status.success());
    let mut events = events::read(&ended.stdout);
    assert_eq!((received, lost), (events.len() as u64, 0));
    events.retain(|event| event.node.as_deref() != Some("beacon"));
    events::check(&events, &answers, pid.parse().unwrap(), 0, Transport::PerfHeap);
}

fn failing_command() {
    let job = Job::new(questions(&["a", "b"])).exit(7);
    let ended = Running::start(&mut trace(HEAP, job.command_line())).end();
    assert_eq!(ended.success(), (2, 0));
    let name = std::env::current_exe().unwrap().display().to_string();
    assert!(ended.stderr.lines().any(|line| line == format!("`{name}` ended with status 7")), "{}", ended.stderr);

    let ended = Running::start(&mut trace(HEAP, ["sh", "-c", "kill -9 $$"].map(Into::into))).end();
    assert_eq!(ended.success(), (0, 0));
    assert!(ended.stderr.lines().any(|line| line == "`sh` was ended by signal 9"), "{}", ended.stderr);
}
