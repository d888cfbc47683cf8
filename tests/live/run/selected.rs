//! Records that `--filter` and `--only-command` select, and parts of variables that `--set` sets.

use serde_json::{Value, json};

use crate::{
    binary::{self, Running},
    corpus,
    decoded::no_atomics,
    endings::no_getent,
    harness::{Test, test},
    requirements::ring,
    run_own,
    sender::Sender,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(filter_selects_records_by_their_members).needs(ring),
        test!(filter_applies_to_the_maps_that_have_the_member).needs(ring).unless(no_atomics),
        test!(count_counts_the_printed_records).needs(ring).unless(no_atomics),
        test!(record_without_the_value_is_counted_as_unknown).needs(ring),
        test!(wrong_filter_is_refused_before_attaching).needs(ring),
        test!(only_command_prints_its_descendants).needs(ring).unless(no_getent).unless(other_namespace),
        test!(only_command_says_that_its_set_is_full).needs(ring).unless(no_getent).unless(other_namespace),
        test!(only_command_needs_a_process_id).needs(ring).unless(other_namespace),
        test!(part_of_a_variable_is_set).needs(ring),
        test!(network_order_is_decoded).needs(ring),
    ]
}

/// Returns the number of records that an expression selects from those of an object that sends one for each call.
fn selected(object: &str, expression: &str) -> usize {
    run_own(&format!("events/{object}"), &["--filter", expression], 3).values().len()
}

fn filter_selects_records_by_their_members() {
    for (object, expression, count) in [
        ("integers", "u8_most == 0xff && s64_least < 0 && yes && !no && letter == 'x'", 3),
        ("integers", "u64_most == 18446744073709551615 && s8_least == -128", 3),
        ("integers", "u64_most < 0 || s64_least > 0", 0),
        ("enums", "verdict == REFUSED && other == ALLOWED && nameless == 77", 3),
        ("enums", "both & RUNS && (both & WRITES) == 0 && more == 66", 3),
        ("enums", "verdict >= UNDECIDED", 0),
        ("nested", "where.from.y == -1 && path[2].x == 2 && last == 9 && port == 80", 3),
        ("arrays", "text == \"a\\tb\" && table[1][2] == 12 && bytes[0] == 0xf0 && full[3] == 'l'", 3),
        ("floats", "ratio == 1.5 && missing != missing && amount < -1.5", 3),
        ("bitfields", "a == 5 && e == -40000000 && how == QUICKLY && flag", 3),
        ("network", "port == 443 && saddr == \"127.0.0.1\" && from == \"fe80::1\" && ports[1] == 8080", 3),
    ] {
        assert_eq!(selected(object, expression), count, "{object}: {expression}");
    }
}

fn filter_applies_to_the_maps_that_have_the_member() {
    let ran = run_own("events/both", &["--filter", "number >= 3", "--summary"], 5);
    let mut numbers: Vec<_> = ran.values().iter().map(|(map, value)| (map.clone(), value["number"].clone())).collect();
    numbers.sort_by_key(|(map, number)| (map.clone(), number.as_u64()));
    let expected = [("events", 3), ("events", 4), ("samples", 3), ("samples", 4)];
    assert_eq!(numbers, expected.map(|(map, number)| (map.to_owned(), json!(number))));
    let lines = ran.lines();
    let summary = lines.last().unwrap();
    assert_eq!((&summary["received"], &summary["printed"]), (&json!(10), &json!(4)));
    assert!(ran.ended.stderr.contains("printed 4 of 10 records\n"), "{:?}", ran.ended);

    let ran = run_own("events/both", &["--filter", "kind == \"sample\" && number == 1"], 3);
    let values = ran.values();
    assert_eq!((values.len(), values[0].0.as_str()), (1, "samples"));
    let lacks = "--filter: no record of `events` (struct event) is printed: unknown name `kind`";
    assert!(ran.ended.stderr.contains(lacks), "{:?}", ran.ended);
}

fn count_counts_the_printed_records() {
    let mut sender = Sender::start(9);
    let own = format!("own={}", sender.pid());
    let mut command = binary::command(["run", "--format", "json", "--count", "2", "--filter", "number > 2 && square"]);
    let running = Running::start(command.arg(corpus("events/both")).args(["--set", &own]));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    sender.go();
    let ended = running.end();
    sender.end();
    assert!(ended.status.success(), "{ended:?}");
    let numbers: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["value"]["number"].clone())
        .collect();
    assert_eq!(numbers, [3, 4]);
}

fn record_without_the_value_is_counted_as_unknown() {
    // Records of 20 and of 12 bytes, which end with a flexible array, and of types that have no such member.
    let ran = run_own("events/flexible", &["--filter", "each[1] == 5 || each[1] == 6"], 1);
    let stderr = &ran.ended.stderr;
    assert!(stderr.contains("cannot be judged by --filter"), "{:?}", ran.ended);
}

