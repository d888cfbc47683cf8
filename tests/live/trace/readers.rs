//! aya-obj reads the built-in programs unless `--reader cutaway` is given; both readers load the same programs.

use cutaway_programs::getaddrinfo::Transport;
use serde_json::Value;

use crate::{
    binary::{Running, command, trace},
    child::{Job, Question},
    events, explained,
    harness::{Test, test},
    requirements::root,
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(readers_load_the_same, transports(), transports::missing).collect();
    tests.push(test!(aya_obj_reads_by_default).needs(root));
    tests
}

fn aya_obj_reads_by_default() {
    for (words, by_aya_obj) in [("", true), ("--reader aya-obj", true), ("--reader cutaway", false)] {
        let job = Job::new([Question::new("127.0.0.1")]);
        let ended =
            Running::start(trace(&format!("--format json {words}"), job.command_line()).env("RUST_LOG", "info"));
        let ended = ended.end();
        assert_eq!(ended.success(), (1, 0));
        let read = "cutaway: info: aya-obj has read the object: 4 programs, ";
        assert_eq!(ended.stderr.lines().any(|line| line.starts_with(read)), by_aya_obj, "{words}: {ended:?}");
    }
}

/// Returns the arguments of each `bpf(2)` that loads BTF, creates a map, loads a program or attaches it, without
/// addresses.
fn loading(transport: Transport, reader: &str) -> Vec<Value> {
    let job = Job::new([Question::new("127.0.0.1")]);
    let words = ["--explain=json", "trace", "--format", "json", "--reader", reader, "--transport", transport.name()];
    let mut command = command(words);
    command.args(["--library", "libc.so.6", "--"]).args(job.command_line());
    let ended = Running::start(&mut command).end();
    assert_eq!(ended.success(), (1, 0));
    assert_eq!(events::read(&ended.stdout).len(), 1);
    let mut calls = explained::logged(&ended.stderr);
    calls.retain(|call| {
        let command = call["arguments"]["cmd"].as_str().unwrap_or_default();
        ["BPF_BTF_LOAD", "BPF_MAP_CREATE", "BPF_PROG_LOAD", "BPF_LINK_CREATE"].contains(&command)
    });
    for call in &mut calls {
        let Some(arguments) = call["arguments"].as_object_mut() else { panic!("{call}") };
        arguments.retain(|name, value| !is_address(value) && name != "target_fd");
    }
    let mut calls: Vec<Value> = calls.into_iter().map(|mut call| call["arguments"].take()).collect();
    // Before 5.11 maps count as locked memory. A map of a process that has just ended may still count, so a call is
    // made again.
    calls.dedup();
    calls
}

fn is_address(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("0x") && text.len() > 10)
        || value.as_u64().is_some_and(|number| number > u32::MAX.into())
}

fn readers_load_the_same(transport: Transport) {
    let [own, aya] = ["cutaway", "aya-obj"].map(|reader| loading(transport, reader));
    assert!(own.len() > 8, "{own:?}");
    assert_eq!(own, aya);
}
