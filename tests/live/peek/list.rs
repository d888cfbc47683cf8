//! The list of buffers: those of processes with a certain name, watched, and tested by `--fail-above`.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    harness::{Test, test},
    owner::{Kind, Owner, SPACE},
    patience::wait_until,
    peek,
    perf::no_borrowing,
    requirements::{ring, root},
    snapshots,
    terminal::Terminal,
};

pub(crate) fn tests() -> Vec<Test> {
    const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (60, 15)];
    let sizes = SIZES.map(|(columns, rows)| (format!("{columns}_by_{rows}"), (columns, rows)));
    let mut tests: Vec<_> = test!(screen_of_the_list_fits, sizes).map(|test| test.needs(ring)).collect();
    tests.extend([
        test!(comm_selects_the_buffers_of_processes).needs(ring),
        test!(comm_without_a_match_is_an_error).needs(root),
        test!(fail_above_names_the_fuller_ring).needs(ring),
        test!(fail_above_tests_the_chosen_ring).needs(ring),
        test!(fail_above_tests_perf_buffers).needs(root).unless(no_borrowing),
        test!(unknown_fill_of_a_perf_event_array_fails).needs(root),
        test!(list_is_watched_in_lines_and_json).needs(ring),
        test!(keys_sort_the_list).needs(ring),
        test!(watched_list_does_not_keep_a_ring_alive).needs(ring),
        test!(watched_list_has_the_fill_of_perf_buffers).needs(root).unless(no_borrowing),
    ]);
    tests
}

/// Starts the owner of a ring of one page, in a process with this name.
fn named(folder: &TempDir, process: &str, ring: &str) -> Owner {
    Owner::by_path(&folder.path().join(process), ring)
}

