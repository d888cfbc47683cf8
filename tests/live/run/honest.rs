//! Unknown facts are reported as unknown: losses that are not counted, types that are guessed, slots that another
//! reader holds, functions that are not programs.

use std::{path::Path, thread};

use cutaway_programs::prelude::*;
use rustix::thread::{CpuSet, gettid, sched_setaffinity};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    Ran,
    binary::{self, Ended, Running},
    harness::{Test, test},
    requirements::{ring, root},
    run_own,
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(run_without_losses_says_so).needs(root),
        test!(record_without_wakeup_is_read_in_time).needs(ring),
        test!(cpu_without_a_slot_is_named).needs(root).unless(one_cpu),
        test!(guessed_type_is_called_a_guess).needs(ring),
        test!(guessed_type_is_called_a_guess_in_a_table).needs(ring),
        test!(record_width_is_bounded).needs(ring),
        test!(static_function_is_refused_with_the_reason).needs(root),
        test!(section_option_sets_the_section).needs(ring),
        test!(map_without_a_size_gets_one).needs(root),
        test!(unknown_pinning_mode_is_shown_by_number),
        test!(pid_without_effect_is_refused_or_named).needs(root),
        test!(empty_map_of_rings_is_named).needs(ring),
        test!(type_option_holds_for_longer_records).needs(ring),
        test!(output_to_another_cpus_slot_is_not_counted_by_the_kernel).needs(root),
    ]
}

/// Returns the last line on stdout, which is an object.
pub(crate) fn last(ran: &Ended) -> Value {
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

fn run_without_losses_says_so() {
    for object in ["events/named", "events/heap"] {
        let ran = run_own(object, &["--summary"], 3);
        assert_eq!(ran.ended.stderr.lines().last(), Some("received 3, lost 0"), "{:?}", ran.ended);
        let summary = last(&ran.ended);
        assert_eq!((&summary["lost"], &summary["maps"][0]["lost"]), (&json!(0), &json!(0)), "{summary}");
    }
}

/// Writes an object that `build` fills to a file.
pub(crate) fn object(build: impl FnOnce(&mut ObjectBuilder)) -> NamedTempFile {
    let mut object = ObjectBuilder::new("GPL");
    build(&mut object);
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.write().unwrap()).unwrap();
    file
}

/// Starts a run of this object, and waits until it is attached.
fn started(object: &Path, words: &[&str]) -> Running {
    let mut command = binary::command(["run", "--format", "json"]);
    let running = Running::start(command.arg(object).args(words));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    running
}

const GETPGID: &str = "tracepoint/syscalls/sys_enter_getpgid";

/// Every record is sent with `BPF_RB_NO_WAKEUP`: without polling the ring, none would be read before the end.
fn record_without_wakeup_is_read_in_time() {
    let file = object(|object| {
        let ring = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
        let mut asm = Assembler::new();
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.store(DW, R10, -8, R0);
        asm.load_map(R1, ring);
        asm.mov(R2, R10);
        asm.add(R2, -8);
        asm.mov(R3, 8);
        asm.mov(R4, 1); // BPF_RB_NO_WAKEUP
        asm.call(Helper::bpf_ringbuf_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "quiet", asm);
    });
    let running = started(file.path(), &["--type", "u64"]);
    running.stderr_line("it is reported", |line| line.contains("sends with BPF_RB_NO_WAKEUP, which wakes no reader"));
    for _ in 0..2 {
        let mut sender = Sender::start(1);
        let pid = u64::from(sender.pid());
        sender.go();
        let is_its = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["value"].as_u64().is_some_and(|value| value >> 32 == pid)
        };
        running.stdout_line("the record is read while it runs", is_its);
        sender.end();
    }
}

pub(crate) fn one_cpu() -> Option<String> {
    let online = cutaway::perf_reader::online_cpus().unwrap();
    (!online.starts_with(&[0, 1])).then(|| "needs CPUs 0 and 1".to_owned())
}

