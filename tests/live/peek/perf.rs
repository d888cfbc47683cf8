//! The perf buffers of another process.

use libtest_mimic::Trial;
use rustix::{
    io::Errno,
    process::{PidfdFlags, PidfdGetfdFlags, Signal, getpid, pidfd_getfd, pidfd_open},
};
use serde_json::Value;

use crate::{
    binary::{Running, command},
    ignorable, looks,
    owner::{Kind, Owner},
    peek,
    requirements::Needs,
};

pub(crate) fn trials() -> Vec<Trial> {
    let tests: [(&str, fn()); 4] = [
        ("a_borrowed_perf_buffer_shows_what_waits_and_keeps_it", what_waits),
        ("an_event_without_a_ring_is_given_none", spare),
        ("a_perf_buffer_under_load_loses_nothing_to_a_look", under_load),
        ("a_process_without_perf_buffers_is_refused_with_a_reason", refused),
    ];
    tests.map(|(name, test)| ignorable(name, || Needs::Root.obstacle().or_else(no_borrowing), test)).into()
}

/// Why no descriptor can be borrowed here; `None` if one can.
fn no_borrowing() -> Option<String> {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let borrowed = pidfd_getfd(&this, 0, PidfdGetfdFlags::empty());
    matches!(borrowed, Err(Errno::NOSYS)).then(|| "needs 5.6: pidfd_getfd".to_owned())
}

/// Bytes of a sample of 16 bytes: header, size, payload, rounded up to 8.
const SAMPLE: u64 = 32;

fn what_waits() {
    let page = rustix::param::page_size() as u64;
    let mut owner = Owner::start(Kind::Perf, "peek_perf", page as u32);
    owner.produce(20);
    owner.stop();
    // By the process or by its map: the same buffer.
    for words in [format!("--pid {}", owner.pid()), format!("--id {}", owner.id)] {
        let found = looks(&words);
        let [look] = &found[..] else { panic!("one buffer, not {found:?}") };
        assert_eq!((&look["bytes"], &look["fill_bytes"]), (&Value::from(page), &Value::from(20 * SAMPLE)), "{look}");
        assert_eq!(look["records"].as_array().unwrap().len(), 20);
        // The first number is 0, twice; then the padding.
        assert!(look["records"][0]["payload"].as_str().unwrap().starts_with(&"0".repeat(32)), "{look}");
    }
    let text = peek(&format!("--pid {} --type int", owner.pid())).stdout;
    for part in
        ["20 samples, 0 notices of losses", "data_head", "0 of them wrap", "its owner has the kernel count no more"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    owner.go_on();
    let read = owner.consume();
    assert_eq!((read.records, read.gaps), (20, 0));

    // Around the end, and over the brim: what was lost is announced by the next record that fits.
    owner.produce(1_000);
    let read = owner.consume();
    assert_eq!(read.gaps, 0);
    assert!(read.lost > 0);
    owner.produce(1);
    let look = &looks(&format!("--pid {}", owner.pid()))[0];
    let records = look["records"].as_array().unwrap();
    let announced: u64 = records.iter().filter_map(|record| record["lost"].as_u64()).sum();
    assert_eq!(announced, read.lost, "{look}");
    assert_eq!(owner.consume().gaps, 0);
    // That record has shifted all that follow, so that one of them lies across the end.
    let mut wrapped = 0;
    for _ in 0..4 {
        owner.produce(page / SAMPLE - 20);
        let look = &looks(&format!("--pid {} --records 1000", owner.pid()))[0];
        let records = look["records"].as_array().unwrap();
        wrapped += records.iter().filter(|record| record["wraps"] == true).count();
        let read = owner.consume();
        assert_eq!(read.gaps, 0);
        // Each is whole: they are the numbers that the owner has read, in their order.
        let numbers = records.iter().map(|record| {
            let hex = record["payload"].as_str().unwrap();
            assert_eq!(hex[..16], hex[16..32], "{look}");
            u64::from_ne_bytes(u64::from_str_radix(&hex[..16], 16).unwrap().to_be_bytes())
        });
        let numbers: Vec<_> = numbers.collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..read.next).filter(|number| number % 10 != 9).collect::<Vec<_>>(), "{look}");
    }
    assert!(wrapped >= 2, "only {wrapped} of them lay across the end");
}

/// Mapping an event makes its ring: whoever looks must not do it in the owner's stead.
fn spare() {
    let mut owner = Owner::start(Kind::Perf, "peek_spare", rustix::param::page_size() as u32);
    let words = format!("peek --pid {} --watch --interval 0.01 --format json", owner.pid());
    let watcher = Running::start(&mut command(words.split_whitespace()));
    watcher.stdout_nth("it looks", 3);
    // Another size than that of the first one.
    owner.map();
    let count = watcher.stdout_lines();
    watcher.stdout_nth("it goes on", count + 3);
    watcher.send(Signal::INT);
    assert!(watcher.end().status.success());
    let found = looks(&format!("--pid {}", owner.pid()));
    assert_eq!(found.len(), 2, "now it has one: {found:?}");
}

fn under_load() {
    let mut owner = Owner::start(Kind::Perf, "peek_perf_load", 4 * rustix::param::page_size() as u32);
    owner.begin_load(4);
    let words = format!("peek --pid {} --watch --interval 0.01 --format json", owner.pid());
    let watcher = Running::start(&mut command(words.split_whitespace()));
    let read = owner.read();
    assert_eq!(read.gaps, 0, "{read:?}");
    assert!(read.records > 1_000, "{read:?}");
    // It outlives its owner.
    owner.kill();
    let count = watcher.stdout_lines();
    watcher.stdout_nth("it goes on looking", count + 3);
    watcher.send(Signal::INT);
    let ended = watcher.end();
    assert!(ended.status.success(), "{ended:?}");
    for line in ended.stdout.lines() {
        let look: Value = serde_json::from_str(line).unwrap();
        assert!(look.get("corrupt").is_none(), "{line}");
        assert!(look["fill_bytes"].as_u64() <= look["bytes"].as_u64(), "{line}");
    }
}

fn refused() {
    let ended = peek(&format!("--pid {}", std::process::id()));
    assert!(ended.complaint().contains("has no perf event"), "{ended:?}");
    let ended = peek("--pid 2147483647");
    assert!(ended.complaint().contains("is it the right one"), "{ended:?}");
}
