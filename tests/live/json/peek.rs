//! `peek`: the list, rings, perf buffers and recordings.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    binary::{Running, command},
    harness::{Test, test},
    owner::{Kind, Owner, UserRing},
    requirements::{ring, root},
    schema::Schema,
    stdout,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(list_is_described).needs(ring),
        test!(ring_is_described).needs(ring),
        test!(user_ring_has_one_name).needs(ring).since(6, 1, "user rings"),
        test!(perf_buffer_is_described).needs(root).since(5, 6, "pidfd_getfd"),
        test!(counted_losses_are_described).needs(ring),
        test!(kept_picture_is_described),
    ]
}

const PAGE: u32 = 4096;

fn page() -> u32 {
    u32::try_from(rustix::param::page_size()).unwrap().max(PAGE)
}

/// Returns the row of a map.
fn row(rows: Vec<Value>, id: u32) -> Value {
    rows.into_iter().find(|row| row["id"] == id).expect("a row of the map")
}

fn list_is_described() {
    let (schema, owners) =
        (Schema::of("peek"), [Kind::Ring, Kind::Perf].map(|kind| Owner::start(kind, "json", page())));
    let rows = || schema.check(&stdout("peek --format json"), &["row"]);
    let (ring, perf) = (row(rows(), owners[0].id), row(rows(), owners[1].id));
    assert!(ring["bytes"] == page() && ring["programs"][0]["type"].is_string() && ring["owners"][0]["fds"].is_array());
    assert!(perf["mode"] == "perf" && perf["slots"].is_u64() && perf.get("bytes").is_none(), "{perf}");
    let lines = stdout("peek --watch --format json --count 2 --interval 0.05");
    assert!(schema.check(&lines, &["watched_row"]).iter().any(|row| row["written_bytes_per_second"].is_number()));
}

fn ring_is_described() {
    let schema = Schema::of("peek");
    let mut owner = Owner::start(Kind::Ring, "json", page());
    owner.produce(12);
    let id = owner.id;
    let found = schema.check(&stdout(&format!("peek --id {id} --records 3 --format json")), &["ring"]);
    let [ring] = &found[..] else { panic!("{found:?}") };
    let owned = &ring["owners"][0];
    assert!(owned["fds"].as_array().is_some_and(|fds| !fds.is_empty()) && owned["state"].is_string(), "{ring}");
    assert!(ring["records"][0]["payload"].is_string() && ring["records"][0]["size"] == 16, "{ring}");
    // A recording, and what is replayed from it. The type is given: any BTF has it.
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ring.jsonl");
    fs::write(&path, stdout(&format!("peek --id {id} --watch --count 2 --interval 0.05 --format json"))).unwrap();
    let replayed = schema.check(&stdout(&format!("peek --from {} --format json", path.display())), &["ring"]);
    assert_eq!(replayed, schema.check(&fs::read_to_string(&path).unwrap(), &["ring"]));
    assert!(replayed.len() == 2 && replayed[0].get("owners").is_none(), "{replayed:?}");
}

/// The list and a snapshot have the same name for a mode.
fn user_ring_has_one_name() {
    let schema = Schema::of("peek");
    let ring = UserRing::new("json_user").expect("a user ring");
    let snapshot = schema.check(&stdout(&format!("peek --id {} --format json", ring.id())), &["ring"]);
    let row = row(schema.check(&stdout("peek --format json"), &["row"]), ring.id());
    assert_eq!((&snapshot[0]["mode"], &row["mode"]), (&"user".into(), &"user".into()));
}

fn perf_buffer_is_described() {
    let mut owner = Owner::start(Kind::Perf, "json", page());
    owner.produce(1_000);
    owner.consume();
    owner.produce(3);
    let lines = stdout(&format!("peek --id {} --format json", owner.id));
    let found = Schema::of("peek").check(&lines, &["perf"]);
    let records = found[0]["records"].as_array().unwrap();
    assert!(records.iter().any(|record| record["kind"] == "lost" && record["lost"].is_u64()), "{}", found[0]);
    assert!(records.iter().any(|record| record["kind"] == "sample" && record["payload"].is_string()), "{}", found[0]);
}

/// `run` counts the losses of the ring that it reads, and its records have a type.
fn counted_losses_are_described() {
    let mut run = command(["run", "--built-in", "ring"]);
    let running = Running::start(&mut run);
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    let rows = stdout("peek --format json");
    let rows = Schema::of("peek").check(&rows, &["row"]);
    let is_mine = |row: &&Value| {
        row["owners"].as_array().is_some_and(|owners| owners.iter().any(|owner| owner["pid"] == running.pid()))
    };
    let id = rows.iter().find(is_mine).expect("the ring of run")["id"].clone();
    let found = Schema::of("peek").check(&stdout(&format!("peek --id {id} --format json")), &["ring"]);
    assert!(found[0]["lost"].is_u64() && found[0]["lost_why"].is_null(), "{}", found[0]);
    running.send(rustix::process::Signal::INT);
    assert!(running.end().status.success());
}

/// The recording of the book, which has a record of each kind.
fn kept_picture_is_described() {
    let kept = include_str!("../../../docs/looks/staged.jsonl");
    let found = Schema::of("peek").check(kept, &["ring"]);
    let states: Vec<_> = found[0]["records"].as_array().unwrap().iter().map(|record| &record["state"]).collect();
    for state in ["committed", "busy", "discarded"] {
        assert!(states.contains(&&state.into()), "{state}: {states:?}");
    }
}