/// Returns the ids of the listed maps.
fn ids(words: &str) -> Vec<u64> {
    snapshots(words).iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

fn page() -> u64 {
    rustix::param::page_size() as u64
}

/// Returns the number of records that fill 95 percent of a page.
fn nearly_full() -> u64 {
    page() * 95 / 100 / SPACE
}

fn comm_selects_the_buffers_of_processes() {
    let folder = TempDir::new().unwrap();
    let one = named(&folder, "pk_comm_one", "peek_comm_1");
    let two = named(&folder, "pk_comm_two", "peek_comm_2");
    let ids_of = |comms: &str| ids(comms);
    assert_eq!(ids_of("--comm pk_comm_one"), [u64::from(one.id)]);
    assert_eq!(ids_of("-c pk_comm_tw?"), [u64::from(two.id)]);
    assert_eq!(ids_of("--comm pk_comm_*"), [u64::from(one.id), u64::from(two.id)]);
    assert_eq!(ids_of("--comm pk_comm_one --comm *comm_two"), [u64::from(one.id), u64::from(two.id)]);
    // The name must match as a whole.
    // Upper and lower case differ, as in `cutaway inspect --program`.
    assert_eq!(peek("--comm PK_comm_*").status.code(), Some(1));
    let ended = peek("--comm pk_comm");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let table = peek("--comm pk_comm_one").stdout;
    assert!(table.contains("peek_comm_1") && !table.contains("peek_comm_2"), "{table}");
    // The kernel cuts the name of a process after 15 bytes.
    let long = named(&folder, "pk_comm_long_name_of_process", "peek_comm_3");
    assert_eq!(ids_of("--comm pk_comm_long_name_of_process"), [u64::from(long.id)]);
}

fn comm_without_a_match_is_an_error() {
    for words in ["--comm no_such_process", "--comm no_such_process --format json", "--comm no_such* --fail-above 1"] {
        let ended = peek(words);
        assert!(ended.complaint().contains("no process with this name holds a ring"), "{words}: {ended:?}");
    }
}

fn fail_above_names_the_fuller_ring() {
    let folder = TempDir::new().unwrap();
    let (empty, mut full) = (named(&folder, "pk_fill_a", "peek_empty"), named(&folder, "pk_fill_b", "peek_full"));
    full.produce(nearly_full());
    let ended = peek("--comm pk_fill_* --fail-above 80");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let percent = (nearly_full() * SPACE) as f64 * 100.0 / page() as f64;
    let expected = format!("filled above 80 %: ring {} `peek_full` ({percent:.1} %)", full.id);
    assert!(ended.complaint().contains(&expected), "{ended:?}");
    assert!(!ended.complaint().contains("peek_empty"), "{ended:?}");
    // The list is printed all the same.
    assert!(ended.stdout.contains(&format!("{:>6} peek_empty", empty.id)), "{ended:?}");
    let json = peek("--comm pk_fill_* --fail-above 80 --format json");
    assert_eq!((json.status.code(), json.stdout.lines().count()), (Some(1), 2), "{json:?}");
    let ended = peek("--comm pk_fill_* --fail-above 97%");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    full.consume();
    assert!(peek("--comm pk_fill_* --fail-above 0").status.success());
}

fn fail_above_tests_the_chosen_ring() {
    let mut owner = Owner::start(Kind::Ring, "peek_limit_ring", page() as u32);
    owner.produce(nearly_full());
    for words in [format!("--id {}", owner.id), format!("--pid {}", owner.pid()), "--name peek_limit_ring".to_owned()] {
        let ended = peek(&format!("{words} --fail-above 90"));
        assert!(
            ended.complaint().contains(&format!("filled above 90 %: ring {} `peek_limit_ring`", owner.id)),
            "{ended:?}"
        );
        assert!(ended.stdout.contains("consumer_pos"), "{ended:?}");
        assert!(peek(&format!("{words} --fail-above 99")).status.success());
    }
}

fn fail_above_tests_perf_buffers() {
    let mut owner = Owner::start(Kind::Perf, "peek_limit", page() as u32);
    let words = [format!("--pid {}", owner.pid()), format!("--id {}", owner.id)];
    for words in &words {
        assert!(peek(&format!("{words} --fail-above 0")).status.success(), "{words}");
    }
    owner.produce(60);
    for words in &words {
        let ended = peek(&format!("{words} --fail-above 40"));
        let expected = format!("({}), fd ", owner.pid());
        let complaint = ended.complaint();
        assert!(complaint.contains("filled above 40 %: perf buffer of ") && complaint.contains(&expected), "{ended:?}");
    }
    // In the list, the perf buffers of the processes that hold the array.
    let ended = peek("--fail-above 40");
    assert!(ended.complaint().contains(&format!("({}), fd ", owner.pid())), "{ended:?}");
}

/// Only a pin holds the array, so its buffers cannot be found.
fn unknown_fill_of_a_perf_event_array_fails() {
    let owner = Owner::start(Kind::Perf, "peek_unheld", page() as u32);
    let map = cutaway::Map::from_id(owner.id).unwrap();
    let path = Path::new("/sys/fs/bpf/peek_unheld");
    map.pin(path).unwrap();
    let (id, pid) = (owner.id, owner.pid());
    drop(map);
    owner.kill();
    wait_until("the owner is gone", || (!Path::new(&format!("/proc/{pid}/fd/0")).exists()).then_some(()));
    let ended = peek("--fail-above 100");
    std::fs::remove_file(path).unwrap();
    // Buffers of other processes may be named before it.
    let expected = format!("perf event array {id} `peek_unheld` (no process holds it)");
    let (_, unknown) = ended.complaint().split_once("the fill is unknown: ").unwrap();
    assert!(unknown.contains(&expected), "{ended:?}");
}

fn list_is_watched_in_lines_and_json() {
    let folder = TempDir::new().unwrap();
    let mut owner = named(&folder, "pk_watch", "peek_watch");
    owner.produce(10);
    owner.begin_load(3);
    let rows = snapshots("--comm pk_watch --watch --interval 0.3 --count 3");
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[0]["written_bytes_per_second"], Value::Null);
    let rates: Vec<f64> =
        rows[1..].iter().map(|row| row["written_bytes_per_second"].as_f64().expect("a rate")).collect();
    // The rate is that of the positions.
    for (pair, rate) in rows.windows(2).zip(rates) {
        let value = |row: &Value, field: &str| row[field].as_u64().unwrap() as f64;
        let bytes = value(&pair[1], "producer_pos") - value(&pair[0], "producer_pos");
        let seconds = (value(&pair[1], "time_ns") - value(&pair[0], "time_ns")) / 1e9;
        assert!(bytes > 0.0 && (rate / (bytes / seconds) - 1.0).abs() < 0.2, "{rate} {bytes} {seconds}");
    }
    owner.read();
    let ended = peek("--comm pk_watch --watch --interval 0.1 --count 2");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines[0].contains(" FILL    WRITTEN  OWNERS"), "{ended:?}");
    assert!(
        lines.len() == 3 && lines[1].contains(" -  pk_watch (") && lines[2].contains(" 0 B/s  pk_watch ("),
        "{ended:?}"
    );
}

