//! The objects of `tests/corpus/kinds`: from other compilers and older ones, without BTF, linked. Their records are
//! known.

use serde_json::json;

use crate::{
    harness::{Test, test},
    requirements::{ring, root},
    run, run_own,
};

/// The sum of the parts of `code.h`, a digit each.
const SUM: u64 = 1_234_567_890;

pub(crate) fn tests() -> Vec<Test> {
    let sums = [
        ("code", SUM),
        ("code_v1", SUM),
        ("code_v2", SUM),
        ("code_old", SUM),
        ("code_O1", SUM),
        ("code_stripped", SUM),
        ("code_linked", SUM),
        ("halves", 1041),
    ];
    let named = |name: &'static str| (name, name);
    let legacy = ["legacy", "legacy_no_btf", "legacy_stripped"].map(named);
    let uses = ["uses", "uses_old"].map(named);
    let perf = ["getaddrinfo_stack", "getaddrinfo_heap"].map(named);
    let rings = ["getaddrinfo_ring", "getaddrinfo_ring_old", "getaddrinfo_ring_stripped"].map(named);
    let mut tests: Vec<_> =
        test!(code_sends_its_sum, sums.map(|(name, sum)| (name, (name, sum))), |_| ring()).collect();
    tests.extend(test!(legacy_maps_send, legacy, |_| root()));
    tests.extend(test!(maps_work_for_programs, uses, |_| ring()));
    tests.extend(test!(getaddrinfo_is_printed, perf, |_| root()));
    tests.extend(test!(getaddrinfo_is_printed, rings, |_| ring()));
    tests.extend([test!(one_ring_is_counted).needs(ring), test!(maps_are_not_pinned_unless_asked).needs(ring)]);
    tests
}

fn legacy_maps_send(name: &str) {
    let ran = run_own(&format!("kinds/{name}"), &["--type", "u64", "--set", "step=7"], 4);
    let expected = [7, 14, 21, 28].map(|value| ("events".to_owned(), json!(value)));
    // In order for each CPU, if the process moves between them.
    let mut values = ran.values();
    values.sort_by_key(|(_, value)| value.as_u64());
    assert_eq!(values, expected);
}

fn maps_work_for_programs(name: &str) {
    let ran = run_own(&format!("kinds/{name}"), &["--program", "uses", "--program", "tail"], 1);
    // Each bit is a map that works: 0x7ff and 49, as a structure that the object does not describe. Before it come the
    // records that the other program sends until the first one has run.
    let works = "ff070000000000003100000000000000";
    let lines = ran.lines();
    assert!(lines.iter().any(|line| line["hex"] == works), "{lines:?}");
}

/// A program on every system call, which always sends the same.
fn code_sends_its_sum((name, sum): (&str, u64)) {
    let ran = run_own(&format!("kinds/{name}"), &["--type", "events=u64"], 20);
    let values = ran.values();
    assert!(values.len() >= 20, "{values:?}");
    assert!(values.iter().all(|(_, value)| *value == json!(sum)), "{values:?}");
}

fn one_ring_is_counted() {
    let ran = run_own("kinds/one_ring", &["--type", "u64", "--maps"], 10);
    let times: Vec<_> = ran.values().iter().map(|(_, value)| value.as_u64().unwrap()).collect();
    assert_eq!(times.len(), 10);
    assert!(times.is_sorted());
    assert_eq!(ran.lines().last(), Some(&json!({ "map": "calls", "key": 0, "value": 10 })));
}

fn maps_are_not_pinned_unless_asked() {
    let ran = run_own("kinds/pinned", &["--type", "u64", "--set", "step=3"], 3);
    let expected = [3, 6, 9].map(|value| ("events".to_owned(), json!(value)));
    assert_eq!(ran.values(), expected);
    assert!(!std::path::Path::new("/sys/fs/bpf/total").exists(), "a run pins nothing unless asked");
}

/// The result of `getaddrinfo` in the sender, which has the probes.
fn getaddrinfo_is_printed(name: &str) {
    // Other processes look up names too.
    let ran = run(&format!("kinds/{name}"), 0);
    let lines = ran.lines();
    assert!(!lines.is_empty());
    for line in &lines {
        // `struct event` has 96 bytes, and the event from the heap is described.
        let hex = line["hex"].as_str();
        let pid = match (&line["value"], hex) {
            (value, None) => value["pid"].as_u64().unwrap(),
            (_, Some(hex)) => {
                let digits: Vec<_> = hex.as_bytes()[16..24].chunks(2).rev().flatten().copied().collect();
                u64::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
        };
        assert_eq!(pid, u64::from(ran.pid), "{line}");
        if hex.is_none() {
            assert_eq!(line["type"], "struct event");
            // The programs are compiled for x86-64. Its register of the return value is another one elsewhere.
            assert!(line["value"]["answer"] == 0 || cfg!(not(target_arch = "x86_64")), "{line}");
        }
    }
}
