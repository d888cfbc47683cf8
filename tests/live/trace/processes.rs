//! The calls that are shown: those of the command and its descendants, or of one process, and no others.

use rustix::process::Signal;

use crate::{
    binary::{Running, command, trace},
    child::{Job, Question},
    events,
    harness::{Test, test},
    requirements::root,
};
use cutaway_programs::getaddrinfo::Transport;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(children_of_a_shell_are_followed).needs(root),
        test!(other_processes_are_not_followed).needs(root),
        test!(one_process_is_traced_to_its_end).needs(root),
        test!(process_outlives_its_tracer).needs(root),
        test!(tracers_of_different_processes_are_independent).needs(root),
        test!(failing_command_is_reported_and_no_failure).needs(root),
    ]
}

const HEAP: &str = "--format json --transport perf-heap";

fn questions(names: &[&str]) -> Vec<Question> {
    names.iter().map(|name| Question::hopeless(name)).collect()
}

/// Returns a command line as one word for a shell.
fn words(job: &Job) -> String {
    let line = job.command_line();
    line.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

fn children_of_a_shell_are_followed() {
    let [first, second, third] = ["first", "second", "third"].map(|name| Job::new(questions(&[name, name])).threads(2));
    // A child, a grandchild in the background, and one that replaces the shell by exec.
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

fn other_processes_are_not_followed() {
    let ours = Job::new(questions(&["ours"; 10])).wait();
    let mut running = Running::start(&mut trace(HEAP, ours.command_line()));
    let pid = ours.ready();
    // The probes are attached now, and these processes run to their ends meanwhile.
    let stranger = Job::new(questions(&["stranger"; 10]));
    assert!(stranger.command().status().unwrap().success());
    Question::hopeless("tester").ask();
    running.go();
    let ended = running.end();
    assert_eq!(ended.success(), (10, 0));
    events::check(&events::read(&ended.stdout), &ours.answers(), pid, 0, Transport::PerfHeap);
    assert_eq!(stranger.answers().len(), 10);
}

/// Starts a process that asks for its beacon until it gets its line, and a tracer that has seen it.
fn traced_process(name: &str) -> (Job, Running, Running) {
    let job = Job::new(questions(&[name; 10])).wait().beacon(Question::hopeless("beacon"));
    let process = Running::start(&mut job.command());
    let pid = job.ready().to_string();
    let tracer = Running::start(&mut command(["trace", "--format", "json", "--transport", "perf-heap", "--pid", &pid]));
    tracer.stdout_line("the beacon is seen", |line| line.contains("\"beacon\""));
    (job, process, tracer)
}

/// Asserts that the tracer has seen only the beacon and the answers, and lost nothing.
fn check_traced(job: &Job, tracer: Running) {
    let ended = tracer.end();
    let mut events = events::read(&ended.stdout);
    assert_eq!(ended.success(), (events.len() as u64, 0), "{}", ended.stderr);
    events.retain(|event| event.node.as_deref() != Some("beacon"));
    events::check(&events, &job.answers(), job.ready(), 0, Transport::PerfHeap);
}

fn one_process_is_traced_to_its_end() {
    let (job, mut process, tracer) = traced_process("ours");
    assert!(Job::new(questions(&["stranger"])).command().status().unwrap().success());
    Question::hopeless("tester").ask();
    process.go();
    assert!(process.end().status.success());
    // The tracer ends with its process, without a signal.
    check_traced(&job, tracer);
}

fn process_outlives_its_tracer() {
    let (job, mut process, tracer) = traced_process("ours");
    tracer.send(Signal::INT);
    let ended = tracer.end();
    assert_eq!(ended.success(), (events::read(&ended.stdout).len() as u64, 0));
    // The process got no signal or line; it still exists and waits.
    assert!(std::path::Path::new(&format!("/proc/{}", job.ready())).exists());
    process.go();
    assert!(process.end().status.success());
    assert_eq!(job.answers().len(), 10);
}

/// Two processes with a tracer each, on one function of one library. Before Linux 6.12, a return probe for one process
/// also runs in another process that has a probe of its own. Such a run must be neither shown nor counted.
fn tracers_of_different_processes_are_independent() {
    let both = ["first", "second"].map(traced_process);
    let both = both.map(|(job, mut process, tracer)| {
        process.go();
        assert!(process.end().status.success());
        (job, tracer)
    });
    for (job, tracer) in both {
        check_traced(&job, tracer);
    }
}

fn failing_command_is_reported_and_no_failure() {
    let job = Job::new(questions(&["a", "b"])).exit(7);
    let ended = Running::start(&mut trace(HEAP, job.command_line())).end();
    assert_eq!(ended.success(), (2, 0));
    let name = std::env::current_exe().unwrap().display().to_string();
    assert!(ended.stderr.lines().any(|line| line == format!("`{name}` ended with status 7")), "{}", ended.stderr);

    let ended = Running::start(&mut trace(HEAP, ["sh", "-c", "kill -9 $$"].map(Into::into))).end();
    assert_eq!(ended.success(), (0, 0));
    assert!(ended.stderr.lines().any(|line| line == "`sh` was ended by signal 9"), "{}", ended.stderr);
}
