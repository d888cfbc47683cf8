//! Every call is reported exactly once, with its values.

use cutaway_programs::getaddrinfo::Transport;

use crate::{
    binary::{Running, trace},
    child::{Job, Question},
    events::{self, Event},
    harness::{Test, test},
    requirements::{ring, root},
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(thousand_calls_arrive, transports(), transports::missing).collect();
    tests.extend(test!(thousand_calls_arrive_by_own_reader, transports(), transports::missing));
    tests.extend(test!(calls_of_eight_threads_arrive, transports(), transports::missing));
    tests.extend(test!(calls_of_another_user_carry_the_uid, transports(), transports::missing));
    tests.push(test!(transports_agree).needs(ring));
    tests.push(test!(table_has_a_header_and_a_line_for_each_call).needs(root));
    tests
}

/// Buffers large enough for all events: these tests check the events, not the reader's speed.
const ROOMY: &str = "--format json --buffer 4194304 --transport";

/// Returns a question of each kind, with the return value if it is certain.
fn questions() -> Vec<(Question, Option<i32>)> {
    const NO_NAME: Option<i32> = Some(libc::EAI_NONAME);
    let empty = Question { node: None, service: None, hints: None };
    vec![
        (Question::new("127.0.0.1"), Some(0)),
        (Question::new("192.0.2.1").service("80"), Some(0)),
        (Question::new("192.0.2.2").socktype(libc::SOCK_DGRAM), Some(0)),
        (Question::new("192.0.2.3").flags(libc::AI_CANONNAME), Some(0)),
        (Question::new("::1"), Some(0)),
        (Question::new("2001:db8::1").service("53").socktype(libc::SOCK_STREAM), Some(0)),
        (Question::new("::ffff:192.0.2.4").flags(libc::AI_NUMERICHOST | libc::AI_CANONNAME), Some(0)),
        (Question::new("fe80::1%1").service("65535"), Some(0)),
        (Question::new("localhost"), Some(0)),
        (Question::new("localhost").service("1").family(libc::AF_INET), Some(0)),
        (Question::new("localhost").flags(libc::AI_CANONNAME).socktype(libc::SOCK_STREAM), Some(0)),
        (empty.clone().service("8080"), Some(0)),
        (empty.clone().service("8080").flags(libc::AI_PASSIVE), Some(0)),
        (empty.clone(), NO_NAME),
        (Question::hopeless("host.invalid"), NO_NAME),
        (Question::hopeless("host.invalid").service("443"), NO_NAME),
        (Question::hopeless(""), NO_NAME),
        (Question::new("192.0.2.5").family(libc::AF_INET6), None),
        (Question::new("192.0.2.6").flags(i32::MIN), Some(libc::EAI_BADFLAGS)),
        (Question::new("192.0.2.7").family(4711), Some(libc::EAI_FAMILY)),
        (Question::new("192.0.2.8").socktype(4711), None),
        (Question::new("192.0.2.9").service("no-such-service"), Some(libc::EAI_SERVICE)),
        (Question::new("192.0.2.10").service("http").socktype(libc::SOCK_STREAM), None),
        (Question::hopeless("größe.invalid"), NO_NAME),
        (Question::hopeless("quote\" back\\slash \t\u{1b}[31m\n"), NO_NAME),
    ]
}

/// Returns a thousand questions. One of each hundred uses all of the machine's name sources.
fn thousand_questions() -> Vec<(Question, Option<i32>)> {
    let mut thousand: Vec<_> = questions().into_iter().cycle().take(1000).collect();
    for (index, question) in thousand.iter_mut().enumerate().step_by(100) {
        *question = (Question::new(&format!("host-{index}.invalid")), None);
    }
    thousand
}

/// Has a thousand calls made and checks the event of each. aya-obj reads the programs, unless `words` say otherwise.
fn run(words: &str, transport: Transport, change: impl FnOnce(Job) -> Job, uid: u32) -> Vec<Event> {
    let (questions, known): (Vec<_>, Vec<_>) = thousand_questions().into_iter().unzip();
    let job = change(Job::new(questions.clone()));
    let ended = Running::start(&mut trace(&format!("{words} {ROOMY} {transport}"), job.command_line())).end();
    assert_eq!(ended.success(), (1000, 0), "{}", ended.stderr);
    let (answers, events) = (job.answers(), events::read(&ended.stdout));
    for answer in &answers {
        let index = questions.iter().position(|question| *question == answer.question).unwrap();
        assert!(known[index].is_none_or(|known| known == answer.ret), "{answer:?}");
    }
    assert!(
        answers
            .iter()
            .filter(|answer| answer.question.node.as_deref().is_some_and(|node| node.starts_with("host-")))
            .all(|answer| answer.ret != 0)
    );
    events::check(&events, &answers, job.ready(), uid, transport);
    events
}

fn thousand_calls_arrive(transport: Transport) {
    thousand_calls("", transport);
}

fn thousand_calls_arrive_by_own_reader(transport: Transport) {
    thousand_calls("--reader cutaway", transport);
}

