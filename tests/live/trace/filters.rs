//! The options that select calls. The program refuses the other calls before they take space in a buffer.

use cutaway_programs::getaddrinfo::Transport;
use rustix::process::Signal;

use crate::{
    binary::{Ended, Running, command, trace},
    child::{Job, Question},
    events::{self, Event},
    harness::{Test, test},
    requirements::{ring, root},
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(only_calls_that_pass_are_shown, transports(), transports::missing).collect();
    tests.extend(test!(refused_calls_take_no_space, transports(), transports::missing));
    tests.extend([
        test!(long_host_names_are_matched_as_far_as_they_are_known).needs(root),
        test!(several_processes_are_traced_to_the_end_of_the_last).needs(root),
        test!(children_of_a_process_are_traced).needs(root),
        test!(start_is_announced_unless_quiet).needs(root),
        test!(short_options_are_the_long_ones).needs(root),
        test!(examples_of_the_help_work).needs(ring).unless(no_getent),
    ]);
    tests
}

/// Returns the number of calls of a test that counts many: CUTAWAY_TEST_CALLS, or few enough for a slow machine.
pub(crate) fn many_calls() -> usize {
    std::env::var("CUTAWAY_TEST_CALLS").ok().map_or(5_000, |calls| calls.parse().unwrap())
}

/// Traces a job with these options. Returns the events, of which none may be lost.
fn traced(words: &str, job: &Job) -> Vec<Event> {
    let ended = Running::start(&mut trace(&format!("--format json {words}"), job.command_line())).end();
    let events = events::read(&ended.stdout);
    assert_eq!(ended.success(), (events.len() as u64, 0), "{words}: {}", ended.stderr);
    events
}

/// The hosts of the questions, of which two succeed.
const HOSTS: [&str; 6] = ["127.0.0.1", "127.0.0.2", "Www.Example.Com", "example.com", "api-1.example.net", ""];

pub(crate) fn job() -> Job {
    // A call without a host succeeds.
    let nameless = Question { node: None, service: Some("80".to_owned()), hints: None };
    Job::new(HOSTS.map(Question::hopeless).into_iter().chain([nameless])).uid(1234)
}

/// Returns options, and the hosts of the calls of [`job`] that pass them.
pub(crate) fn cases() -> Vec<(String, Vec<&'static str>)> {
    let all: Vec<&'static str> = HOSTS.into_iter().chain(["-"]).collect();
    let failed = &all[2..6];
    let own = std::env::current_exe().unwrap();
    let name = own.file_name().unwrap().to_str().unwrap();
    let comm = name.get(..15).unwrap_or(name);
    let cases: Vec<(String, &[&'static str])> = vec![
        (String::new(), &all[..]),
        ("--errors".to_owned(), failed),
        ("--uid 1234".to_owned(), &all),
        ("--uid 0,1".to_owned(), &[]),
        ("--uid 0 --uid 1234".to_owned(), &all),
        (format!("--comm {comm}"), &all),
        (format!("--comm {name}-and-more-than-fifteen-bytes --comm x"), if name.len() >= 15 { &all } else { &[] }),
        (format!("--comm {}", &comm[..comm.len() - 1]), &[]),
        ("--min-latency 1ns".to_owned(), &all),
        ("--min-latency 1h".to_owned(), &[]),
        ("--host *".to_owned(), &HOSTS),
        ("--host example.com".to_owned(), &["example.com"]),
        ("--host *.example.com".to_owned(), &["Www.Example.Com"]),
        ("--host *EXAMPLE.com".to_owned(), &["Www.Example.Com", "example.com"]),
        ("--host 127.*".to_owned(), &["127.0.0.1", "127.0.0.2"]),
        ("--host 127.0.0.?".to_owned(), &["127.0.0.1", "127.0.0.2"]),
        ("--host 127*2".to_owned(), &["127.0.0.2"]),
        ("--host *example*".to_owned(), &["Www.Example.Com", "example.com", "api-1.example.net"]),
        ("--host api-?.*net".to_owned(), &["api-1.example.net"]),
        ("--host nothing*".to_owned(), &[]),
        ("--errors --host *.com --uid 1234 --min-latency 1ns".to_owned(), &["Www.Example.Com", "example.com"]),
    ];
    cases.into_iter().map(|(words, hosts)| (words, hosts.to_vec())).collect()
}

/// Returns the hosts of events; `-` for a call without a host.
pub(crate) fn hosts_of(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.node.as_deref().unwrap_or("-")).collect()
}

fn only_calls_that_pass_are_shown(transport: Transport) {
    // The programs filter before they differ: each case runs with the ring, and with one of the two others in turn.
    let (first, step) = match transport {
        Transport::Ring => (0, 1),
        Transport::PerfHeap => (0, 2),
        Transport::PerfStack => (1, 2),
    };
    for (words, expected) in cases().into_iter().skip(first).step_by(step) {
        let job = job();
        let mut events = traced(&format!("--transport {transport} {words}"), &job);
        events.sort_by_key(|event| event.time_ns);
        assert_eq!(hosts_of(&events), expected, "{words}");
        // The events that pass are complete.
        let mut answers = job.answers();
        answers.retain(|answer| expected.contains(&answer.question.node.as_deref().unwrap_or("-")));
        events::check(&events, &answers, job.ready(), 1234, transport);
    }
}