/// One slot, for CPU 0: its records are read, and the other CPUs are named.
fn cpu_without_a_slot_is_named() {
    let file = object(|object| {
        let definition = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(1);
        let events = object.map("events", definition);
        let mut asm = Assembler::new();
        asm.mov(R6, R1);
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.store(DW, R10, -8, R0);
        asm.mov(R1, R6);
        asm.load_map(R2, events);
        asm.mov(W3, -1); // BPF_F_CURRENT_CPU
        asm.mov(R4, R10);
        asm.add(R4, -8);
        asm.mov(R5, 8);
        asm.call(Helper::bpf_perf_event_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "sends", asm);
    });
    let running = started(file.path(), &["--type", "u64", "--no-count-losses"]);
    running.stderr_line("it is reported", |line| line.contains("the map has no slot for CPU 1"));
    running.stderr_line("and what to do", |line| {
        line.starts_with("`events`: give each CPU a slot with --max-entries 'events=")
    });
    // A separate thread, because it stays on that CPU.
    let on_the_first = || {
        let mut first = CpuSet::new();
        first.set(0);
        sched_setaffinity(Some(gettid()), &first).unwrap();
        rustix::process::getpgid(None).unwrap();
    };
    thread::spawn(on_the_first).join().unwrap();
    let line = running.stdout_line("a record of CPU 0", |line| !line.is_empty());
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["cpu"], 0);
    running.send(rustix::process::Signal::INT);
    let ended = running.end();
    let reported = ended.stderr.lines().last().unwrap();
    assert!(reported.contains(", lost unknown (records of CPUs without a slot are not counted)"), "{ended:?}");
    assert_eq!(ended.stderr.matches("no slot for CPU").count(), 1, "{ended:?}");
}

fn of_map<'l>(lines: &'l [Value], map: &str) -> &'l Value {
    lines.iter().find(|line| line["map"] == map).unwrap_or_else(|| panic!("{map}: {lines:?}"))
}

fn guessed_type_is_called_a_guess() {
    let ran = run_own("events/guesses", &[], 1);
    let lines = ran.lines();
    // The key of another map is not a candidate.
    let line = of_map(&lines, "plain");
    assert_eq!((&line["type"], &line["type_is"], &line["hex"]), (&Value::Null, &Value::Null, &json!("2a000000")));
    // Nor is one of the kernel's types; a guess is left.
    let line = of_map(&lines, "guessed");
    assert_eq!((&line["type"], &line["type_is"]), (&json!("struct pair"), &json!("guess")));
    assert_eq!(line["value"], json!({ "first": 1, "second": 2 }));
    // A global pointer is the author's declaration.
    let line = of_map(&lines, "declared");
    assert_eq!((&line["type"], &line["type_is"]), (&json!("struct report"), &json!("declared")));
    let said = |part: &str| assert!(ran.ended.stderr.contains(part), "{}", ran.ended.stderr);
    said("records of 16 bytes are struct pair, a guess by their size; set it with --type 'guessed=TYPE'");
    said("records of 24 bytes are struct report\n");
}

fn guessed_type_is_called_a_guess_in_a_table() {
    let ran = run_own("events/guesses", &["--format", "table"], 1);
    let said = |part: &str| assert!(ran.ended.stdout.contains(part), "{}", ran.ended.stdout);
    said("guessed  struct pair (a guess) {first: 1, second: 2}");
    said("declared  struct report {a: 3, b: 4, c: 5}");
    // As columns, with the heading above.
    let file = object(|object| {
        object.describe::<Pair>();
        let ring = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
        let mut asm = Assembler::new();
        asm.store(DW, R10, -16, 1);
        asm.store(DW, R10, -8, 2);
        asm.load_map(R1, ring);
        asm.mov(R2, R10);
        asm.add(R2, -16);
        asm.mov(R3, 16);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "sends", asm);
    });
    let mut command = binary::command(["run", "--count", "1"]);
    let running = Running::start(command.arg(file.path()));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    rustix::process::getpgid(None).unwrap();
    let ended = running.end();
    assert!(ended.stdout.lines().next().unwrap().ends_with("(struct Pair: a guess)"), "{ended:?}");
}

#[repr(C)]
struct Pair {
    first: u64,
    second: u64,
}
cutaway_programs::describe!(Pair { first, second });

