//! The losses of a run, which inserted instructions count: by map and source line, and unknown where they cannot count.

use std::thread;

use cutaway_programs::prelude::*;
use rustix::{
    process::Signal,
    thread::{CpuSet, gettid, sched_setaffinity},
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    binary::{self, Ended, Running},
    corpus,
    harness::{Test, test},
    honest,
    pinned::Pins,
    requirements::{ring, root},
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    let feature = "an array of one element that is mapped, which holds the counts";
    let readers = ["cutaway", "aya-obj"].map(|reader| (reader, reader));
    let mut tests: Vec<_> = test!(losses_of_a_full_ring_are_counted_by_line, readers, |_| ring())
        .map(|test| test.since(5, 5, feature))
        .collect();
    tests.extend([
        test!(losses_are_counted_in_json).needs(ring).since(5, 5, feature),
        test!(losses_without_counting_are_unknown).needs(ring),
        test!(total_of_a_call_that_sends_to_two_rings_is_exact).needs(ring).since(5, 5, feature),
        test!(losses_are_unknown_if_the_kernel_refuses_the_counting).needs(ring).since(5, 5, feature),
        test!(losses_of_a_pinned_ring_are_a_lower_bound).needs(ring).since(5, 5, feature),
        test!(failures_that_the_kernel_does_not_report_are_counted)
            .needs(root)
            .unless(honest::one_cpu)
            .since(5, 5, feature),
    ]);
    tests
}

/// Calls of the sender. A record of 8 bytes takes 16, and a ring of 4096 bytes is never filled up: it holds 255.
const CALLS: u32 = 1000;
const HELD: u64 = 255;
const LOST: u64 = 745;

/// Runs an object while its reader is stopped, for a process that makes [`CALLS`] calls.
fn run_stopped(object: &std::path::Path, sender: Sender, words: &[&str]) -> Ended {
    let mut sender = sender;
    let mut command = binary::command(["run", "--buffer", "4096"]);
    let running = Running::start(command.arg(object).args(words));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running.stop();
    sender.go();
    sender.end();
    running.send(Signal::INT);
    running.send(Signal::CONT);
    running.end()
}

/// Runs `named`, whose program reserves records of 8 bytes on line 14.
fn run_named(words: &[&str]) -> Ended {
    let sender = Sender::start(CALLS);
    let own = format!("own={}", sender.pid());
    run_stopped(&corpus("events/named"), sender, &[&["--set", &own], words].concat())
}

fn losses_of_a_full_ring_are_counted_by_line(reader: &str) {
    let ended = run_named(&["--reader", reader, "--summary"]);
    assert_eq!(ended.success(), (HELD, LOST));
    let line = "./named.c:14: sends: 745 lost";
    let summary: Vec<_> = ended.stdout.lines().skip_while(|line| !line.starts_with('`')).collect();
    assert_eq!(summary, ["`events`: received 255, lost 745", line, "received 255, lost 745"]);
    for said in [line, "745 refused by a ring, usually for want of room: make it larger with --buffer"] {
        assert!(ended.stderr.lines().any(|line| line == said), "{said}: {ended:?}");
    }
}

fn losses_are_counted_in_json() {
    let ended = run_named(&["--format", "json", "--summary"]);
    let site = json!({
        "function": "sends", "helper": "bpf_ringbuf_reserve", "file": "./named.c", "line": 14, "lost": LOST, "lost_why": null,
        "text": "struct one *e = ringbuf_reserve(&events, sizeof(struct one), 0);",
    });
    let map = json!({
        "map": "events", "kind": "ring", "received": HELD, "lost": LOST, "lost_at_least": null, "lost_why": null,
        "sites": [site],
    });
    let all = json!({
        "received": HELD, "lost": LOST, "lost_at_least": null, "lost_why": null, "unreadable": 0, "maps": [map],
        "unknown_map_sites": [],
    });
    assert_eq!(honest::last(&ended), all);
}

fn losses_without_counting_are_unknown() {
    let ended = run_named(&["--format", "json", "--summary", "--no-count-losses"]);
    let why = "--no-count-losses: the losses of a ring are not counted";
    assert_eq!(ended.stderr.lines().last().unwrap(), format!("received 255, lost unknown ({why})"));
    let map = json!({
        "map": "events", "kind": "ring", "received": HELD, "lost": null, "lost_at_least": null, "lost_why": why, "sites": [],
    });
    let all = json!({
        "received": HELD, "lost": null, "lost_at_least": null, "lost_why": why, "unreadable": 0, "maps": [map],
        "unknown_map_sites": [],
    });
    assert_eq!(honest::last(&ended), all);
}

/// Returns a program that sends 8 bytes to the ring `events` if the process `pid` calls getpgid.
fn sends(
    pid: u32,
    object: &mut ObjectBuilder,
    definition: MapDef,
    before: impl FnOnce(&mut ObjectBuilder, &mut Assembler),
) {
    let events = object.map("events", definition);
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.rsh(R0, 32);
    asm.jump_if(Condition::Ne, R0, i32::try_from(pid).unwrap(), done);
    before(object, &mut asm);
    asm.store(DW, R10, -8, 1);
    asm.load_map(R1, events);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.mov(R3, 8);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_ringbuf_output);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program("tracepoint/syscalls/sys_enter_getpgid", "sends", asm);
}

fn ring_map() -> MapDef {
    MapDef::new(MapType::RINGBUF).max_entries(4096)
}