/// One call of a hundred passes, and the reader is stopped until all are made. So the buffer has to hold all that
/// passes. It holds at most one record of twenty calls: if more calls took space, calls that pass would be lost.
fn refused_calls_take_no_space(transport: Transport) {
    let hosts = |number: usize| if number == 42 { "wanted.example".to_owned() } else { format!("{number}.other") };
    let failing = (0..100).map(|number| Question::hopeless(&hosts(number)));
    let numeric = (0..100).map(|number| match number {
        42 => Question::hopeless("wanted.example"),
        _ => Question::new("127.0.0.1").flags(libc::AI_NUMERICHOST),
    });
    let times = many_calls() / 100;
    // Nothing is smaller than a record of perf-stack.
    let buffer = (times * 5 * 400).next_power_of_two() / 2;
    for (words, job, threads) in [
        ("--host wanted*", Job::new(failing.clone()), 0),
        ("--host *.example", Job::new(failing.clone()), 0),
        ("--errors", Job::new(numeric), 0),
        ("--comm asker-42", Job::new(failing), 100),
    ] {
        let job = job.times(times).threads(threads).wait().pinned();
        let words = format!("--format json --transport {transport} --buffer {buffer} {words}");
        let mut running = Running::start(&mut trace(&words, job.command_line()));
        job.ready();
        running.stop();
        running.go();
        job.answers();
        running.send(Signal::CONT);
        let ended = running.end();
        assert_eq!(ended.success(), (times as u64, 0), "{words}: {}", ended.stderr);
        let record = ended.stdout.lines().next().unwrap();
        assert!(record.contains("wanted.example"), "{record}");
    }
    // Without a filter, the same buffer is too small.
    let job = Job::new((0..100).map(|number| Question::hopeless(&hosts(number)))).times(times).wait().pinned();
    let words = format!("--format json --transport {transport} --buffer {buffer}");
    let mut running = Running::start(&mut trace(&words, job.command_line()));
    job.ready();
    running.stop();
    running.go();
    job.answers();
    running.send(Signal::CONT);
    let (received, lost) = running.end().success();
    assert_eq!(received + lost, 100 * times as u64);
    assert!(received <= 5 * times as u64, "the buffer holds {received} records");
}

/// An event of perf-stack carries 119 bytes of a name, and the program looks at 255.
fn long_host_names_are_matched_as_far_as_they_are_known() {
    let name = |length: usize, end: &str| "a".repeat(length - end.len()) + end;
    let questions = [
        name(119, ".example"),
        name(200, ".example"),
        name(200, ".other"),
        name(255, ".example"),
        name(300, ".example"),
        name(300, ".other"),
    ];
    let job = Job::new(questions.iter().map(|name| Question::hopeless(name)));
    let lengths = |words: &str| {
        let mut events = traced(words, &job);
        events.sort_by_key(|event| event.time_ns);
        events.iter().map(|event| (event.node.as_ref().unwrap().len(), event.cut.len())).collect::<Vec<_>>()
    };
    // The end of a name of 300 bytes is unknown, so it may match.
    let stack = "--transport perf-stack --host";
    assert_eq!(lengths(&format!("{stack} *.example")), [(119, 0), (119, 1), (119, 1), (119, 1), (119, 1)]);
    assert_eq!(lengths(&format!("{stack} *.exam?le")), [(119, 0), (119, 1), (119, 1), (119, 1), (119, 1)]);
    assert_eq!(lengths(&format!("{stack} b*")), []);
    let heap = "--transport perf-heap --host";
    assert_eq!(lengths(&format!("{heap} *.example")), [(119, 0), (200, 0), (255, 0), (255, 1), (255, 1)]);
    assert_eq!(lengths(&format!("{heap} *.oth*")), [(200, 0), (255, 1), (255, 1)]);
}

/// Starts a process that asks for its beacon until it gets a line, and then asks once for its own name.
fn waiting(name: &str) -> (Job, Running) {
    let job = Job::new([Question::hopeless(name)]).wait().beacon(Question::hopeless(&format!("{name}-beacon")));
    let process = Running::start(&mut job.command());
    job.ready();
    (job, process)
}

fn end(mut process: Running) {
    process.go();
    assert!(process.end().status.success());
}

