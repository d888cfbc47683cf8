//! A reader that is stopped loses events and knows the number: received plus lost is the number of calls.

use cutaway_programs::getaddrinfo::{Event, StackEvent, Transport};
use rustix::process::Signal;

use crate::{
    binary::{Running, trace},
    child::{Job, Question},
    events,
    harness::{Test, test},
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(stopped_reader_keeps_what_fits_a_page, transports(), transports::missing).collect();
    tests.extend(test!(losses_are_counted_once, transports(), transports::missing));
    tests
}

const CALLS: u64 = 200;
const PAGE: usize = 4096;

fn questions() -> impl Iterator<Item = Question> {
    (0..CALLS).map(|number| Question::hopeless(&number.to_string()))
}

fn words(transport: Transport) -> String {
    format!("--format json --buffer {PAGE} --transport {transport}")
}

/// Returns the number of events that fit a buffer of one page. One byte of it always stays free.
fn fitting(transport: Transport) -> u64 {
    let record = match transport {
        // Header, size, payload, padding.
        Transport::PerfStack => (8 + 4 + size_of::<StackEvent>()).next_multiple_of(8),
        Transport::PerfHeap => (8 + 4 + size_of::<Event>()).next_multiple_of(8),
        Transport::Ring => (8 + size_of::<Event>()).next_multiple_of(8),
    };
    ((PAGE - 1) / record) as u64
}

/// The reader is stopped for the child's whole run, which uses one CPU and so one buffer.
fn stopped_reader_keeps_what_fits_a_page(transport: Transport) {
    let job = Job::new(questions()).wait().pinned();
    let mut running = Running::start(&mut trace(&words(transport), job.command_line()));
    let pid = job.ready();
    running.stop();
    running.go();
    let answers = job.answers();
    running.send(Signal::CONT);
    let ended = running.end();
    let (received, lost) = ended.success();
    assert_eq!((received, lost), (fitting(transport), CALLS - fitting(transport)), "{}", ended.stderr);
    // The first events are complete.
    events::check(&events::read(&ended.stdout), &answers[..received as usize], pid, 0, transport);
    let reason = format!("{lost} lost for want of room in the buffer: make it larger with --buffer");
    assert!(ended.stderr.lines().any(|line| line == reason), "{}", ended.stderr);
}

/// Eight threads run on all CPUs while the reader is stopped, and a few calls follow after it continues: a perf buffer
/// reports its losses in front of those.
fn losses_are_counted_once(transport: Transport) {
    let (many, few) = (Job::new(questions()).wait().threads(8), Job::new(questions().take(3)).wait());
    let script = "\"$1\" \"$2\" \"$3\"; \"$4\" \"$5\" \"$6\"";
    let mut line: Vec<std::ffi::OsString> = ["sh", "-c", script, "sh"].map(Into::into).into();
    line.extend(many.command_line());
    line.extend(few.command_line());
    let mut running = Running::start(&mut trace(&words(transport), line));
    let many_pid = many.ready();
    running.stop();
    running.go();
    many.answers();
    running.send(Signal::CONT);
    // Reading makes space for the few calls.
    running.stdout_line("the reader continues", |line| line.contains(&format!("\"pid\":{many_pid}")));
    let few_pid = few.ready();
    running.go();
    let few_answers = few.answers();
    let ended = running.end();
    let (received, lost) = ended.success();
    let (of_many, of_few): (Vec<_>, Vec<_>) =
        events::read(&ended.stdout).into_iter().partition(|event| event.pid == many_pid);
    assert_eq!(received, (of_many.len() + of_few.len()) as u64);
    assert_eq!(received + lost, CALLS + 3, "{}", ended.stderr);
    assert!(lost > 0, "{}", ended.stderr);
    events::check(&of_few, &few_answers, few_pid, 0, transport);
    for event in &of_many {
        let same_buffer = |other: &&events::Event| transport == Transport::Ring || other.cpu == event.cpu;
        assert!(of_many.iter().filter(same_buffer).count() as u64 <= fitting(transport));
    }
}
