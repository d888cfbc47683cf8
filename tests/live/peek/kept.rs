//! Recordings: the options that apply to them, and files that are hostile or not recordings. The names of processes can
//! contain any bytes too.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Test, test},
    owner::Owner,
    peek,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(replay_obeys_records_and_type).needs(ring),
        test!(recording_is_read_as_bytes),
        test!(controls_in_names_are_escaped_in_text_and_json),
        test!(endless_recording_is_refused),
        test!(process_of_any_name_is_shown_with_its_state).needs(ring),
    ]
}

/// Writes a file with one snapshot of a ring of this name, which contains three records of 8 bytes.
fn kept(folder: &TempDir, name: &[u8]) -> PathBuf {
    let record = |number: u64| {
        let payload = format!("0{number}00000000000000");
        let at = number * 16;
        json!({ "position": at, "offset": at, "size": 8, "state": "committed", "payload": payload })
    };
    let snapshot = json!({
        "time_ns": 1, "id": 7, "name": "NAME", "mode": "ring", "bytes": 4096, "consumer_pos": 0, "producer_pos": 48,
        "pending_pos": 0, "overwrite_pos": 0, "fill_bytes": 48, "committed": 3, "busy": 0, "discarded": 0,
        "released_meanwhile": 0, "records": [record(0), record(1), record(2)],
    });
    let text = snapshot.to_string();
    let (before, behind) = text.split_once("NAME").unwrap();
    let path = folder.path().join("snapshots.jsonl");
    fs::write(&path, [before.as_bytes(), name, behind.as_bytes(), b"\n"].concat()).unwrap();
    path
}

fn replay_obeys_records_and_type() {
    let folder = TempDir::new().unwrap();
    let path = kept(&folder, b"events");
    let path = path.display();
    let text = peek(&format!("--from {path}")).stdout;
    assert!(text.contains("00000000 00000000") && text.contains("02000000"), "{text}");
    let text = peek(&format!("--from {path} --records 1")).stdout;
    assert!(!text.contains("02000000") && text.contains("2 more; --records 3"), "{text}");
    let json = peek(&format!("--from {path} --records 1 --format json")).stdout;
    let snapshot: Value = serde_json::from_str(&json).unwrap();
    let payloads: Vec<_> =
        snapshot["records"].as_array().unwrap().iter().map(|record| record["payload"].is_string()).collect();
    assert_eq!(payloads, [true, false, false]);
    // Any BTF with such a type; not available if the kernel has no BTF.
    let btf = "/sys/kernel/btf/vmlinux";
    if fs::exists(btf).unwrap() {
        let text = peek(&format!("--from {path} --type int --btf {btf} --format json")).stdout;
        let snapshot: Value = serde_json::from_str(&text).unwrap();
        let values: Vec<_> =
            snapshot["records"].as_array().unwrap().iter().map(|record| record["value"].clone()).collect();
        assert_eq!(values, [0, 1, 2], "{text}");
        let ended = peek(&format!("--from {path} --type no_such_type --btf {btf}"));
        assert!(ended.complaint().contains("has no type `no_such_type`"), "{ended:?}");
    }
    // A snapshot of another machine's ring is not decoded with this machine's types.
    let ended = peek(&format!("--from {path} --type int"));
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("--btf"), "{ended:?}");
}

fn recording_is_read_as_bytes() {
    let folder = TempDir::new().unwrap();
    let path = kept(&folder, b"a\xff\xfe\xc3b");
    let ended = peek(&format!("--from {}", path.display()));
    assert!(ended.status.success() && ended.stdout.contains("`a\u{fffd}\u{fffd}\u{fffd}b`"), "{ended:?}");
    fs::write(&path, b"\xff\xff\n").unwrap();
    assert!(peek(&format!("--from {}", path.display())).complaint().contains("line 1 is not a snapshot"));
}

fn controls_in_names_are_escaped_in_text_and_json() {
    let name = "\u{7f}\u{80}\u{9b}31m\u{9f}\u{202e}";
    let folder = TempDir::new().unwrap();
    let path = kept(&folder, name.as_bytes());
    for format in ["table", "json"] {
        let ended = peek(&format!("--from {} --format {format}", path.display()));
        let obeyed = |shown: char| shown.is_control() && shown != '\n' || shown == '\u{202e}';
        assert!(ended.status.success() && !ended.stdout.contains(obeyed), "{ended:?}");
        if format == "json" {
            let snapshot: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!(snapshot["name"], name);
        }
    }
}

fn endless_recording_is_refused() {
    let ended = peek("--from /dev/zero");
    assert!(ended.complaint().contains("at line 1, it has more than"), "{ended:?}");
}

fn process_of_any_name_is_shown_with_its_state() {
    let folder = TempDir::new().unwrap();
    let owner = Owner::by_path(&folder.path().join(OsStr::from_bytes(b"\xff\xfe\n\x1b[31m")), "peek_any_name");
    let text = peek(&format!("--id {}", owner.id)).stdout;
    let held = text.lines().find(|line| line.contains("held by")).unwrap();
    let shown = format!("\u{fffd}\u{fffd}\\n\\u{{1b}}[31m ({}, fd ", owner.pid());
    assert!(held.contains(&shown) && held.ends_with("sleeping)"), "{text}");
    let list = peek("").stdout;
    assert!(
        list.lines().any(|line| line.contains("peek_any_name") && line.contains(&shown[..shown.len() - 5])),
        "{list}"
    );
    let json = peek("--format json").stdout;
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = rows.iter().find(|row| row["id"] == owner.id).unwrap();
    assert_eq!(row["owners"][0]["comm"], "\u{fffd}\u{fffd}\n\u{1b}[31m");
}
