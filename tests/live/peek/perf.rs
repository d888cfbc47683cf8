//! The perf buffers of another process.

use rustix::{
    io::Errno,
    process::{PidfdFlags, PidfdGetfdFlags, Signal, getpid, pidfd_getfd, pidfd_open},
};
use serde_json::Value;

use crate::{
    binary::{Running, command},
    harness::{Test, test},
    owner::{Kind, Owner},
    peek,
    requirements::root,
    snapshots,
};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        test!(perf_snapshot_shows_pending_and_consumes_nothing),
        test!(perf_event_without_a_ring_gets_none),
        test!(perf_snapshots_under_load_lose_nothing),
        test!(process_without_perf_buffers_is_refused),
        test!(perf_buffer_is_drawn_and_recorded),
        test!(perf_buffers_are_watched_line_by_line),
    ];
    tests.map(|test| test.needs(root).unless(no_borrowing)).into()
}

/// Returns the reason why no fd can be borrowed here; `None` if it can.
pub(crate) fn no_borrowing() -> Option<String> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let borrowed = pidfd_getfd(&this, 0, PidfdGetfdFlags::empty());
    matches!(borrowed, Err(Errno::NOSYS)).then(|| "needs 5.6: pidfd_getfd".to_owned())
}

/// The bytes of a sample with a payload of 16 bytes: header, size, payload, rounded up to 8.
const SAMPLE: u64 = 32;

fn perf_snapshot_shows_pending_and_consumes_nothing() {
    let page = rustix::param::page_size() as u64;
    let mut owner = Owner::start(Kind::Perf, "peek_perf", page as u32);
    owner.produce(20);
    owner.stop();
    // By the process or by its map: the same buffer.
    for words in [format!("--pid {}", owner.pid()), format!("--id {}", owner.id)] {
        let found = snapshots(&words);
        let [snapshot] = &found[..] else { panic!("one buffer, not {found:?}") };
        assert_eq!(
            (&snapshot["bytes"], &snapshot["fill_bytes"]),
            (&Value::from(page), &Value::from(20 * SAMPLE)),
            "{snapshot}"
        );
        assert_eq!(snapshot["records"].as_array().unwrap().len(), 20);
        // The first number is 0, twice; then the padding.
        assert!(snapshot["records"][0]["payload"].as_str().unwrap().starts_with(&"0".repeat(32)), "{snapshot}");
    }
    let text = peek(&format!("--pid {} --type int", owner.pid())).stdout;
    for part in ["20 samples, 0 loss records", "data_head", "0 wrap", "the owner did not request the kernel's count"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    owner.go_on();
    let read = owner.consume();
    assert_eq!((read.records, read.gaps), (20, 0));

    // The buffer wraps and overflows: the loss is reported in front of the next record that fits.
    owner.produce(1_000);
    let read = owner.consume();
    assert_eq!(read.gaps, 0);
    assert!(read.lost > 0);
    owner.produce(1);
    let snapshot = &snapshots(&format!("--pid {}", owner.pid()))[0];
    let records = snapshot["records"].as_array().unwrap();
    let announced: u64 = records.iter().filter_map(|record| record["lost"].as_u64()).sum();
    assert_eq!(announced, read.lost, "{snapshot}");
    assert_eq!(owner.consume().gaps, 0);
    // That record has shifted all later ones, so that one of them crosses the end.
    let mut wrapped = 0;
    for _ in 0..4 {
        owner.produce(page / SAMPLE - 20);
        let snapshot = &snapshots(&format!("--pid {} --records 1000", owner.pid()))[0];
        let records = snapshot["records"].as_array().unwrap();
        wrapped += records.iter().filter(|record| record["wraps"] == true).count();
        let read = owner.consume();
        assert_eq!(read.gaps, 0);
        // Each record is complete: the numbers are those that the owner has read, in their order.
        let numbers = records.iter().map(|record| {
            let hex = record["payload"].as_str().unwrap();
            assert_eq!(hex[..16], hex[16..32], "{snapshot}");
            u64::from_ne_bytes(u64::from_str_radix(&hex[..16], 16).unwrap().to_be_bytes())
        });
        let numbers: Vec<_> = numbers.collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..read.next).filter(|number| number % 10 != 9).collect::<Vec<_>>(), "{snapshot}");
    }
    assert!(wrapped >= 2, "only {wrapped} of them crossed the end");
}

/// Mapping an event creates its ring: an observer must not create it instead of the owner.
fn perf_event_without_a_ring_gets_none() {
    let mut owner = Owner::start(Kind::Perf, "peek_spare", rustix::param::page_size() as u32);
    let words = format!("peek --pid {} --watch --interval 0.01 --format json", owner.pid());
    let watcher = Running::start(&mut command(words.split_whitespace()));
    watcher.stdout_nth("it takes snapshots", 3);
    // Its size differs from the first one's.
    owner.map();
    let count = watcher.stdout_lines();
    watcher.stdout_nth("it continues", count + 3);
    watcher.send(Signal::INT);
    assert!(watcher.end().status.success());
    let found = snapshots(&format!("--pid {}", owner.pid()));
    assert_eq!(found.len(), 2, "now it has a ring: {found:?}");
}