/// Returns the hosts of the events, each once.
fn hosts(ended: &Ended) -> Vec<String> {
    let mut hosts: Vec<_> = events::read(&ended.stdout).into_iter().map(|event| event.node.unwrap()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn several_processes_are_traced_to_the_end_of_the_last() {
    let ([(one, first), (two, second)], (_stranger, third)) = (["first", "second"].map(waiting), waiting("stranger"));
    let pids = format!("{},{}", one.ready(), two.ready());
    let tracer = Running::start(&mut command(["trace", "--format", "json", "--pid", &pids]));
    tracer.stdout_line("the first is traced", |line| line.contains("first-beacon"));
    end(first);
    end(third);
    let line = tracer.stdout_line("the second is traced", |line| line.contains("second-beacon"));
    assert!(events::read(&line)[0].pid == two.ready());
    end(second);
    // The tracer ends with the last process, without a signal.
    let ended = tracer.end();
    assert_eq!(hosts(&ended), ["first", "first-beacon", "second", "second-beacon"]);
    assert_eq!(ended.success().1, 0, "{}", ended.stderr);
    let start = ended.stderr.lines().next().unwrap();
    assert_eq!(start, "Tracing 2 processes; Ctrl-C to end");
}

/// A shell has a child when the trace begins, and starts another one later.
fn children_of_a_process_are_traced() {
    let words = |job: &Job| {
        let line = job.command_line();
        line.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect::<Vec<_>>().join(" ")
    };
    for (options, expected) in
        [("-f", &["early", "early-beacon", "late"][..]), ("--follow-forks", &["early", "early-beacon", "late"])]
    {
        let early = Job::new([Question::hopeless("early")]).wait().beacon(Question::hopeless("early-beacon"));
        let late = Job::new([Question::hopeless("late")]);
        let script = format!("{}; {}", words(&early), words(&late));
        let mut shell = Running::start(std::process::Command::new("sh").args(["-c", &script]));
        early.ready();
        let pid = shell.pid().to_string();
        let tracer = Running::start(&mut command(["trace", "--format", "json", options, "--pid", &pid]));
        tracer.stdout_line("the early child is traced", |line| line.contains("early-beacon"));
        assert!(Job::new([Question::hopeless("stranger")]).command().status().unwrap().success());
        shell.go();
        assert!(shell.end().status.success());
        let ended = tracer.end();
        assert_eq!(hosts(&ended), expected, "{}", ended.stderr);
        assert_eq!(ended.success().1, 0, "{}", ended.stderr);
        assert!(ended.stderr.starts_with(&format!("Tracing process {pid} and its children; ")), "{}", ended.stderr);
    }
}

fn start_is_announced_unless_quiet() {
    let stderr = |words: &[&str]| {
        let mut command = command(["trace"]);
        Running::start(command.args(words)).end().stderr
    };
    assert_eq!(stderr(&["--", "true"]), "Tracing `true` and its children; Ctrl-C to end\nreceived 0, lost 0\n");
    assert!(stderr(&["--duration", "10ms"]).starts_with("Tracing every process; Ctrl-C to end\n"));
    assert_eq!(stderr(&["--quiet", "--", "true"]), "");
    assert_eq!(stderr(&["-q", "--", "false"]), "`false` ended with status 1\n");
}

fn short_options_are_the_long_ones() {
    let (job, process) = waiting("short");
    let pid = job.ready().to_string();
    let words =
        ["trace", "-v", "-q", "-p", &pid, "-n", "2", "-d", "1m", "-b", "64K", "-e", "-u", "root", "-l", "1ns", "-w"];
    let ended = Running::start(command(words).args(["--format", "json"])).end();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(hosts(&ended), ["short-beacon"]);
    assert_eq!(events::read(&ended.stdout).len(), 2);
    assert!(ended.stderr.lines().all(|line| line.starts_with("cutaway: info: ")), "{}", ended.stderr);
    assert!(ended.stderr.contains("tracing getaddrinfo at 0x"), "{}", ended.stderr);
    end(process);
}

fn no_getent() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|directory| directory.join("getent").is_file());
    (!there).then(|| "needs getent: the examples run it".to_owned())
}

/// Each example of `--help`, as a user would paste it. Those without a COMMAND get a limit of time.
fn examples_of_the_help_work() {
    let help = Running::start(&mut command(["trace", "--help"])).end().stdout;
    let (_, examples) = help.split_once("Examples:\n").unwrap();
    let path = format!("{}:{}", crate::binary::path().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for line in examples.lines().take_while(|line| line.starts_with("  cutaway trace ")) {
        // The description follows two spaces.
        let (example, _) = line.trim_start().split_once("  ").unwrap();
        let limit = if example.contains(" -- ") { "" } else { " --duration 300ms" };
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("{example}{limit}; exit $?")]).env("PATH", &path).env_remove("RUST_LOG");
        shell.current_dir(folder.path());
        let ended = Running::start(&mut shell).end();
        assert!(ended.status.success(), "{example}: {ended:?}");
        assert_eq!(ended.stderr.contains("Tracing "), !example.contains("--quiet"), "{example}: {ended:?}");
        count += 1;
    }
    assert_eq!(count, 9, "{examples}");
}