/// 2^24 members of size 0: read up to a limit, and the rest is reported as omitted.
fn record_width_is_bounded() {
    let ran = run_own("events/wide", &[], 2);
    let lines = ran.lines();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((&line["omitted"], &line["value"]["first"]), (&json!(true), &json!(1)));
        assert!(line.to_string().len() < 64 << 10);
    }
    // The limit applies to that record only: other records have all their members.
    let ran = run_own("events/named", &[], 1);
    assert_eq!(ran.lines()[0]["omitted"], false);
}

fn run(object: &str, words: &[&str]) -> Ended {
    Running::start(binary::command(["run"]).arg(crate::corpus(object)).args(words)).end()
}

fn static_function_is_refused_with_the_reason() {
    let why = "it is static, and programs must be global: drop `static`";
    let ended = run("events/kindless", &["--program", "hidden"]);
    assert!(ended.complaint().contains(why), "{ended:?}");
    let ended = run("events/kindless", &["--section", "hidden=xdp"]);
    assert!(ended.complaint().contains(why), "{ended:?}");
    let ended = run("events/kindless", &[]);
    assert!(ended.stderr.contains("skipped `hidden`: it is static, and programs must be global"), "{ended:?}");
    let advice = "or set the type with --section 'NAME=SECTION'";
    assert!(ended.stderr.contains("skipped `named`: section `probes`") && ended.stderr.contains(advice), "{ended:?}");
    assert!(!ended.stderr.contains('?'), "no section begins with it: {ended:?}");
}

fn section_option_sets_the_section() {
    let ended = run("events/kindless", &["--program", "named"]);
    let complaint = ended.complaint();
    assert!(
        complaint.contains("its section `probes` names no program type")
            && complaint.contains("--section 'named=SECTION'"),
        "{complaint}"
    );
    let ended = run("events/kindless", &["--section", "named=nonsense/x"]);
    assert!(ended.complaint().contains("section `nonsense/x`"), "{ended:?}");
    let ended = run("events/kindless", &["--section", "absent=xdp"]);
    assert!(ended.complaint().contains("no function `absent`"), "{ended:?}");
    let section = format!("named={GETPGID}");
    let ran: Ran = run_own("events/kindless", &["--section", &section], 2);
    assert_eq!(ran.values(), vec![("events".to_owned(), json!({ "who": 5 })); 2]);
}

fn map_without_a_size_gets_one() {
    let file = object(|object| {
        let table = object.map("table", MapDef::new(MapType::HASH).key::<u32>().value::<u64>().max_entries(0));
        let mut asm = Assembler::new();
        asm.load_map(R1, table);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "uses", asm);
    });
    let ended = Running::start(binary::command(["run"]).arg(file.path())).end();
    let complaint = ended.complaint();
    assert!(
        complaint.contains("cannot create the map `table`: max_entries is 0")
            && complaint.contains("--max-entries 'table=N'"),
        "{complaint}"
    );
    let sized = |words| Running::start(binary::command(["run", "--max-entries", words]).arg(file.path())).end();
    assert!(sized("absent=1").complaint().contains("no map `absent`"));
    for words in ["table=0", "table=x", "table=4294967296", "table=-1", "table=", "table", "=1"] {
        let ended = sized(words);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{words}: {ended:?}");
    }
    let words = ["run", "--max-entries", "table=8", "--duration", "0.1"];
    let ended = Running::start(binary::command(words).arg(file.path())).end();
    assert!(ended.status.success(), "{ended:?}");
}

/// The map of maps contains no ring, so there is no buffer to read.
fn empty_map_of_rings_is_named() {
    let file = object(|object| {
        let ring = MapDef::new(MapType::RINGBUF).max_entries(4096);
        let definition = MapDef::new(MapType::HASH_OF_MAPS).key::<u32>().value_size(4).max_entries(2).holding(ring);
        let rings = object.map("rings", definition);
        let mut asm = Assembler::new();
        asm.load_map(R1, rings);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "uses", asm);
    });
    let ended = Running::start(binary::command(["run", "--duration", "0.1"]).arg(file.path())).end();
    assert!(ended.stderr.contains("`rings`: user space must add the buffers to this map"), "{ended:?}");
}

