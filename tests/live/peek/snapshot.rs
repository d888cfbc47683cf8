//! Snapshots show the content of a ring, and do not affect its owner.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cutaway::Map;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    binary::{Running, command},
    harness::{Test, test},
    own_mounts,
    owner::{self, Kind, Owner, PAYLOAD, SPACE, UserRing},
    patience::{PATIENCE, wait_until},
    peek,
    requirements::ring,
    snapshots,
    usage::in_path,
};

/// Returns the size of a small ring in bytes: one page.
fn page() -> u32 {
    rustix::param::page_size() as u32
}

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(list_has_ring_owner_program_and_pin).needs(ring),
        test!(programs_that_cannot_be_inspected_are_unknown).needs(ring),
        test!(stopped_owner_leaves_the_true_fill).needs(ring),
        test!(snapshots_under_load_consume_nothing).needs(ring),
        test!(snapshots_of_a_python_ring_consume_nothing).needs(ring).unless(no_python),
        test!(killed_owner_leaves_its_records_visible).needs(ring),
        test!(records_that_wrap_are_shown_whole).needs(ring),
        test!(payloads_are_decoded_by_their_type).needs(ring),
        test!(every_record_state_is_shown).needs(ring).unless(no_user_rings),
        test!(overfull_ring_is_shown_as_full).needs(ring),
    ]
}

fn stopped_owner_leaves_the_true_fill() {
    stopped(Owner::start(Kind::Ring, "peek_stopped", page()));
}

fn snapshots_under_load_consume_nothing() {
    under_load(Owner::start(Kind::Ring, "peek_load", 4 * page()));
}

fn snapshots_of_a_python_ring_consume_nothing() {
    stopped(Owner::foreign("peek_stopped_py", page()));
    under_load(Owner::foreign("peek_load_py", 4 * page()));
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number `{field}` in {value}"))
}

/// Returns the numbers of a snapshot's records, each of which occurs twice.
fn numbers(snapshot: &Value) -> Vec<u64> {
    let records = snapshot["records"].as_array().unwrap();
    let payloads = records.iter().filter_map(|record| record["payload"].as_str());
    payloads
        .map(|hex| {
            let word = |at: usize| u64::from_str_radix(&hex[at..at + 16], 16).unwrap().swap_bytes();
            let number = if cfg!(target_endian = "little") { word(0) } else { word(0).swap_bytes() };
            assert_eq!(hex[..16], hex[16..], "not the same number twice");
            number
        })
        .collect()
}

fn list_has_ring_owner_program_and_pin() {
    let owner = Owner::start(Kind::Ring, "peek_listed", page());
    let pin = Pin::new("peek-listed");
    Map::from_id(owner.id).unwrap().pin(&pin.0).unwrap();
    let rows = snapshots("");
    let row = rows.iter().find(|row| number(row, "id") == u64::from(owner.id)).unwrap();
    assert_eq!(row["name"], "peek_listed");
    assert_eq!(row["mode"], "ring");
    assert_eq!(number(row, "bytes"), u64::from(page()));
    assert_eq!(number(row, "fill_bytes"), 0);
    assert_eq!(row["owners"][0]["pid"], owner.pid());
    assert_eq!(row["programs"][0]["name"], "send_to_ring");
    assert_eq!(row["pins"][0], pin.0.to_str().unwrap());

    let table = peek("");
    let line = table.stdout.lines().find(|line| line.contains("peek_listed")).unwrap();
    assert!(line.contains(&format!("({})", owner.pid())) && line.contains("0.0 %"), "{line}");
    assert!(table.stdout.contains(&format!("pinned at {}", pin.0.display())), "{}", table.stdout);

    // Each of its names gives the same ring. A pin keeps the ring after its owner has ended.
    let by_pin = snapshots(&format!("--pin {}", pin.0.display()));
    let by_name = snapshots("--name peek_listed");
    let by_pid = snapshots(&format!("--pid {}", owner.pid()));
    for snapshot in [&by_pin[0], &by_name[0], &by_pid[0]] {
        assert_eq!(number(snapshot, "id"), u64::from(owner.id));
    }
    let id = owner.id;
    owner.kill();
    wait_until("no process holds the ring", || {
        let rows = snapshots("");
        let row = rows.iter().find(|row| number(row, "id") == u64::from(id)).expect("the pin keeps the ring");
        row["owners"].as_array().unwrap().is_empty().then_some(())
    });
}

