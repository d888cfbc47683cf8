//! `--record`, and the replay of what was recorded.

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    binary::{self, Ended, Running},
    harness::{Test, test},
    owner::{Kind, Owner, SPACE},
    patience::wait_until,
    perf::no_borrowing,
    requirements::{ring, root},
    terminal::Terminal,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(snapshots_of_a_ring_are_replayed).needs(ring),
        test!(snapshots_of_perf_buffers_are_replayed).needs(root).unless(no_borrowing),
        test!(screen_steps_through_a_recording).needs(ring),
        test!(recording_under_load_agrees_with_the_owner).needs(ring),
    ]
}

fn replay(path: &str, words: &[&str]) -> Ended {
    let ended = Running::start(binary::command(["replay", path]).args(words)).end();
    assert!(ended.status.success(), "{words:?}: {ended:?}");
    ended
}

fn snapshots(path: &str) -> Vec<Value> {
    let text = replay(path, &["--format", "json"]).stdout;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the recording's last snapshot has this fill: an emulated machine takes snapshots slowly.
fn shows_fill(path: &str, fill: u64) {
    wait_until("the fill is recorded", || {
        // At first the file is empty.
        let ended = Running::start(&mut binary::command(["replay", path, "--format", "json"])).end();
        let last: Value = serde_json::from_str(ended.stdout.lines().last()?).unwrap();
        (last["fill_bytes"] == fill).then_some(())
    });
}

/// Starts to record, and waits until the first snapshot was taken.
fn recording(words: &[&str], path: &str) -> Running {
    let mut command = binary::command(["peek", "--record", path, "--interval", "1ms"]);
    let running = Running::start(command.args(words));
    running.stderr_line("it records", |line| line.starts_with("Recording "));
    running
}

fn snapshots_of_a_ring_are_replayed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshots.rec").to_str().unwrap().to_owned();
    let mut owner = Owner::start(Kind::Ring, "recorded", 4096);
    owner.produce(3);
    let id = owner.id.to_string();
    let live =
        Running::start(&mut binary::command(["peek", "--id", &id, "--watch", "--count", "1", "--format", "json"]))
            .end();
    let recording = recording(&["--id", &id], &path);
    for number in 1..=5 {
        owner.produce(2);
        shows_fill(&path, (3 + 2 * number) * SPACE);
    }
    owner.consume();
    shows_fill(&path, 0);
    recording.send(rustix::process::Signal::INT);
    let ended = recording.end();
    assert!(ended.status.success() && ended.stderr.contains("recorded "), "{ended:?}");

    let snapshots = snapshots(&path);
    let mut live: Value = serde_json::from_str(live.stdout.trim()).unwrap();
    live["time_ns"] = snapshots[0]["time_ns"].clone();
    assert_eq!(snapshots[0], live);
    // A snapshot that equals the one before is not recorded: there are at most two for each change.
    assert!((7..=12).contains(&snapshots.len()), "{}", snapshots.len());
    let fills: Vec<u64> = snapshots.iter().map(|snapshot| snapshot["fill_bytes"].as_u64().unwrap()).collect();
    assert_eq!((fills[0], *fills.iter().max().unwrap(), *fills.last().unwrap()), (3 * SPACE, 13 * SPACE, 0));
    let table = replay(&path, &["--count", "1"]).stdout;
    assert!(table.contains("3 records: 3 committed") && table.contains("POSITION"), "{table}");
    let pictures = replay(&path, &["--draw", "--count", "2"]).stdout;
    assert_eq!(pictures.matches("C consumer").count(), 2, "{pictures}");
    let bare = replay(&path, &["--records", "0", "--format", "json"]).stdout;
    assert!(!bare.contains("payload"), "{bare}");
}

fn snapshots_of_perf_buffers_are_replayed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshots.rec").to_str().unwrap().to_owned();
    let mut owner = Owner::start(Kind::Perf, "recorded", 4096);
    owner.produce(3);
    let pid = owner.pid().to_string();
    let live = Running::start(&mut binary::command(["peek", "--pid", &pid, "--format", "json"])).end();
    let recording = recording(&["--pid", &pid, "--count", "3"], &path);
    let ended = recording.end();
    assert!(ended.status.success(), "{ended:?}");
    let recorded = snapshots(&path);
    let live: Vec<Value> = live.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(recorded.len(), live.len());
    for (mut live, recorded) in live.into_iter().zip(recorded) {
        live["time_ns"] = recorded["time_ns"].clone();
        assert_eq!(recorded, live);
    }
}

fn screen_steps_through_a_recording() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshots.rec").to_str().unwrap().to_owned();
    let mut owner = Owner::start(Kind::Ring, "recorded", 4096);
    let recording = recording(&["--id", &owner.id.to_string()], &path);
    for number in 1..=2 {
        owner.produce(1);
        shows_fill(&path, number * SPACE);
    }
    recording.send(rustix::process::Signal::INT);
    assert!(recording.end().status.success());
    let count = snapshots(&path).len();
    assert!(count >= 3, "{count}");

    for (columns, rows) in [(80, 24), (60, 15)] {
        let mut terminal = Terminal::of(&format!("replay {path} --watch --speed 0.001"), columns, rows);
        let text = terminal.shows(&format!("snapshot 1 of {count}"));
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
        assert!(text.contains("0 records") && text.lines().last().unwrap().contains("step"), "{text}");
        terminal.key("\x1b[C");
        terminal.shows(&format!("snapshot 2 of {count}"));
        terminal.key("\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C");
        let last = terminal.shows(&format!("snapshot {count} of {count}"));
        assert!(last.contains("paused"), "{last}");
        terminal.key("\x1b[D");
        terminal.shows(&format!("snapshot {} of {count}", count - 1));
        terminal.key("q");
        terminal.ends();
    }
    let piped = Running::start(&mut binary::command(["replay", &path, "--watch"])).end();
    assert_eq!(piped.status.code(), Some(2), "{piped:?}");
    assert!(piped.stderr.contains("--watch needs a terminal"), "{piped:?}");
}

fn recording_under_load_agrees_with_the_owner() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("snapshots.rec").to_str().unwrap().to_owned();
    let mut owner = Owner::start(Kind::Ring, "recorded", 1 << 16);
    let recording = recording(&["--id", &owner.id.to_string(), "--records", "2"], &path);
    owner.begin_load(1);
    let read = owner.read();
    recording.send(rustix::process::Signal::INT);
    assert!(recording.end().status.success());
    assert_eq!(read.gaps, 0);
    let snapshots = snapshots(&path);
    let positions = |key: &str| snapshots.iter().map(|snapshot| snapshot[key].as_u64().unwrap()).collect::<Vec<_>>();
    let (producer, consumer) = (positions("producer_pos"), positions("consumer_pos"));
    assert!(producer.is_sorted() && consumer.is_sorted());
    for (producer, consumer) in producer.iter().zip(&consumer) {
        assert!(producer - consumer <= 1 << 16 && producer % SPACE == 0 && consumer % SPACE == 0);
    }
    // Every tenth record is discarded: all take space.
    let all = read.next + read.next / 9;
    assert!(*producer.last().unwrap() <= (all + 2) * SPACE, "{producer:?} {read:?}");
}
