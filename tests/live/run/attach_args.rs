//! Options that give a target to programs whose sections have none. Tests of interfaces have a network namespace of
//! their own.

use std::{fs, path::PathBuf, thread};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    binary::{self, Running},
    corpus,
    crafted::{CODE, Crafted, DATA, FUNC, LOCAL, NOTYPE},
    harness::{Test, test},
    mapped::{Mapped, no_code},
    network,
    requirements::{ring, root},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(xdp_attaches_to_an_interface).needs(ring),
        test!(classifier_attaches_to_an_interface).needs(root).unless(no_classifiers),
        test!(perf_event_needs_no_target).needs(root),
        test!(uprobe_target_is_given).needs(root),
        test!(library_is_found_in_the_process).needs(root).unless(no_code),
        test!(file_not_mapped_by_the_process_is_named).needs(root).unless(no_code),
        test!(symbols_with_colons_and_addresses_are_taken).needs(root).unless(no_code),
        test!(targets_outside_of_code_are_refused).needs(root),
        test!(iterator_is_read_once).needs(root).unless(unsupported::iterators),
        test!(program_attaches_to_a_cgroup).needs(root).unless(no_cgroup),
    ]
}

fn xdp_attaches_to_an_interface() {
    in_own_network(|| {
        let running = start("events/chooses", "packets", &["--interface", "lo", "--count", "1"]);
        assert!(network::send_to_self(), "XDP_PASS");
        let ended = running.end();
        assert!(ended.received() == 1 && ended.stdout.contains(r#""who":4"#), "{ended:?}");
        let mut command = binary::command(["run", "--interface", "absent", "--program", "packets"]);
        let ended = Running::start(command.arg(corpus("events/chooses"))).end();
        assert!(ended.complaint().contains("find the network device `absent`"), "{ended:?}");
    });
}

fn classifier_attaches_to_an_interface() {
    in_own_network(|| {
        let running = start("kinds/sections", "tc_ingress", &["--interface", "lo", "--duration", "1"]);
        assert!(network::send_to_self(), "TC_ACT_OK");
        assert!(seen(&running.end()) > 0);
    });
}

/// Returns the reason if classifiers cannot be attached, neither by links nor by traffic control.
fn no_classifiers() -> Option<String> {
    unsupported::tcx().and_then(|_| unsupported::tc())
}

/// Runs a test in a thread with its own network namespace.
fn in_own_network(test: fn()) {
    let left = move || {
        network::leave();
        test();
    };
    thread::spawn(left).join().unwrap();
}

/// Starts one program of an object, with JSON, until `--duration` or `--count` ends it.
fn start(object: &str, program: &str, words: &[&str]) -> Running {
    let mut command = binary::command(["run", "--format", "json", "--variables", "--program", program]);
    let running = Running::start(command.arg(corpus(object)).args(words));
    let attached = format!("attached {program} (");
    running.stderr_line("it is attached", |line| line.starts_with(&attached));
    running
}

/// Returns the number of runs of the programs of `sections.o`.
fn seen(ended: &binary::Ended) -> u64 {
    ended.received();
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["variable"] == "seen").map(|line| line["value"].as_u64().unwrap()).sum()
}

fn perf_event_needs_no_target() {
    let running = start("kinds/sections", "perf_event", &["--frequency", "997", "--duration", "1"]);
    assert!(seen(&running.end()) > 0);
}

fn uprobe_target_is_given() {
    let words = ["--attach", "uprobe_bare=libc.so.6:a64l", "--duration", "0.1"];
    start("kinds/sections", "uprobe_bare", &words).end().received();
    let words = ["run", "--program", "uprobe_bare", "--attach", "uprobe_bare=libc.so.6:no_such_function"];
    let ended = Running::start(binary::command(words).arg(corpus("kinds/sections"))).end();
    assert!(ended.stderr.contains("no_such_function") && ended.status.code() == Some(1), "{ended:?}");
}

/// The name occurs only among that process's mappings.
fn library_is_found_in_the_process() {
    let file = Mapped::write("seen.so", &crafted().write());
    let (own, target) = (std::process::id().to_string(), format!("uprobe_bare={}:f", file.name()));
    let running = start("kinds/sections", "uprobe_bare", &["--pid", &own, "--attach", &target]);
    file.call(0);
    running.send(Signal::INT);
    assert_eq!(seen(&running.end()), 1);
    // The library is not in the command's own mappings.
    is_refused(&target, "not among this process's libraries");
}

/// A path is one in our root; a process in another root has another file there.
fn file_not_mapped_by_the_process_is_named() {
    let file = Mapped::write("own.so", &crafted().write());
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join(file.name());
    fs::copy(file.path(), &other).unwrap();
    let own = std::process::id().to_string();
    let warned = |path: &std::path::Path| {
        let target = format!("uprobe_bare={}:f", path.display());
        let words = ["--pid", &own, "--attach", &target, "--duration", "0.1"];
        let mut command = binary::command(["run", "--program", "uprobe_bare"]);
        let ended = Running::start(command.arg(corpus("kinds/sections")).args(words)).end();
        assert!(ended.stderr.contains(&format!("at {}:f, process {own})", path.display())), "{ended:?}");
        ended.stderr.contains("so no probe there is hit; it has mapped ")
    };
    assert_eq!((warned(&other), warned(file.path())), (true, false));
}

/// Returns a file with functions at `CODE` and every 16 bytes after it.
fn crafted() -> Crafted<'static> {
    let function = |name, index| (name, LOCAL, FUNC, CODE + 16 * index as u64, 2);
    let symbols = vec![function("f", 0), function("twice", 1), function("twice", 2), function("type:.eq.T", 3)];
    Crafted { symbols, ..Crafted::default() }
}