fn perf_snapshots_under_load_lose_nothing() {
    let mut owner = Owner::start(Kind::Perf, "peek_perf_load", 4 * rustix::param::page_size() as u32);
    owner.begin_load(4);
    let words = format!("peek --pid {} --watch --interval 0.01 --format json", owner.pid());
    let watcher = Running::start(&mut command(words.split_whitespace()));
    let read = owner.read();
    assert_eq!(read.gaps, 0, "{read:?}");
    assert!(read.records > 1_000, "{read:?}");
    // The command outlives the owner.
    owner.kill();
    let count = watcher.stdout_lines();
    watcher.stdout_nth("it takes further snapshots", count + 3);
    watcher.send(Signal::INT);
    let ended = watcher.end();
    assert!(ended.status.success(), "{ended:?}");
    for line in ended.stdout.lines() {
        let snapshot: Value = serde_json::from_str(line).unwrap();
        assert!(snapshot.get("corrupt").is_none(), "{line}");
        assert!(snapshot["fill_bytes"].as_u64() <= snapshot["bytes"].as_u64(), "{line}");
    }
}

fn process_without_perf_buffers_is_refused() {
    let ended = peek(&format!("--pid {}", std::process::id()));
    assert!(ended.complaint().contains("has no ring and no visible perf event"), "{ended:?}");
    let ended = peek("--pid 2147483647");
    assert!(ended.complaint().contains("there is no process 2147483647; check the PID"), "{ended:?}");
}

fn perf_buffer_is_drawn_and_recorded() {
    let page = rustix::param::page_size() as u64;
    let mut owner = Owner::start(Kind::Perf, "peek_drawn", page as u32);
    owner.map();
    // Two of these cross the end.
    owner.produce(page / SAMPLE - 20);
    owner.consume();
    owner.produce(60);
    let pid = owner.pid();
    let ended = peek(&format!("--pid {pid} --draw"));
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("1 more buffer is empty"), "{ended:?}");
    for part in [
        format!("perf buffer of {} ({pid}), fd ", comm(pid)),
        "  page 0, byte 1024  the kernel writes   data_head ".to_owned(),
        format!("pending data (zoomed): {} bytes, 60 records", 60 * SAMPLE),
        " in two pieces ".to_owned(),
        "█ sample  ░ other  ▒ lost  · free".to_owned(),
    ] {
        assert!(ended.stdout.contains(&part), "{part}: {ended:?}");
    }
    // As SVG, each record occurs in the data (in two pieces if it wraps) and zoomed.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perf.svg");
    assert!(peek(&format!("--pid {pid} --draw={}", file.display())).status.success());
    let svg = std::fs::read_to_string(&file).unwrap();
    let records = svg.matches("<title>sample: 32 bytes at position").count();
    assert!((120..=121).contains(&records), "{records}: {svg}");
    assert_eq!(svg.matches(r#"<polygon class="lens""#).count(), 2, "{svg}");
    // A recording is drawn like the live buffer.
    let kept = peek(&format!("--pid {pid} --format json")).stdout;
    owner.consume();
    let file = crate::owner::file(folder.path(), "snapshots.json", kept.as_bytes());
    let again = peek(&format!("--from {file} --draw"));
    assert!(again.stdout.contains(ended.stdout.trim_end()), "{again:?}\n{ended:?}");
    let table = peek(&format!("--from {file}")).stdout;
    assert!(table.contains("60 samples, 0 loss records"), "{table}");
    let json = peek(&format!("--from {file} --format json")).stdout;
    assert_eq!(json, kept);
}

/// Returns the name of a process.
fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim().to_owned()
}

/// If stdout is not a terminal: a line for each buffer and each snapshot, whose rates add up to the number sent.
fn perf_buffers_are_watched_line_by_line() {
    let mut owner = Owner::start(Kind::Perf, "peek_lines", 1 << 16);
    owner.map();
    let words = format!("peek --pid {} --watch --interval 0.2 --count 8", owner.pid());
    let watcher = Running::start(&mut command(words.split_whitespace()));
    watcher.stdout_nth("the heading, and a line for each buffer", 2);
    let mut records = 0;
    for _ in 0..10 {
        owner.produce(100);
        records = owner.consume().records;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let ended = watcher.end();
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 1 + 2 * 8, "{ended:?}");
    assert!(lines[0].ends_with("RELEASED REC RELEASED     OLDEST"), "{ended:?}");
    // The lines of the first of the two buffers.
    let rows: Vec<Vec<&str>> = lines[1..].iter().step_by(2).map(|line| line.split_whitespace().collect()).collect();
    let mut reported = [0.0; 2];
    // The first snapshot has no other to be compared with.
    let mut last: f64 = rows[0][0].parse().unwrap();
    for row in &rows[1..] {
        let seconds: f64 = row[0].parse().unwrap();
        // Written and released: the columns with this suffix, of which those in records are the second and the fourth.
        let line = row.join(" ");
        let rates: Vec<f64> = line.split("/s").take(4).map(rate).collect();
        for (reported, rate) in reported.iter_mut().zip([rates[1], rates[3]]) {
            *reported += rate * (seconds - last);
        }
        last = seconds;
    }
    for reported in reported {
        assert!((reported / records as f64 - 1.0).abs() < 0.1, "{reported} of {records}: {ended:?}");
    }
}

/// Returns the value of a column that ends here: a number, perhaps with a unit prefix.
fn rate(column: &str) -> f64 {
    let words: Vec<_> = column.split_whitespace().collect();
    let (factor, number) = match words[..] {
        [.., number, "k" | "kB"] => (1e3, number),
        [.., number, "M" | "MB"] => (1e6, number),
        [.., number, "B"] | [.., number] => (1.0, number),
        [] => panic!("an empty column"),
    };
    factor * number.parse::<f64>().unwrap_or(0.0)
}