/// Returns the reason why there is no owner in another language; `None` if there is one.
fn no_python() -> Option<String> {
    (!in_path("python3")).then(|| "needs python3: it is the other language".to_owned())
}

fn stopped(mut owner: Owner) {
    owner.produce(50);
    owner.stop();
    let words = format!("--id {} --records 100", owner.id);
    let snapshot = &snapshots(&words)[0];
    assert_eq!(number(snapshot, "fill_bytes"), 50 * SPACE);
    assert_eq!((number(snapshot, "committed"), number(snapshot, "discarded"), number(snapshot, "busy")), (45, 5, 0));
    assert_eq!(numbers(snapshot), (0..50).filter(|number| number % 10 != 9).collect::<Vec<_>>());
    assert_eq!(snapshot["owners"][0]["state"], "stopped");
    let text = peek(&words).stdout;
    for part in [
        "50 records: 45 committed, 0 busy, 5 discarded",
        "the reader is behind",
        "stopped",
        "29.3 %, 1200 bytes",
        "(discarded)",
    ] {
        assert!(text.contains(part) || page() != 4096, "{part}: {text}");
    }
    owner.go_on();
    let read = owner.consume();
    assert_eq!((read.records, read.gaps, read.lost), (45, 0, 0));
    let snapshot = &snapshots(&words)[0];
    assert_eq!((number(snapshot, "fill_bytes"), number(snapshot, "consumer_pos")), (0, 50 * SPACE));
    assert!(peek(&words).stdout.contains("the reader has caught up"));
}

/// The ring behaves the same without an observer and with four observers, each with other options.
///
/// The load goes on until each observer has taken enough snapshots: on an emulated machine that takes longer.
fn under_load(mut owner: Owner) {
    const ROUND: u64 = 5;
    let begun = Instant::now();
    let id = owner.id;
    let keep = |words: &str| {
        let words = format!("peek --id {id} --watch {words}");
        Running::start(&mut command(words.split_whitespace()))
    };
    let watchers =
        [keep("--interval 0.005 --format json --records 4"), keep("--interval 0.02"), keep("--interval 0.05 --draw")];
    let mut single = 0;
    let read = loop {
        owner.begin_load(ROUND);
        let end = Instant::now() + Duration::from_secs(ROUND) - Duration::from_millis(500);
        while Instant::now() < end {
            assert_eq!(snapshots(&format!("--id {id}")).len(), 1);
            single += 1;
        }
        let read = owner.read();
        assert_eq!(read.gaps, 0, "{read:?}");
        let taken = [&watchers[0], &watchers[1]].map(Running::stdout_lines);
        if read.records > 10_000 && taken[0] > 100 && taken[1] > 50 && single > 3 {
            break read;
        }
        assert!(begun.elapsed() < PATIENCE, "{read:?}, {taken:?} and {single} snapshots");
    };
    // Each number was read or discarded; the observers have taken none.
    assert_eq!(read.records, (0..read.next).filter(|number| number % 10 != 9).count() as u64, "{read:?}");

    let [json, lines, drawn] = watchers.map(|watcher| {
        watcher.send(Signal::INT);
        watcher.end()
    });
    for ended in [&json, &lines, &drawn] {
        assert!(ended.status.success(), "{}", ended.stderr);
    }
    let snapshots: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(snapshots.len() > 100 && single > 3, "{} and {single} snapshots", snapshots.len());
    let mut last = [0, 0];
    let mut seen = 0;
    for snapshot in &snapshots {
        assert!(snapshot.get("corrupt").is_none(), "{snapshot}");
        let positions = [number(snapshot, "consumer_pos"), number(snapshot, "producer_pos")];
        assert!(positions[0] >= last[0] && positions[1] >= last[1], "a position decreased: {snapshot}");
        assert!(number(snapshot, "fill_bytes") <= u64::from(4 * page()), "{snapshot}");
        last = positions;
        let numbers = numbers(snapshot);
        seen += numbers.len();
        // A snapshot has copied the records that were sent: their numbers are consecutive.
        assert!(numbers.is_sorted(), "{snapshot}");
        for record in snapshot["records"].as_array().unwrap() {
            assert_eq!((number(record, "size"), number(record, "position") % SPACE), (PAYLOAD, 0), "{snapshot}");
        }
    }
    // An emulator runs its CPUs in turn: the owner has often read all records when an observer runs.
    assert!(
        seen > if cfg!(target_arch = "x86_64") { 100 } else { 20 },
        "only {seen} records were seen in {} snapshots",
        snapshots.len()
    );
    assert!(lines.stdout.lines().count() > 50, "{}", lines.stdout);
    assert!(drawn.stdout.contains("page 1"), "{}", drawn.stdout);
}

