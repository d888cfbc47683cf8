//! `--record`, and the replay of what was recorded.

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    binary::{self, Ended, Running},
    decoded::no_atomics,
    harness::{Test, test},
    requirements::ring,
    run_own,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(recording_is_replayed_as_it_was_printed).needs(ring).unless(no_atomics),
        test!(replay_filters_and_decodes_anew).needs(ring).unless(no_atomics),
        test!(only_selected_records_are_recorded).needs(ring).unless(no_atomics),
        test!(many_records_take_few_bytes).needs(ring),
    ]
}

fn replay(path: &str, words: &[&str]) -> Ended {
    let ended = Running::start(binary::command(["replay", path]).args(words)).end();
    assert!(ended.status.success(), "{words:?}: {ended:?}");
    ended
}

/// Runs an object and records it. Returns what was printed, and the path of the recording.
fn recorded(folder: &TempDir, object: &str, words: &[&str], calls: u32) -> (Ended, String) {
    let path = folder.path().join("run.rec").to_str().unwrap().to_owned();
    let ran = run_own(object, &[words, &["--record", &path]].concat(), calls);
    assert!(ran.ended.status.success(), "{:?}", ran.ended);
    (ran.ended, path)
}

fn recording_is_replayed_as_it_was_printed() {
    for (object, words) in [
        ("events/both", &["--format", "json"][..]),
        ("events/both", &["--format", "json", "--timestamps"]),
        ("events/both", &["--format", "table", "--timestamps"]),
        ("events/both", &["--format", "hex"]),
        ("events/nested", &["--format", "table"]),
        ("events/floats", &["--format", "json"]),
        ("events/integers", &["--format", "json", "--type", "struct integers"]),
    ] {
        let folder = TempDir::new().unwrap();
        let (live, path) = recorded(&folder, object, words, 5);
        assert!(!live.stdout.is_empty());
        let again = replay(&path, words);
        assert_eq!(again.stdout, live.stdout, "{object} {words:?}");
    }
    // Lines that are no records are in the recording, in the format in which they were printed.
    let folder = TempDir::new().unwrap();
    let words = ["--format", "json", "--maps", "--variables", "--summary"];
    let (live, path) = recorded(&folder, "events/both", &words, 5);
    assert_eq!(replay(&path, &["--format", "json"]).stdout, live.stdout);
    let table = replay(&path, &[]);
    assert!(table.stderr.contains("the recording has the form of --format json"), "{}", table.stderr);
    // An object without a buffer prints texts, or has maps alone.
    let folder = TempDir::new().unwrap();
    let (live, path) = recorded(&folder, "events/prints", &["--format", "json", "--maps"], 3);
    assert_eq!(replay(&path, &["--format", "json"]).stdout, live.stdout);
}

fn replay_filters_and_decodes_anew() {
    let folder = TempDir::new().unwrap();
    let (_, path) = recorded(&folder, "events/both", &[], 5);
    let all = replay(&path, &["--format", "json"]);
    let some = replay(&path, &["--format", "json", "--filter", "number >= 3"]);
    let numbers = |ended: &Ended| -> Vec<u64> {
        let value = |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"]["number"].as_u64().unwrap();
        ended.stdout.lines().map(value).collect()
    };
    let expected: Vec<_> = numbers(&all).into_iter().filter(|number| *number >= 3).collect();
    assert_eq!((numbers(&some), expected.len()), (expected, 4));
    assert!(some.stderr.contains("printed 4 of 10 records\n"), "{}", some.stderr);
    let other = replay(&path, &["--format", "json", "--type", "events=struct sample"]);
    assert!(other.stdout.contains("\"type\":\"struct sample\",\"type_is\":\"given\""), "{}", other.stdout);
    assert_eq!(replay(&path, &["--count", "3", "--format", "hex"]).stdout.lines().count(), 3);
    let refused = Running::start(&mut binary::command(["replay", &path, "--host", "x"])).end();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

fn only_selected_records_are_recorded() {
    let folder = TempDir::new().unwrap();
    let (live, path) = recorded(&folder, "events/both", &["--format", "json", "--filter", "number >= 3"], 5);
    let again = replay(&path, &["--format", "json"]);
    assert_eq!((&again.stdout, again.stdout.lines().count()), (&live.stdout, 4));
}

fn many_records_take_few_bytes() {
    const CALLS: u32 = 20_000;
    let folder = TempDir::new().unwrap();
    let (live, path) = recorded(&folder, "events/integers", &["--format", "json", "--buffer", "16M"], CALLS);
    assert_eq!(live.stdout.lines().count(), CALLS as usize);
    assert_eq!(replay(&path, &["--format", "json"]).stdout, live.stdout);
    let bytes = std::fs::metadata(&path).unwrap().len();
    // Its records are equal.
    assert!(bytes / u64::from(CALLS) < 4, "{bytes} bytes");
}
