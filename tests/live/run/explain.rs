//! `--explain` of a run logs every system call, for every attach type and any number of buffers.

use crate::{
    binary, corpus,
    decoded::no_atomics,
    explained,
    harness::{Test, test},
    requirements::ring,
    supervisor, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    // A ring and perf buffers; several rings; raw tracepoints; uprobes; a program that is test-run; one that is
    // refused.
    let objects =
        ["events/both", "events/several", "kinds/code", "kinds/getaddrinfo_ring", "data/variables", "events/chooses"];
    let objects = objects.map(|object| (object.replace('/', "_"), object));
    let unsupported = |object| match object {
        "data/variables" => unsupported::syscall_programs(),
        "events/both" => no_atomics(),
        _ => None,
    };
    test!(explain_logs_every_call_of, objects, unsupported).map(|test| test.needs(ring)).collect()
}

fn explain_logs_every_call_of(object: &str) {
    let mut command = binary::command(["--explain=json", "run", "--variables"]);
    command.arg(corpus(object)).args(["--", "true"]);
    let (ended, seen) = supervisor::watch(command, &explained::WATCHED, |_| None);
    ended.received();
    assert!(explained::compare(&ended.stderr, &seen) > 8, "{}", ended.stderr);
}