fn killed_owner_leaves_its_records_visible() {
    let mut owner = Owner::start(Kind::Ring, "peek_orphan", page());
    owner.produce(30);
    let id = owner.id;
    let words = format!("peek --id {id} --watch --interval 0.02 --format json");
    let watcher = Running::start(&mut command(words.split_whitespace()));
    watcher.stdout_nth("it takes snapshots", 3);
    owner.kill();
    wait_until("the owner is gone", || {
        let snapshot = &snapshots(&format!("--id {id}"))[0];
        // The other observer holds the ring as well.
        let owners = snapshot["owners"].as_array().unwrap();
        owners.iter().all(|owner| owner["pid"] == watcher.pid()).then_some(())
    });
    // The observer keeps the ring alive, and continues.
    let count = watcher.stdout_lines();
    watcher.stdout_nth("it takes further snapshots", count + 5);
    watcher.send(Signal::TERM);
    let ended = watcher.end();
    assert!(ended.status.success(), "{ended:?}");
    for line in ended.stdout.lines() {
        let snapshot: Value = serde_json::from_str(line).unwrap();
        assert_eq!((number(&snapshot, "fill_bytes"), number(&snapshot, "discarded")), (30 * SPACE, 3), "{line}");
    }
    wait_until("the ring is gone with its last observer", || {
        let ended = peek(&format!("--id {id}"));
        (ended.status.code() == Some(1)).then(|| assert!(ended.complaint().contains("ENOENT"), "{ended:?}"))
    });
}

fn records_that_wrap_are_shown_whole() {
    let mut owner = Owner::start(Kind::Ring, "peek_wraps", page());
    let size = u64::from(page());
    // Up to just before the end of the ring, for every page size: the first step wraps.
    let mut next = size / SPACE - 3;
    owner.produce(next);
    assert_eq!(owner.consume().gaps, 0);
    let (mut wrapped, mut across_the_end) = (0, 0);
    // Steps that do not divide the ring's size, so that records cross its end at different offsets.
    for step in [100, 61, 150, 7, 120, 33] {
        owner.produce(step);
        let snapshot = &snapshots(&format!("--id {} --records 1000", owner.id))[0];
        assert_eq!(number(snapshot, "fill_bytes"), step * SPACE);
        assert_eq!(numbers(snapshot), (next..next + step).filter(|number| number % 10 != 9).collect::<Vec<_>>());
        let offsets: Vec<_> =
            snapshot["records"].as_array().unwrap().iter().map(|record| number(record, "offset")).collect();
        assert!(offsets.iter().all(|offset| *offset < size && offset.is_multiple_of(8)));
        let picture = peek(&format!("--id {} --draw", owner.id)).stdout;
        let wraps = offsets.windows(2).any(|pair| pair[1] < pair[0]);
        assert!(picture.contains(&format!("{} bytes, {step} record", step * SPACE)), "{picture}");
        assert!(!wraps || picture.contains('┘'), "{picture}");
        wrapped += u32::from(wraps);
        across_the_end += offsets.iter().filter(|offset| *offset + SPACE > size).count();
        next += step;
        assert_eq!(owner.consume().gaps, 0);
    }
    assert!(wrapped > 0 && across_the_end > 0, "{wrapped} snapshots wrap, {across_the_end} records cross the end");
}

