//! Events in JSON as `cutaway trace` prints them, and the events that are expected.

use std::collections::{BTreeMap, HashMap};

use cutaway_programs::getaddrinfo::Transport;
use serde::Deserialize;

use crate::child::Answer;

/// One line. Every field is compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) time_ns: u64,
    pub(crate) time: String,
    pub(crate) cpu: u32,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: String,
    pub(crate) node: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) ret: i32,
    pub(crate) error: Option<String>,
    pub(crate) latency_ns: u64,
    pub(crate) ai_flags: Option<i32>,
    pub(crate) ai_family: Option<i32>,
    pub(crate) ai_socktype: Option<i32>,
    pub(crate) ai_protocol: Option<i32>,
    pub(crate) ai_addrlen: Option<u32>,
    pub(crate) ai_addr: Option<String>,
    pub(crate) ai_canonname: Option<String>,
    pub(crate) addresses: usize,
    pub(crate) transport: String,
    pub(crate) first_addresses: Vec<String>,
    pub(crate) cut: Vec<String>,
    pub(crate) unreadable: Vec<String>,
    pub(crate) library: Option<String>,
    pub(crate) cgroup: Option<String>,
    pub(crate) container: Option<String>,
}

/// The fields in the order of the line.
const FIELDS: [&str; 27] = [
    "time_ns",
    "time",
    "cpu",
    "pid",
    "tid",
    "uid",
    "comm",
    "node",
    "service",
    "ret",
    "error",
    "latency_ns",
    "ai_flags",
    "ai_family",
    "ai_socktype",
    "ai_protocol",
    "ai_addrlen",
    "ai_addr",
    "ai_canonname",
    "addresses",
    "transport",
    "first_addresses",
    "cut",
    "unreadable",
    "library",
    "cgroup",
    "container",
];

/// Parses stdout: every line must be an event with all its fields.
pub(crate) fn read(stdout: &str) -> Vec<Event> {
    let event = |line: &str| {
        // A missing field would read as null.
        let mut rest = line;
        for field in FIELDS {
            let key = format!("\"{field}\":");
            rest = rest.split_once(&key).unwrap_or_else(|| panic!("no {field}, or not in order: {line}")).1;
        }
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    stdout.lines().map(event).collect()
}

/// Returns the space for each of the three names in bytes, without the NUL.
fn capacities(transport: Transport) -> [usize; 3] {
    match transport {
        Transport::PerfStack => [119, 23, 55],
        Transport::PerfHeap | Transport::Ring => [255; 3],
    }
}

/// Returns the event that is expected for an answer. Only the kernel knows times and CPU: they are checked, then taken
/// from `event`.
pub(crate) fn expected(answer: &Answer, event: &Event, pid: u32, uid: u32, transport: Transport) -> Event {
    let began = event.time_ns.checked_sub(event.latency_ns);
    assert!(
        began.is_some_and(|began| answer.begin_ns <= began) && event.time_ns <= answer.end_ns,
        "not within {} and {}: {event:?}",
        answer.begin_ns,
        answer.end_ns
    );
    let mut cut = Vec::new();
    let mut carried = |name: &str, text: Option<&String>, capacity: usize| {
        let text = text?;
        if text.len() > capacity {
            cut.push(name.to_owned());
        }
        Some(text.get(..capacity).unwrap_or(text).to_owned())
    };
    let [node_capacity, service_capacity, canonname_capacity] = capacities(transport);
    let question = &answer.question;
    let node = carried("node", question.node.as_ref(), node_capacity);
    let service = carried("service", question.service.as_ref(), service_capacity);
    let first = answer.entries.first();
    let canonname = carried("ai_canonname", first.and_then(|entry| entry.canonname.as_ref()), canonname_capacity);
    let same_type = answer.entries.iter().filter(|entry| Some(entry.socktype) == first.map(|first| first.socktype));
    Event {
        time_ns: event.time_ns,
        time: event.time.clone(),
        cpu: event.cpu,
        latency_ns: event.latency_ns,
        pid,
        tid: answer.tid,
        uid,
        comm: answer.comm.clone(),
        node,
        service,
        ret: answer.ret,
        error: error_text(answer.ret),
        ai_flags: first.map(|entry| entry.flags),
        ai_family: first.map(|entry| entry.family),
        ai_socktype: first.map(|entry| entry.socktype),
        ai_protocol: first.map(|entry| entry.protocol),
        ai_addrlen: first.map(|entry| entry.addrlen),
        ai_addr: first.map(|entry| entry.addr.clone()),
        ai_canonname: canonname,
        addresses: answer.entries.len(),
        transport: transport.name().to_owned(),
        first_addresses: same_type.take(4).map(|entry| entry.addr.clone()).collect(),
        cut,
        unreadable: Vec::new(),
        // The origin of calls has tests of its own.
        library: event.library.clone(),
        cgroup: event.cgroup.clone(),
        container: event.container.clone(),
    }
}

/// Returns glibc's error text. The texts are written here so that the code under test is not compared with itself.
fn error_text(ret: i32) -> Option<String> {
    let text = match ret {
        0 => return None,
        libc::EAI_BADFLAGS => "Bad value for ai_flags",
        libc::EAI_NONAME => "Name or service not known",
        libc::EAI_AGAIN => "Temporary failure in name resolution",
        libc::EAI_FAMILY => "ai_family not supported",
        libc::EAI_SERVICE => "Servname not supported for ai_socktype",
        libc::EAI_SOCKTYPE => "ai_socktype not supported",
        libc::EAI_SYSTEM => "System error",
        libc::EAI_FAIL => "Non-recoverable failure in name resolution",
        -5 => "No address associated with hostname",
        -9 => "Address family for hostname not supported",
        other => panic!("unexpected return value: {other}"),
    };
    Some(text.to_owned())
}

/// Compares events with the answers of the process `pid`: the same number, each correct, in order for each thread on
/// each CPU.
pub(crate) fn check(events: &[Event], answers: &[Answer], pid: u32, uid: u32, transport: Transport) {
    assert_eq!(events.len(), answers.len(), "events and calls");
    let mut last_times = BTreeMap::<_, u64>::new();
    let mut by_thread = HashMap::<u32, Vec<&Event>>::new();
    for event in events {
        // One ring for all CPUs keeps a thread's order on every CPU; perf buffers keep it per CPU.
        let buffer = if transport == Transport::Ring { 0 } else { event.cpu };
        let last = last_times.insert((event.tid, buffer), event.time_ns).unwrap_or(0);
        assert!(last < event.time_ns, "out of order: {event:?}");
        by_thread.entry(event.tid).or_default().push(event);
    }
    for events in by_thread.values_mut() {
        events.sort_by_key(|event| event.time_ns);
    }
    let mut next = HashMap::<u32, usize>::new();
    for answer in answers {
        let index = next.entry(answer.tid).or_default();
        let event = by_thread.get(&answer.tid).and_then(|events| events.get(*index));
        let event = event.unwrap_or_else(|| panic!("no event for {answer:?}"));
        assert_eq!(**event, expected(answer, event, pid, uid, transport), "{answer:?}");
        *index += 1;
    }
}
