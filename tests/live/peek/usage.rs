//! Wrong usage, rings that do not exist, and the example in the help.

use std::process::Command;

use crate::{
    binary::{self, Running},
    harness::{Test, test},
    owner::{Kind, Owner},
    peek,
    requirements::ring,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(wrong_usage_of_peek_ends_with_status_2),
        test!(missing_ring_is_an_error).needs(ring),
        test!(help_example_of_peek_works).needs(ring).unless(no_getent),
    ]
}

fn wrong_usage_of_peek_ends_with_status_2() {
    for words in [
        "--watch --records 3",
        "--watch --step",
        "--comm a --pid 1",
        "--comm a --id 1",
        "--comm a --from file",
        "--comm",
        "--comm=",
        "--comm a --draw",
        "--comm a --type int",
        "--fail-above 101",
        "--fail-above -1",
        "--fail-above much",
        "--id 1 --fail-above 80 --watch",
        "--id 1 --fail-above 80 --draw",
        "--from file --fail-above 80",
        "--draw",
        "--step",
        "--type event",
        "--id 1 --name events",
        "--id 1 --pid 1",
        "--id many",
        "--pid 0",
        "--id 1 --step",
        "--id 1 --draw --step --watch",
        "--id 1 --watch --interval 0",
        "--id 1 --count 2",
        "--id 1 --btf file",
        "--from file --watch",
        "--from file --interval 1",
        "--from file --count 1",
        "--from file --type int",
        "--from file --pid 1",
        "--interval 1",
        "--records 5",
        "--id 1 --interval 1",
        "--id 1 --draw --records 5",
        "--id 1 --draw --type int",
        "--id 1 --draw --format json",
        "--id 1 --draw=file --watch --format json",
        "--format xml",
    ] {
        let ended = peek(words);
        assert_eq!(ended.status.code(), Some(2), "{words}: {ended:?}");
        assert_eq!(ended.stdout, "", "{words}");
    }
}

fn missing_ring_is_an_error() {
    for (words, part) in [
        ("--id 4294967295", "ENOENT"),
        ("--name no_such_ring", "`cutaway peek` lists all"),
        ("--pin /sys/fs/bpf/no-such-pin", "cannot open the map pinned at /sys/fs/bpf/no-such-pin: ENOENT"),
        ("--pin /proc/version", "it is not in a BPF file system"),
        ("--pin /sys/fs/bpf", "it is a directory"),
    ] {
        let ended = peek(words);
        assert!(ended.complaint().contains(part), "{words}: {ended:?}");
    }
    let (one, other) = (Owner::start(Kind::Ring, "peek_twins", 65536), Owner::start(Kind::Ring, "peek_twins", 65536));
    let ended = peek("--name peek_twins");
    for id in [one.id, other.id] {
        assert!(ended.complaint().contains(&format!("--id {id}")), "{ended:?}");
    }
    // A map that is not a ring: the one with the owner's numbers, created just after the ring.
    let numbers = (one.id + 1..one.id + 50)
        .filter_map(|id| cutaway::Map::from_id(id).ok())
        .find(|map| map.name() == "numbers")
        .expect("the owner's other map");
    let ended = peek(&format!("--id {}", numbers.id()));
    assert!(ended.complaint().contains("ARRAY"), "{ended:?}");
}

/// Returns the reason why the example cannot be run here; `None` if it can.
fn no_getent() -> Option<String> {
    (!in_path("getent")).then(|| "needs getent: the example asks by it".to_owned())
}

/// Returns true if this program is in PATH.
pub(crate) fn in_path(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(name).is_file())
}

/// The last example of `cutaway peek --help`, pasted into a shell.
fn help_example_of_peek_works() {
    let help = peek("--help").stdout;
    let (_, script) = help.split_once("(as root):\n").expect("an example");
    let folder = binary::path().parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    let ended = Running::start(shell.args(["-c", script]).env("PATH", &path)).end();
    assert!(ended.stdout.contains("page 1  the kernel writes"), "{ended:?}");
    assert!(ended.stdout.contains(" bytes, 1 record, "), "{ended:?}");
}