/// A program can refer to 64 maps (`MAX_USED_MAPS`, `include/linux/bpf_verifier.h`), and the counters are one more.
fn losses_are_unknown_if_the_kernel_refuses_the_counting() {
    let sender = Sender::start(CALLS);
    let file = honest::object(|object| {
        sends(sender.pid(), object, ring_map(), |object, asm| {
            for number in 0..63 {
                let definition = MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1);
                let map = object.map(&format!("map{number}"), definition);
                asm.load_map(R1, map);
            }
        });
    });
    let ended = run_stopped(file.path(), sender, &["--type", "u64", "--summary", "--format", "json"]);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.starts_with("received 255, lost unknown ("), "{last}");
    let map = &honest::last(&ended)["maps"][0];
    // Older verifiers give no reason.
    let why = map["lost_why"].as_str().unwrap();
    assert!(why.contains("the limit of 64") || why.contains("E2BIG"), "{map}");
    assert_eq!((&map["lost"], &map["sites"][0]["lost"]), (&Value::Null, &Value::Null));
    assert_eq!(map["sites"][0]["lost_why"], map["lost_why"]);
}

/// Chance selects the ring, so the map of the call is unknown. Each ring becomes full.
fn total_of_a_call_that_sends_to_two_rings_is_exact() {
    let sender = Sender::start(CALLS);
    let file = honest::object(|object| {
        let rings = ["one", "other"].map(|name| object.map(name, ring_map()));
        let mut asm = Assembler::new();
        let (done, send) = (asm.label("done"), asm.label("send"));
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.rsh(R0, 32);
        asm.jump_if(Condition::Ne, R0, i32::try_from(sender.pid()).unwrap(), done);
        asm.store(DW, R10, -8, 1);
        asm.call(Helper::bpf_get_prandom_u32);
        asm.and(R0, 1);
        asm.load_map(R1, rings[0]);
        asm.jump_if(Condition::Eq, R0, 0, send);
        asm.load_map(R1, rings[1]);
        asm.bind(send);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
        asm.bind(done);
        asm.mov(R0, 0);
        asm.exit();
        object.program("tracepoint/syscalls/sys_enter_getpgid", "sends", asm);
    });
    let words = ["--type", "one=u64", "--type", "other=u64", "--summary", "--format", "json"];
    let ended = run_stopped(file.path(), sender, &words);
    let (received, lost) = (2 * HELD, u64::from(CALLS) - 2 * HELD);
    assert_eq!(ended.success(), (received, lost));
    let hint = format!("{lost} refused by a ring, usually for want of room: make it larger with --buffer");
    assert!(ended.stderr.lines().any(|line| line == hint), "{ended:?}");
    let all = honest::last(&ended);
    assert_eq!((&all["lost"], &all["lost_at_least"], &all["lost_why"]), (&json!(lost), &Value::Null, &Value::Null));
    assert_eq!(all["unknown_map_sites"][0]["lost"], lost);
    let why = format!("{lost} lost by calls whose map is unknown");
    for map in [0, 1].map(|map| &all["maps"][map]) {
        let shown = ["lost", "lost_at_least", "lost_why"].map(|key| map[key].clone());
        assert_eq!(shown, [Value::Null, Value::Null, json!(why)], "{map}");
    }
}

/// Another process may load programs that use the pinned ring, and nothing counts the losses of these.
fn losses_of_a_pinned_ring_are_a_lower_bound() {
    let sender = Sender::start(CALLS);
    let pins = Pins::new("counted");
    let file = honest::object(|object| sends(sender.pid(), object, ring_map().pinned_by_name(), |_, _| {}));
    let words = ["--type", "u64", "--pins", pins.0.to_str().unwrap()];
    let ended = run_stopped(file.path(), sender, &words);
    let expected = "received 255, lost at least 745 (the map is pinned: losses of other programs that use it are not \
                    counted)";
    assert_eq!(ended.stderr.lines().last(), Some(expected), "{ended:?}");
}

/// Runs on CPU 1 and sends to the slot of CPU 0: the kernel refuses the record (EOPNOTSUPP).
fn failures_that_the_kernel_does_not_report_are_counted() {
    let on_the_second = || {
        let mut second = CpuSet::new();
        second.set(1);
        sched_setaffinity(Some(gettid()), &second).unwrap();
        Sender::start(CALLS)
    };
    // The process inherits the CPUs of the thread that starts it.
    let sender = thread::spawn(on_the_second).join().unwrap();
    let file: NamedTempFile = honest::object(|object| {
        let definition = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4);
        let events = object.map("events", definition);
        let mut asm = Assembler::new();
        let done = asm.label("done");
        asm.mov(R6, R1);
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.rsh(R0, 32);
        asm.jump_if(Condition::Ne, R0, i32::try_from(sender.pid()).unwrap(), done);
        asm.store(DW, R10, -8, 1);
        asm.mov(R1, R6);
        asm.load_map(R2, events);
        asm.mov(R3, 0);
        asm.mov(R4, R10);
        asm.add(R4, -8);
        asm.mov(R5, 8);
        asm.call(Helper::bpf_perf_event_output);
        asm.bind(done);
        asm.mov(R0, 0);
        asm.exit();
        object.program("tracepoint/syscalls/sys_enter_getpgid", "sends", asm);
    });
    let ended = run_stopped(file.path(), sender, &["--type", "u64", "--summary", "--format", "json"]);
    assert_eq!(ended.success(), (0, CALLS.into()));
    assert!(!ended.stderr.contains("for want of room"), "the buffers have room: {ended:?}");
    assert_eq!(honest::last(&ended)["maps"][0]["sites"][0]["lost"], CALLS);
}
