//! `trace`, and the system calls of `--explain=json`.

use crate::{
    binary::{Running, command, trace},
    harness::{Test, test},
    requirements::root,
    schema::Schema,
    stdout,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(calls_and_summaries_are_described).needs(root),
        test!(failed_calls_are_described).needs(root),
        test!(system_calls_are_described).needs(root),
    ]
}

fn calls_and_summaries_are_described() {
    let schema = Schema::of("trace");
    for transport in ["perf-stack", "perf-heap"] {
        let lines = stdout(&format!(
            "trace --format json --summary=also --transport {transport} -- getent -s files ahosts 127.0.0.1"
        ));
        // The command prints to the same stdout.
        let lines: String = lines.split_inclusive('\n').filter(|line| line.starts_with('{')).collect();
        let lines = schema.check(&lines, &["event", "summary"]);
        assert_eq!((&lines[0]["ai_addr"], &lines[0]["error"]), (&"127.0.0.1".into(), &serde_json::Value::Null));
    }
}

/// A failed call has neither a result nor its numbers; a long name is cut, and one that is not UTF-8 is replaced.
fn failed_calls_are_described() {
    let script = "getent -s files ahosts $(printf 'a\\377b'); getent -s files ahosts $(printf %0300d 0); true";
    let arguments = ["sh", "-c", script].map(Into::into);
    let ended = Running::start(&mut trace("--format json --summary=also --transport perf-stack", arguments)).end();
    let lines: String = ended.stdout.split_inclusive('\n').filter(|line| line.starts_with('{')).collect();
    let lines = Schema::of("trace").check(&lines, &["event", "summary"]);
    assert!(lines[0]["node"] == "a\u{fffd}b" && lines[0]["error"].is_string(), "{}", lines[0]);
    assert!(lines[0]["ai_family"].is_null() && lines[0]["ai_addr"].is_null(), "{}", lines[0]);
    assert_eq!(lines[1]["cut"][0], "node", "{}", lines[1]);
    assert!(lines.last().unwrap()["errors"][0]["calls"].as_u64() > Some(0), "{lines:?}");
}

fn system_calls_are_described() {
    let ended = Running::start(&mut command(["trace", "--explain=json", "--", "true"])).end();
    let lines: String = ended.stderr.split_inclusive('\n').filter(|line| line.starts_with('{')).collect();
    let lines = Schema::of("explain").check(&lines, &["call"]);
    assert!(lines.len() > 10 && lines.iter().any(|line| line["errno"].is_string()), "{lines:?}");
}