fn payloads_are_decoded_by_their_type() {
    let mut owner = Owner::start(Kind::Ring, "peek_typed", page());
    owner.produce(12);
    let folder = TempDir::new().unwrap();
    let btf = owner::file(folder.path(), "pair.btf", &owner::btf_of_pair());
    let words = format!("--id {} --btf {btf} --type", owner.id);
    let snapshot = &snapshots(&format!("{words} pair"))[0];
    let value = &snapshot["records"][10]["value"];
    assert_eq!((number(value, "first"), number(value, "second")), (10, 10), "{snapshot}");
    let text = peek(&format!("{words} pair")).stdout;
    assert!(text.contains("{first: 11, second: 11}"), "{text}");
    let ended = peek(&format!("{words} trio"));
    assert!(ended.complaint().contains("its structures are pair"), "{ended:?}");
    // The kernel's own types are available for every ring.
    let ended = peek(&format!("--id {} --type timespec64", owner.id));
    assert!(
        ended.stdout.contains("{tv_sec: 11, tv_nsec: 11}") || !Path::new("/sys/kernel/btf/vmlinux").exists(),
        "{ended:?}"
    );
}

/// Returns the reason why there is no user ring here; `None` if there can be one.
fn no_user_rings() -> Option<String> {
    UserRing::new("peek_tried").is_none().then(|| "needs 6.1: user rings".to_owned())
}

fn every_record_state_is_shown() {
    let ring = UserRing::new("peek_states").expect("user rings");
    let snapshot = &snapshots(&format!("--id {}", ring.id()))[0];
    assert_eq!(snapshot["mode"], "user");
    let states: Vec<_> =
        snapshot["records"].as_array().unwrap().iter().map(|record| record["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["committed", "discarded", "busy"]);
    let text = peek(&format!("--id {}", ring.id())).stdout;
    for part in ["61207361", "(discarded)", "(being written)", "1 committed, 1 busy, 1 discarded"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let rows = snapshots("");
    assert!(rows.iter().any(|row| row["name"] == "peek_states" && row["mode"] == "user"));
}

fn overfull_ring_is_shown_as_full() {
    let mut owner = Owner::start(Kind::Ring, "peek_full", page());
    owner.produce(10_000);
    let snapshot = &snapshots(&format!("--id {} --records 0", owner.id))[0];
    let most = u64::from(page() - 1) / SPACE;
    assert_eq!(number(snapshot, "fill_bytes"), most * SPACE);
    assert_eq!(number(snapshot, "committed") + number(snapshot, "discarded"), most);
    let read = owner.consume();
    assert_eq!((read.gaps, read.lost), (0, 10_000 - most));
}

/// Without CAP_SYS_ADMIN a pinned ring can be opened, and programs cannot.
#[expect(unsafe_code, reason = "runs a function between fork and exec")]
fn programs_that_cannot_be_inspected_are_unknown() {
    const CAP_SYS_ADMIN: libc::c_ulong = 21;
    let owner = Owner::start(Kind::Ring, "peek_unknown", page());
    let pin = Pin::new("peek-unknown");
    Map::from_id(owner.id).unwrap().pin(&pin.0).unwrap();
    let without = |words: &[&str]| {
        let mut command = command(["peek".as_ref(), "--pin".as_ref(), pin.0.as_os_str()]);
        command.args(words);
        let drop = || {
            // SAFETY: async-signal-safe: a system call on numbers.
            match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: `drop` makes a system call and allocates nothing.
        unsafe { command.pre_exec(drop) };
        let ended = Running::start(&mut command).end();
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    };
    let text = without(&[]);
    assert!(text.contains("\n  used by        unknown: programs cannot be inspected (CAP_SYS_ADMIN)\n"), "{text}");
    let json: Value = serde_json::from_str(&without(&["--format", "json"])).unwrap();
    assert_eq!(json["programs"], Value::Null);
}

/// A name of this test's own in a BPF file system, removed at its end.
/// A path of one test in a BPF file system, removed on drop.
struct Pin(PathBuf);

impl Pin {
    fn new(name: &str) -> Self {
        Self(Path::new(own_mounts::BPFFS.1).join(format!("cutaway-{name}-{}", std::process::id())))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
