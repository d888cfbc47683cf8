//! Names around the size of their field: complete up to the last byte, then truncated and marked.

use cutaway_programs::getaddrinfo::Transport;

use crate::{
    binary::{Running, trace},
    child::{Job, Question},
    events::{self, Event},
    harness::{Test, test},
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    test!(long_names_are_cut_to_the_byte_and_marked, transports(), transports::missing).collect()
}

/// Returns a node of this length that is not an address.
fn node(length: usize) -> Question {
    Question::hopeless(&text(length))
}

/// Returns a service of this length that does not exist.
fn service(length: usize) -> Question {
    Question::new("192.0.2.1").service(&text(length))
}

/// Returns a node of this length that is an address and its own canonical name.
fn canonname(length: usize) -> Question {
    // Octal, with any number of leading zeroes: 127.0.0.1.
    Question::new(&format!("{}177.0.0.1", "0".repeat(length - 9))).flags(libc::AI_CANONNAME | libc::AI_NUMERICHOST)
}

/// Returns text whose end gives its length.
fn text(length: usize) -> String {
    ('a'..='z').cycle().take(length).collect()
}

fn long_names_are_cut_to_the_byte_and_marked(transport: Transport) {
    let lengths = [1, 22, 23, 24, 25, 54, 55, 56, 57, 118, 119, 120, 121, 254, 255, 256, 257, 300, 1000];
    let questions = lengths.into_iter().flat_map(|length| [node(length), service(length)]);
    let canonnames = lengths.into_iter().filter(|&length| length > 9).map(canonname);
    let job = Job::new(questions.chain(canonnames));
    let words = format!("--format json --buffer 1048576 --transport {transport}");
    let ended = Running::start(&mut trace(&words, job.command_line())).end();
    let answers = job.answers();
    assert_eq!(ended.success(), (answers.len() as u64, 0), "{}", ended.stderr);
    let events = events::read(&ended.stdout);
    events::check(&events, &answers, job.ready(), 0, transport);

    // Literal values: the last byte that is carried, and the mark.
    let (node_room, service_room, canonname_room) = match transport {
        Transport::PerfStack => (119, 23, 55),
        Transport::PerfHeap | Transport::Ring => (255, 255, 255),
    };
    let find = |question: &Question| {
        let index = answers.iter().position(|answer| answer.question == *question).unwrap();
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_by_key(|event| event.time_ns);
        sorted[index]
    };
    assert_eq!(find(&node(node_room)).node, Some(text(node_room)));
    assert_eq!(find(&node(node_room)).cut, [""; 0]);
    assert_eq!(find(&node(node_room + 1)).node, Some(text(node_room)));
    assert_eq!(find(&node(node_room + 1)).cut, ["node"]);
    assert_eq!(find(&service(service_room)).service, Some(text(service_room)));
    assert_eq!(find(&service(service_room)).cut, [""; 0]);
    assert_eq!(find(&service(service_room + 1)).service, Some(text(service_room)));
    assert_eq!(find(&service(service_room + 1)).cut, ["service"]);
    let fits = find(&canonname(canonname_room));
    assert_eq!(
        (fits.ai_canonname.as_ref(), fits.cut.len()),
        (fits.node.as_ref(), usize::from(canonname_room > node_room))
    );
    let long = find(&canonname(canonname_room + 1));
    assert_eq!(long.ai_canonname.as_ref().unwrap().len(), canonname_room);
    assert!(long.cut.iter().any(|field| field == "ai_canonname"), "{long:?}");
    let longest = find(&canonname(1000));
    assert_eq!(longest.cut, ["node", "ai_canonname"]);
    assert_eq!((longest.ret, longest.ai_addr.as_deref()), (0, Some("127.0.0.1")));
}