/// The array type whose length is the number, in BTF: no name, `BTF_KIND_ARRAY`, no size, two types, and the length.
fn unknown_pinning_mode_is_shown_by_number() {
    let mut bytes = std::fs::read(crate::corpus("events/pins")).unwrap();
    let is_one = |words: &[u8]| words[..12] == [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0] && words[20..24] == [1, 0, 0, 0];
    let windows: Vec<usize> = (0..bytes.len() - 24).filter(|&at| is_one(&bytes[at..at + 24])).collect();
    let [at] = windows[..] else { panic!("{windows:?}") };
    bytes[at + 20] = 7;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let ended = Running::start(binary::command(["run"]).arg(file.path())).end();
    assert!(ended.complaint().contains("the map `kept` asks for pinning 7"), "{ended:?}");
}

/// Only probes, perf events and iterators over tasks can be restricted to a process.
fn pid_without_effect_is_refused_or_named() {
    let own = std::process::id().to_string();
    let run = |words: &[&str]| run("kinds/sections", &[&["--pid", &own], words].concat());
    let ended = run(&["--program", "tracepoint", "--program", "raw_tp"]);
    let complaint = ended.complaint();
    let none =
        format!("--pid {own} restricts no program of the object: the kernel attaches programs such as `tracepoint`");
    assert!(complaint.contains(&none) && ended.status.code() == Some(1), "{complaint}");
    let ended = run(&["--program", "tracepoint", "--program", "perf_event", "--duration", "0.1"]);
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("--pid does not restrict `tracepoint`:"), "{ended:?}");
    let ended = run(&["--program", "perf_event", "--duration", "0.1"]);
    assert!(ended.status.success() && !ended.stderr.contains("--pid"), "{ended:?}");
}

/// `--type` applies to a longer record if the type ends with a flexible array.
fn type_option_holds_for_longer_records() {
    let ran = run_own("events/flexible", &[], 1);
    let lines = ran.lines();
    let reported: Vec<_> = lines.iter().map(|line| (line["type"].as_str(), line["type_is"].as_str())).collect();
    let (list, exact) = ((Some("struct list"), Some("declared")), (Some("struct exact"), Some("declared")));
    assert!(reported.contains(&exact) && reported.iter().all(|one| *one == list || *one == exact), "{reported:?}");
    // There is no order between two rings, and the other one has a record of this type too.
    let lines: Vec<_> = lines.iter().filter(|line| line["map"] == "declared").collect();
    assert_eq!(lines[0]["value"], json!({ "kind": 1, "padding": [], "flags": 2, "count": 2, "each": [4, 5] }));
    assert_eq!(lines[1]["value"]["each"], json!([]));
    let said = |part: &str| assert!(ran.ended.stderr.contains(part), "{}", ran.ended.stderr);
    said("`declared` (ring, 65536 bytes): records of 12, 20 bytes are struct list\n");
    said("\n`sized`: records of 24 bytes are struct exact\n");
}

/// Sends to slot 0 from any CPU: the kernel refuses it on other CPUs, and does not count it.
fn output_to_another_cpus_slot_is_not_counted_by_the_kernel() {
    let file = object(|object| {
        let definition = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4);
        let events = object.map("events", definition);
        let mut asm = Assembler::new();
        asm.store(DW, R10, -8, 1);
        asm.load_map(R2, events);
        asm.mov(R3, 0);
        asm.mov(R4, R10);
        asm.add(R4, -8);
        asm.mov(R5, 8);
        asm.call(Helper::bpf_perf_event_output);
        asm.mov(R0, 0);
        asm.exit();
        object.program(GETPGID, "sends", asm);
    });
    let running = started(file.path(), &["--type", "u64", "--summary", "--no-count-losses"]);
    running
        .stderr_line("it is reported", |line| line.starts_with("`events`: a program sends to slot 0 from every CPU"));
    running.send(rustix::process::Signal::INT);
    let ended = running.end();
    let summary = last(&ended);
    assert_eq!((&summary["lost"], &summary["maps"][0]["lost"]), (&Value::Null, &Value::Null), "{summary}");
    assert!(
        ended.stderr.lines().last().unwrap().contains("lost unknown (records sent to another CPU's slot"),
        "{ended:?}"
    );
}
