//! Types of records that are found without `--type`, in the loaded programs of another process.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    binary::Running,
    harness::{Test, test},
    lost::{corpus, own, stopped},
    peek,
    perf::no_borrowing,
    requirements::{ring, root},
    sender::Sender,
    snapshots,
    terminal::Terminal,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(type_that_the_line_of_source_names_is_found).needs(ring).unless(no_symbols),
        test!(types_of_several_rings_are_found_as_by_run).needs(ring),
        test!(types_of_several_lengths_are_found).needs(ring),
        test!(type_of_samples_is_found).needs(root).unless(no_borrowing),
    ]
}

/// Returns the reason why sizes cannot be read from loaded programs; `None` if they can.
fn no_symbols() -> Option<String> {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let is_shown = |line: &str| line.ends_with(" bpf_ringbuf_reserve") && !line.starts_with("0000000000000000");
    (!symbols.lines().any(is_shown)).then(|| "needs the addresses in /proc/kallsyms (kernel.kptr_restrict)".to_owned())
}

/// Starts an object by `cutaway run`, stops its reader, and makes the object send for one call.
fn sent(object: &Path) -> Running {
    let mut sender = Sender::start(1);
    let running = stopped(object, &["--set", &own(&sender)]);
    sender.go();
    sender.end();
    running
}

/// Returns the first record of the ring with this name that the process holds.
fn first(running: &Running, name: &str) -> Value {
    records(running, name).remove(0)
}

fn records(running: &Running, name: &str) -> Vec<Value> {
    let is_held = |row: &Value| row["owners"].as_array().unwrap().iter().any(|owner| owner["pid"] == running.pid());
    let rows = snapshots("");
    let row = rows.iter().find(|row| row["name"] == name && is_held(row)).expect("a ring");
    let snapshot = snapshots(&format!("--id {}", row["id"])).remove(0);
    snapshot["records"].as_array().unwrap().clone()
}

/// Two types have the size of the record, so it is found by the instruction that reserves it, and by its line.
fn type_that_the_line_of_source_names_is_found() {
    let running = sent(&corpus("events/named"));
    let record = first(&running, "events");
    assert_eq!((&record["type"], &record["type_is"]), (&json!("struct one"), &json!("named")), "{record}");
    assert_eq!(record["value"], json!({"first": 1, "second": 2}));
    assert_eq!(record["payload"], "0100000002000000", "the bytes are there too");
    let words = format!("--pid {}", running.pid());
    let text = peek(&words).stdout;
    assert!(text.contains("committed  struct one {first: 1, second: 2}"), "{text}");
    // --type decides.
    let text = peek(&format!("{words} --type other")).stdout;
    assert!(text.contains("committed  {only: 8589934593}"), "{text}");
    let mut terminal = Terminal::start(&words, 100, 40);
    terminal.shows("struct one {first: 1, second: 2}");
    terminal.key("x");
    terminal.shows("01000000 02000000");
    terminal.key("q");
    terminal.ends();
}

fn types_of_several_rings_are_found_as_by_run() {
    let running = sent(&corpus("events/guesses"));
    let guessed = first(&running, "guessed");
    assert_eq!((&guessed["type"], &guessed["type_is"]), (&json!("struct pair"), &json!("guess")), "{guessed}");
    assert_eq!(guessed["value"], json!({"first": 1, "second": 2}));
    let declared = first(&running, "declared");
    assert_eq!((&declared["type"], &declared["type_is"]), (&json!("struct report"), &json!("declared")), "{declared}");
    // The size of a map's key, which no record is.
    let plain = first(&running, "plain");
    assert_eq!([&plain["type"], &plain["value"]], [&Value::Null; 2], "{plain}");
    assert_eq!(plain["payload"], "2a000000");
    let rows = snapshots("");
    let is_mine = |row: &&Value| row["name"] == "guessed" && row["owners"][0]["pid"] == running.pid();
    let id = &rows.iter().find(is_mine).unwrap()["id"];
    let text = peek(&format!("--id {id}")).stdout;
    assert!(text.contains("committed  struct pair (a guess) {first: 1, second: 2}"), "{text}");
}

fn types_of_several_lengths_are_found() {
    let running = sent(&corpus("events/lengths"));
    let types: Vec<_> = records(&running, "events").iter().map(|record| record["type"].clone()).collect();
    assert_eq!(types, [json!("struct started"), json!("struct ended"), json!("struct message")]);
}

/// The samples of a perf buffer are padded.
fn type_of_samples_is_found() {
    let running = sent(&corpus("events/heap"));
    let words = format!("--pid {}", running.pid());
    let snapshots = snapshots(&words);
    let samples: Vec<&Value> = snapshots.iter().flat_map(|buffer| buffer["records"].as_array().unwrap()).collect();
    assert_eq!(samples.len(), 1, "{samples:?}");
    assert_eq!(samples[0]["type"], "struct large", "{}", samples[0]);
    assert_eq!((&samples[0]["value"]["length"], &samples[0]["value"]["end"]), (&json!(599), &json!(42)));
    let text = peek(&words).stdout;
    assert!(text.contains("struct large"), "{text}");
}
