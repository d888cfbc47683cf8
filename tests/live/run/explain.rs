//! `--explain` of a run: every call is told, whatever is attached and however many buffers there are.

use libtest_mimic::Trial;

use crate::{binary, corpus, decoded::no_atomics, explained, ignorable, lacks, requirements::Needs, supervisor};

pub(crate) fn trials() -> Vec<Trial> {
    // A ring and perf buffers; several rings; raw tracepoints; uprobes; a program that is run; one that is refused.
    ["events/both", "events/several", "kinds/code", "kinds/getaddrinfo_ring", "data/variables", "events/chooses"]
        .map(|object| {
            let name = format!("explain_leaves_no_call_of_{}_out", object.replace('/', "_"));
            let lacks = match object {
                "data/variables" => lacks::syscall_programs,
                "events/both" => no_atomics,
                _ => lacks::nothing,
            };
            ignorable(name, move || Needs::Ring.obstacle().or_else(lacks), move || complete(object))
        })
        .into()
}

fn complete(object: &'static str) {
    let mut command = binary::command(["--explain=json", "run", "--variables"]);
    command.arg(corpus(object)).args(["--", "true"]);
    let (ended, seen) = supervisor::watch(command, &explained::WATCHED, |_| None);
    ended.received();
    assert!(explained::compare(&ended.stderr, &seen) > 8, "{}", ended.stderr);
}
