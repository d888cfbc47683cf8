//! Programs whose sections do not say where: options do. In a network of the test's own, where there is one.

use std::{fs, path::PathBuf, thread};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    binary::{self, Running},
    corpus, ignorable, lacks, network,
    requirements::Needs,
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("xdp_on_an_interface", Needs::Ring, || alone(xdp)),
        ignorable(
            "a_classifier_on_an_interface",
            || Needs::Root.obstacle().or_else(no_classifiers),
            || alone(classifier),
        ),
        trial("a_perf_event_needs_no_place", Needs::Root, perf_event),
        trial("a_uprobe_is_given_its_function", Needs::Root, uprobe),
        ignorable("an_iterator_is_read_once", || Needs::Root.obstacle().or_else(lacks::iterators), iterator),
        ignorable("a_program_on_a_cgroup", || Needs::Root.obstacle().or_else(no_cgroup), cgroup),
    ]
}

/// By links where the kernel has them, by traffic control elsewhere.
fn no_classifiers() -> Option<String> {
    lacks::tcx().and_then(|_| lacks::tc())
}

/// Runs a test in a thread that has left the machine's network.
fn alone(test: fn()) {
    let left = move || {
        network::leave();
        test();
    };
    thread::spawn(left).join().unwrap();
}

/// One program of an object, with JSON, until `--duration` or `--count` ends it.
fn start(object: &str, program: &str, words: &[&str]) -> Running {
    let mut command = binary::command(["run", "--format", "json", "--variables", "--program", program]);
    let running = Running::start(command.arg(corpus(object)).args(words));
    let attached = format!("attached {program} (");
    running.stderr_line("it is attached", |line| line.starts_with(&attached));
    running
}

/// How often the programs of `sections.o` ran.
fn seen(ended: &binary::Ended) -> u64 {
    ended.received();
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["variable"] == "seen").map(|line| line["value"].as_u64().unwrap()).sum()
}

fn xdp() {
    let running = start("events/chooses", "packets", &["--interface", "lo", "--count", "1"]);
    assert!(network::send_to_self(), "XDP_PASS");
    let ended = running.end();
    assert!(ended.received() == 1 && ended.stdout.contains(r#""who":4"#), "{ended:?}");
    let mut command = binary::command(["run", "--interface", "absent", "--program", "packets"]);
    let ended = Running::start(command.arg(corpus("events/chooses"))).end();
    assert!(ended.complaint().contains("find the network device `absent`"), "{ended:?}");
}

fn classifier() {
    let running = start("kinds/sections", "tc_ingress", &["--interface", "lo", "--duration", "1"]);
    assert!(network::send_to_self(), "TC_ACT_OK");
    assert!(seen(&running.end()) > 0);
}

fn perf_event() {
    let running = start("kinds/sections", "perf_event", &["--frequency", "997", "--duration", "1"]);
    assert!(seen(&running.end()) > 0);
}

fn uprobe() {
    let words = ["--attach", "uprobe_bare=libc.so.6:a64l", "--duration", "0.1"];
    start("kinds/sections", "uprobe_bare", &words).end().received();
    let words = ["run", "--program", "uprobe_bare", "--attach", "uprobe_bare=libc.so.6:no_such_function"];
    let ended = Running::start(binary::command(words).arg(corpus("kinds/sections"))).end();
    assert!(ended.stderr.contains("no_such_function") && ended.status.code() == Some(1), "{ended:?}");
}

fn iterator() {
    let mut command = binary::command(["run", "--format", "json", "--variables", "--program", "iter"]);
    let ended = Running::start(command.arg(corpus("kinds/sections"))).end();
    assert!(seen(&ended) > 1, "this process, and the end: {ended:?}");
}

/// A folder of a cgroup2 file system.
fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.filter(|fields| fields.get(2) == Some(&"cgroup2")).find_map(|fields| fields.get(1).map(PathBuf::from))
}

fn no_cgroup() -> Option<String> {
    cgroup2().is_none().then(|| "needs a cgroup2 file system that is mounted".to_owned())
}

fn cgroup() {
    let folder = cgroup2().unwrap();
    let words = ["--cgroup", folder.to_str().unwrap(), "--duration", "1"];
    let running = start("kinds/sections", "cgroup_sock_create", &words);
    drop(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    assert!(seen(&running.end()) > 0);
    // A folder that is no cgroup.
    let mut command = binary::command(["run", "--cgroup", "/", "--program", "cgroup_sock_create"]);
    let ended = Running::start(command.arg(corpus("kinds/sections"))).end();
    assert!(ended.stderr.contains("EBADF") && ended.status.code() == Some(1), "{ended:?}");
}