fn symbols_with_colons_and_addresses_are_taken() {
    let file = Mapped::write("symbols.so", &crafted().write());
    for (symbol, index) in [("type:.eq.T", 3), ("twice@0x11020", 2), ("0x11010", 1)] {
        let target = format!("uprobe_bare={}:{symbol}", file.path().display());
        let running = start("kinds/sections", "uprobe_bare", &["--attach", &target]);
        (0..4).for_each(|other| (0..=other).for_each(|_| file.call(other)));
        running.send(Signal::INT);
        assert_eq!(seen(&running.end()), index + 1, "{symbol}");
    }
}

fn targets_outside_of_code_are_refused() {
    let mut data = crafted();
    data.symbols.push(("__data_start", LOCAL, NOTYPE, DATA, 0));
    let whole = Mapped::write("refused.so", &data.write());
    let debug = Mapped::write("refused.debug", &Crafted { debug_only: true, ..data }.write());
    for (file, symbol, part) in [
        (&whole, "twice", "ambiguous, several functions have it: at 0x11010, 0x11020"),
        (&whole, "__data_start", "no executable segment"),
        (&debug, "f", "SHT_NOBITS"),
    ] {
        let target = format!("uprobe_bare={}:{symbol}", file.path().display());
        is_refused(&target, part);
    }
}

/// Asserts that a run with this `--attach` fails with this error.
fn is_refused(target: &str, part: &str) {
    let words = ["run", "--program", "uprobe_bare", "--attach", target];
    let ended = Running::start(binary::command(words).arg(corpus("kinds/sections"))).end();
    assert!(ended.stderr.contains(part) && ended.status.code() == Some(1), "{ended:?}");
}

fn iterator_is_read_once() {
    let mut command = binary::command(["run", "--format", "json", "--variables", "--program", "iter"]);
    let ended = Running::start(command.arg(corpus("kinds/sections"))).end();
    assert!(seen(&ended) > 1, "this process, and the end: {ended:?}");
}

/// Returns a directory of a cgroup2 file system.
fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.filter(|fields| fields.get(2) == Some(&"cgroup2")).find_map(|fields| fields.get(1).map(PathBuf::from))
}

fn no_cgroup() -> Option<String> {
    cgroup2().is_none().then(|| "needs a cgroup2 file system that is mounted".to_owned())
}

fn program_attaches_to_a_cgroup() {
    let folder = cgroup2().unwrap();
    let words = ["--cgroup", folder.to_str().unwrap(), "--duration", "1"];
    let running = start("kinds/sections", "cgroup_sock_create", &words);
    drop(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    assert!(seen(&running.end()) > 0);
    // A directory that is not a cgroup.
    let mut command = binary::command(["run", "--cgroup", "/", "--program", "cgroup_sock_create"]);
    let ended = Running::start(command.arg(corpus("kinds/sections"))).end();
    assert!(ended.stderr.contains("EBADF") && ended.status.code() == Some(1), "{ended:?}");
}
