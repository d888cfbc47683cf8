//! The objects of `tests/corpus/kinds`: other compilers, older ones, without BTF, linked; what they send is known.

use libtest_mimic::Trial;
use serde_json::json;

use crate::{requirements::Needs, run, run_own, trial};

/// What the parts of `code.h` add up to, a digit each.
const SUM: u64 = 1_234_567_890;

pub(crate) fn trials() -> Vec<Trial> {
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
    let mut trials: Vec<_> = sums
        .into_iter()
        .map(|(name, sum)| trial(format!("kinds_{name}"), Needs::Ring, move || same(name, sum)))
        .collect();
    trials.extend(["legacy", "legacy_no_btf", "legacy_stripped"].map(|name| {
        trial(format!("kinds_{name}"), Needs::Root, move || {
            let ran = run_own(&format!("kinds/{name}"), &["--type", "u64", "--set", "step=7"], 4);
            let expected = [7, 14, 21, 28].map(|value| ("events".to_owned(), json!(value)));
            // One CPU after the other, if the process moves between them.
            let mut values = ran.values();
            values.sort_by_key(|(_, value)| value.as_u64());
            assert_eq!(values, expected);
        })
    }));
    trials.extend(["uses", "uses_old"].map(|name| {
        trial(format!("kinds_{name}"), Needs::Ring, move || {
            let ran = run_own(&format!("kinds/{name}"), &["--program", "uses", "--program", "tail"], 1);
            // Each bit is a map that works: 0x7ff and 49, as a structure that the object does not describe. Before that comes
            // what the other program sends while the first one has not run yet.
            let works = "ff070000000000003100000000000000";
            let lines = ran.lines();
            assert!(lines.iter().any(|line| line["hex"] == works), "{lines:?}");
        })
    }));
    trials.extend(
        ["getaddrinfo_stack", "getaddrinfo_heap"]
            .map(|name| trial(format!("kinds_{name}"), Needs::Root, move || resolves(name))),
    );
    trials.extend(
        ["getaddrinfo_ring", "getaddrinfo_ring_old", "getaddrinfo_ring_stripped"]
            .map(|name| trial(format!("kinds_{name}"), Needs::Ring, move || resolves(name))),
    );
    trials.extend([
        trial("kinds_one_ring", Needs::Ring, one_ring),
        trial("kinds_pinned_is_not_pinned_unasked", Needs::Ring, pinned),
    ]);
    trials
}

/// A program on every system call, which always sends the same.
fn same(name: &str, sum: u64) {
    let ran = run_own(&format!("kinds/{name}"), &["--type", "events=u64"], 20);
    let values = ran.values();
    assert!(values.len() >= 20, "{values:?}");
    assert!(values.iter().all(|(_, value)| *value == json!(sum)), "{values:?}");
}

fn one_ring() {
    let ran = run_own("kinds/one_ring", &["--type", "u64", "--maps"], 10);
    let times: Vec<_> = ran.values().iter().map(|(_, value)| value.as_u64().unwrap()).collect();
    assert_eq!(times.len(), 10);
    assert!(times.is_sorted());
    assert_eq!(ran.lines().last(), Some(&json!({ "map": "calls", "key": 0, "value": 10 })));
}

fn pinned() {
    let ran = run_own("kinds/pinned", &["--type", "u64", "--set", "step=3"], 3);
    let expected = [3, 6, 9].map(|value| ("events".to_owned(), json!(value)));
    assert_eq!(ran.values(), expected);
    assert!(!std::path::Path::new("/sys/fs/bpf/total").exists(), "whoever looks at an object leaves nothing behind");
}

/// What `getaddrinfo` answers in the sender, where the probes are.
fn resolves(name: &str) {
    // Others look up names, too.
    let ran = run(&format!("kinds/{name}"), 0);
    let lines = ran.lines();
    assert!(!lines.is_empty());
    for line in &lines {
        // `struct event` has 96 bytes, and the one of the heap is described.
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
            assert_eq!((&line["type"], &line["value"]["answer"]), (&json!("struct event"), &json!(0)));
        }
    }
}