fn thousand_calls(words: &str, transport: Transport) {
    let events = run(words, transport, |job| job, 0);
    assert!(events.iter().all(|event| event.pid == event.tid));
    // Literal values, in case both sides have the same error.
    let of = |node: &str| events.iter().find(|event| event.node.as_deref() == Some(node)).unwrap();
    let event = of("2001:db8::1");
    assert_eq!((event.ret, event.ai_family, event.ai_socktype), (0, Some(10), Some(1)));
    assert_eq!((event.ai_protocol, event.ai_addrlen, event.addresses), (Some(6), Some(28), 1));
    assert_eq!((event.ai_addr.as_deref(), event.service.as_deref()), (Some("2001:db8::1"), Some("53")));
    let event = of("192.0.2.3");
    assert_eq!((event.ai_canonname.as_deref(), event.addresses), (Some("192.0.2.3"), 3));
    assert_eq!(event.first_addresses, ["192.0.2.3"]);
    assert_eq!((event.ai_family, event.ai_addrlen, event.error.as_deref()), (Some(2), Some(16), None));
    let event = of("host.invalid");
    assert_eq!((event.ret, event.error.as_deref()), (-2, Some("Name or service not known")));
    assert_eq!((event.ai_family, event.ai_addr.as_deref(), event.addresses), (None, None, 0));
    assert_eq!(of("fe80::1%1").ai_addr.as_deref(), Some("fe80::1%1"));
}

fn calls_of_eight_threads_arrive(transport: Transport) {
    let events = run("", transport, |job| job.threads(8), 0);
    for number in 0..8 {
        let comm = format!("asker-{number}");
        assert_eq!(events.iter().filter(|event| event.comm == comm && event.tid != event.pid).count(), 125);
    }
}

fn calls_of_another_user_carry_the_uid(transport: Transport) {
    const NOBODY: u32 = 65_534;
    run("", transport, |job| job.uid(NOBODY), NOBODY);
}

/// One child asks once, and all three tracers watch it; the names fit every transport.
fn transports_agree() {
    let (questions, _): (Vec<_>, Vec<_>) = thousand_questions().into_iter().unzip();
    let [stack, heap, ring] = Transport::ALL;
    let job = Job::new(questions);
    // Each tracer runs the next one, the last one the child. All follow the child as their descendant.
    let mut line = job.command_line();
    let folder = tempfile::tempdir().unwrap();
    for transport in [stack, heap, ring] {
        let out = folder.path().join(transport.name());
        let words = format!("exec \"$@\" > '{}'", out.display());
        let mut outer: Vec<std::ffi::OsString> = vec!["sh".into(), "-c".into(), words.into(), "sh".into()];
        outer.push(crate::binary::path().into());
        outer.push("trace".into());
        outer.extend(format!("{ROOMY} {transport} --").split_whitespace().map(Into::into));
        outer.append(&mut line);
        line = outer;
    }
    let mut command = std::process::Command::new(&line[0]);
    let ended = Running::start(command.args(&line[1..]).env_remove("RUST_LOG")).end();
    assert!(ended.status.success(), "{ended:?}");
    let (answers, pid) = (job.answers(), job.ready());
    let [stack, heap, ring] = [stack, heap, ring].map(|transport| {
        let text = std::fs::read_to_string(folder.path().join(transport.name())).unwrap();
        let mut events = events::read(&text);
        assert!(events.iter().all(|event| event.transport == transport.name()));
        events::check(&events, &answers, pid, 0, transport);
        // Two probes on one call differ in their exact time and in their buffer.
        events.sort_by_key(|event| event.time_ns);
        for event in &mut events {
            (event.time_ns, event.latency_ns, event.cpu) = (0, 0, 0);
            event.time.clear();
            event.transport.clear();
            // They also differ in whether the process still existed when the event was read.
            event.cgroup = None;
        }
        events
    });
    assert_eq!(stack, heap);
    assert_eq!(heap, ring);
}

fn table_has_a_header_and_a_line_for_each_call() {
    let job = Job::new([Question::new("localhost").service("80"), Question::hopeless("\u{1b}[2J\n")]);
    let ended = Running::start(&mut trace("--format table --wide", job.command_line())).end();
    assert_eq!(ended.success(), (2, 0));
    let lines: Vec<_> = ended.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let [head, good, bad] = &lines[..] else { panic!("{}", ended.stdout) };
    assert_eq!(head[..], ["TIME", "PID", "COMMAND", "HOST", "SERVICE", "RESULT", "LATENCY", "ADDRESSES"]);
    let answers = job.answers();
    let pid = job.ready().to_string();
    assert_eq!(good[1..6], [&pid, &answers[0].comm, "localhost", "80", "ok"]);
    assert_eq!(good[8], answers[0].entries[0].addr);
    assert_eq!((bad[3], bad[5], *bad.last().unwrap()), ("\\u{1b}[2J\\n", "EAI_NONAME", "-"));
    assert!(!ended.stdout.contains('\u{1b}'), "no colors into a pipe, neither its own nor others");
}