fn wrong_filter_is_refused_before_attaching() {
    for (object, expression, part) in [
        ("integers", "u8_mots == 1", "--filter: column 1: unknown name `u8_mots`; the members are u8_most, s8_least, "),
        ("integers", "pid && letter == 5", "column 15: text cannot be compared with a number"),
        ("nested", "where.from.z", "column 12: the structure has no member `z`; its members are x, y"),
        ("nested", "y == 1", "column 1: unknown name `y`"),
    ] {
        let mut command = binary::command(["run", "--filter", expression]);
        let ended = Running::start(command.arg(corpus(&format!("events/{object}")))).end();
        assert!(ended.complaint().contains(part), "{expression}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    let mut command = binary::command(["run", "--filter", "a = 1"]);
    let ended = Running::start(command.arg(corpus("events/integers"))).end();
    assert!(ended.status.code() == Some(2) && ended.stderr.contains("column 3: `=` assigns"), "{ended:?}");
}

/// Returns the reason if process ids are not those that programs see.
fn other_namespace() -> Option<String> {
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    (namespace.as_os_str() != "pid:[4026531836]").then(|| "needs the initial PID namespace".to_owned())
}

fn only_command_prints_its_descendants() {
    let mut command = binary::command(["run", "--built-in", "ring", "--only-command", "--format", "json", "--"]);
    let mut running = Running::start(command.args(["sh", "-c", "read line; getent ahosts localhost; true"]));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    // Another process makes a call.
    let mut other = Sender::start(0);
    other.go();
    let other = other.end();
    running.go();
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{ended:?}");
    for line in &lines {
        let call = &line["value"]["call"];
        assert!(call["comm"] == "getent" && call["pid"] != other, "{line}");
    }
    assert!(ended.stderr.contains(&format!("printed {} of ", lines.len())), "{ended:?}");
}

fn only_command_says_that_its_set_is_full() {
    let mut command = binary::command(["run", "--built-in", "ring", "--only-command", "--"]);
    let mut running = Running::start(command.args(["sh", "-c", "read line; getent ahosts localhost; true"]));
    running.stderr_line("everything is attached", |line| line.starts_with("attached "));
    let fds = cutaway::system::open_fds().unwrap();
    let is_own = |id| fds.of_map(id).any(|owner| owner.pid == running.pid());
    let sets: Vec<_> = cutaway::system::maps().flatten().filter(|map| map.name() == "followed").collect();
    let sets: Vec<_> = sets.iter().filter(|map| is_own(map.id())).collect();
    assert!(!sets.is_empty());
    for set in sets {
        // Process ids that no process has.
        assert!((1 << 23..1 << 24).any(|pid: u32| set.update(&pid.to_ne_bytes(), &[1]).is_err()), "it has a limit");
    }
    running.go();
    let ended = running.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("the records of 1 or more processes of COMMAND are missing"), "{ended:?}");
}

fn only_command_needs_a_process_id() {
    let mut command = binary::command(["run", "--only-command"]);
    let ended = Running::start(command.arg(corpus("events/nested")).args(["--", "true"])).end();
    assert!(ended.complaint().contains("--only-command: no record has a process id"), "{ended:?}");
    let mut command = binary::command(["run", "--only-command"]);
    let ended = Running::start(command.arg(corpus("events/nested"))).end();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

fn part_of_a_variable_is_set() {
    let words =
        ["cfg.level=5", "cfg.ports[1]=-3", "cfg.mode=FAST", "cfg.target.name=lo", "cfg.high=9", "table[1][0]=70"];
    let words: Vec<_> =
        words.into_iter().chain(["pairs[1].second=0x10"]).flat_map(|setting| ["--set", setting]).collect();
    let ran = run_own("events/settings", &words, 1);
    let expected = json!({
        "settings": {
            "level": 5, "ports": [7, -3, 9], "mode": "FAST", "loud": false,
            "target": { "name": "lo", "limits": [5, 6] }, "low": 0, "high": 9,
        },
        "table": [[1, 2, 3], [70, 5, 6]], "second": 16,
    });
    assert_eq!(ran.values(), [("events".to_owned(), expected)]);
    for (setting, part) in [("cfg.levle=1", "has no member `levle`; its members are level"), ("cfg.low=16", "4 bits")] {
        let mut command = binary::command(["run", "--set", setting]);
        let ended = Running::start(command.arg(corpus("events/settings"))).end();
        assert!(ended.complaint().contains(part), "{setting}: {ended:?}");
    }
}

fn network_order_is_decoded() {
    let ran = run_own("events/network", &[], 1);
    let expected = json!({
        "pid": ran.pid, "port": 443, "saddr": "127.0.0.1", "sequence": 5, "cookie": 6, "to": "10.0.0.2",
        "from": "fe80::1", "mapped": "::ffff:192.0.0.1", "ports": [80, 8080],
    });
    assert_eq!(ran.values(), [("events".to_owned(), expected)]);
}
