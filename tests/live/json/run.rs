//! `run`: records, and what its options add to them.

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    binary::{Running, command},
    corpus,
    harness::{Test, test},
    requirements::{ring, root},
    schema::Schema,
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(records_of_both_buffers_are_described).needs(ring).since(5, 12, "instructions that fetch and add"),
        test!(record_of_an_unknown_type_is_described).needs(root),
        test!(variables_and_elements_are_described).needs(root),
        test!(every_kind_of_map_is_described).needs(root).since(5, 16, "Bloom filters"),
        test!(texts_are_described).needs(root).since(5, 9, "the trace event of bpf_trace_printk"),
        test!(lines_of_iterators_are_described).needs(root).since(5, 8, "iterators"),
        test!(summary_of_losses_is_described).needs(ring),
        test!(summary_without_a_buffer_is_described).needs(root),
    ]
}

/// Runs an object for a process that makes this many calls, until a line of stdout contains `last`, if it is not empty.
/// Checks the lines.
fn check(object: &str, words: &str, calls: u32, last: &str, expected: &[&str]) -> Vec<Value> {
    let mut sender = Sender::start(calls);
    let own = format!("own={}", sender.pid());
    let mut run = command(["run", "--format", "json", "--set", &own]);
    let running = Running::start(run.arg(corpus(object)).args(words.split_whitespace()));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    sender.go();
    sender.end();
    if !last.is_empty() {
        running.stdout_line(last, |line| line.contains(last));
    }
    running.send(Signal::INT);
    let ended = running.end();
    Schema::of("run").check(&ended.stdout, expected)
}

fn records_of_both_buffers_are_described() {
    let lines = check("events/both", "--timestamps --summary", 3, "", &["record", "summary"]);
    let of = |is_perf: bool| lines.iter().find(|line| line.get("type").is_some() && line["cpu"].is_u64() == is_perf);
    let (perf, ring) = (of(true).expect("a perf record"), of(false).expect("a ring's record"));
    assert_eq!((&perf["time_is"], &ring["time_is"]), (&"stored".into(), &"received".into()));
    assert!(perf["time_ns"].is_u64() && ring["time_ns"].is_null());
}

fn record_of_an_unknown_type_is_described() {
    let lines = check("kinds/legacy_no_btf", "", 2, "", &["record"]);
    assert!(lines[0]["type"].is_null() && lines[0]["value"].is_null() && lines[0]["hex"].is_string(), "{}", lines[0]);
}

fn variables_and_elements_are_described() {
    check("events/tables", "--variables --maps", 2, "", &["variable", "element", "per_cpu_element"]);
}

fn every_kind_of_map_is_described() {
    let forms = ["element", "per_cpu_element", "stack", "not_shown", "maps_at"];
    let lines = check("events/kinds", "--maps --interval 0.05", 2, "maps_at", &forms);
    assert!(lines.iter().any(|line| line["next_only"] == true), "the next value of a queue");
}

fn texts_are_described() {
    let lines = check("events/prints", "--timestamps", 2, "", &["print"]);
    assert!(lines.iter().any(|line| line["tid"].is_u64()), "{lines:?}");
}

fn lines_of_iterators_are_described() {
    let mut object = cutaway_programs::ObjectBuilder::new("GPL");
    iterator(&mut object);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.write().unwrap()).unwrap();
    let ended = Running::start(command(["run", "--format", "json"]).arg(file.path())).end();
    let lines = Schema::of("run").check(&ended.stdout, &["iterator"]);
    assert_eq!(lines[0]["line"], "task");
}

/// Adds a program that writes a line for each task.
fn iterator(object: &mut cutaway_programs::ObjectBuilder) {
    use cutaway_programs::prelude::*;
    let mut asm = Assembler::new();
    asm.load(DW, R1, R1, 0); // struct bpf_iter_meta
    asm.load(DW, R1, R1, 0); // struct seq_file
    asm.load_imm64(R2, u64::from_le_bytes(*b"task\n\0\0\0"));
    asm.store(DW, R10, -8, R2);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.mov(R3, 5);
    asm.call(Helper::bpf_seq_write);
    asm.mov(R0, 0);
    asm.exit();
    object.program("iter/task", "tasks", asm);
}

/// Losses have a line of the source, whether or not there are any.
fn summary_of_losses_is_described() {
    let lines = check("events/named", "--summary --filter first>=0", 1_000, "", &["summary"]);
    let summary = lines.last().unwrap();
    assert!(summary["printed"].is_u64() && summary["maps"][0]["sites"][0]["helper"].is_string(), "{summary}");
    let lines = check("events/named", "--summary --no-count-losses", 1, "", &["summary"]);
    let summary = lines.last().unwrap();
    assert!(summary["lost"].is_null() && summary["lost_why"].is_string(), "{summary}");
}

fn summary_without_a_buffer_is_described() {
    let lines = check("events/tables", "--summary", 1, "", &["summary"]);
    assert!(lines.last().unwrap()["lost"].is_null(), "{lines:?}");
}