/// Asserts that the watched list fits a terminal of this size.
fn screen_of_the_list_fits((columns, rows): (u16, u16)) {
    let folder = TempDir::new().unwrap();
    // More than fit the smallest terminal.
    let mut owners: Vec<_> =
        (0..14).map(|index| named(&folder, &format!("pk_s{columns}_{index}"), "peek_many")).collect();
    owners[7].produce(nearly_full());
    let mut terminal = Terminal::start(&format!("--comm pk_s{columns}_*"), columns, rows);
    let text = terminal.shows("q quit");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), usize::from(rows), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
    assert!(lines[0].starts_with("14 buffers by fill") && lines[0].ends_with("every 0.1 s"), "{text}");
    assert!(lines[1].contains("FILL▼"), "{text}");
    assert!(lines[2].contains(&format!("{:>6} peek_many ", owners[7].id)), "{text}");
    let keys = lines.last().unwrap().replace("  ", " ");
    assert!(keys.starts_with("q quit p pause s snapshot f fill r rate i id"), "{text}");
    if rows < 17 {
        assert!(text.contains(" more"), "{text}");
    }
    terminal.resize(100, 30);
    terminal.shows("pk_s");
    let last = format!("{:>6} peek_many ", owners[13].id);
    terminal.shows(&last);
    terminal.key("q");
    terminal.ends();
}

fn keys_sort_the_list() {
    let folder = TempDir::new().unwrap();
    let mut full = named(&folder, "pk_sort_a", "peek_sort_full");
    let mut busy = named(&folder, "pk_sort_b", "peek_sort_busy");
    full.produce(nearly_full());
    busy.begin_load(20);
    let mut terminal = Terminal::start("--comm pk_sort_*", 80, 24);
    let first = |terminal: &Terminal, name: &str, mark: &str| {
        wait_until(&format!("{name} is first by {mark}"), || {
            let text = terminal.text();
            let mut lines = text.lines().skip(1);
            (lines.next()?.contains(mark) && lines.next()?.contains(name)).then_some(())
        });
    };
    terminal.key("r");
    first(&terminal, "peek_sort_busy", "WRITTEN▼");
    terminal.key("i");
    first(&terminal, "peek_sort_full", "ID▲");
    terminal.key("p");
    terminal.shows("paused");
    let frame = terminal.text();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(terminal.text(), frame, "a paused list does not change");
    terminal.key("\x1b[B");
    terminal.without("peek_sort_full");
    terminal.key("\x1b[H");
    terminal.shows("peek_sort_full");
    terminal.key("q");
    terminal.ends();
}

/// An observer that held the map would list it for ever.
fn watched_list_does_not_keep_a_ring_alive() {
    let folder = TempDir::new().unwrap();
    let owner = named(&folder, "pk_gone", "peek_gone");
    let id = owner.id;
    let mut terminal = Terminal::start("", 120, 40);
    terminal.key("i");
    terminal.shows("ID▲");
    wait_until("the ring can be opened", || cutaway::Map::from_id(id).ok());
    owner.kill();
    wait_until("the kernel has freed the ring", || cutaway::Map::from_id(id).is_err().then_some(()));
    terminal.without("peek_gone");
    terminal.key("q");
    terminal.ends();
}

fn watched_list_has_the_fill_of_perf_buffers() {
    let mut owner = Owner::start(Kind::Perf, "peek_list_perf", page() as u32);
    owner.produce(60);
    let rows = snapshots("--watch --count 1");
    let row = rows.iter().find(|row| row["id"] == owner.id).expect("the array");
    let percent = row["fill_percent"].as_f64().expect("a fill");
    assert!((40.0..100.0).contains(&percent), "{row}");
    owner.consume();
    let rows = snapshots("--watch --count 1");
    let row = rows.iter().find(|row| row["id"] == owner.id).expect("the array");
    assert_eq!(row["fill_percent"], 0.0, "{row}");
}
