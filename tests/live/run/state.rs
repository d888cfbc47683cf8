//! The final state of variables and maps, and values that are set before loading.

use serde_json::{Value, json};

use crate::{
    binary, corpus,
    harness::{Test, test},
    requirements::root,
    run_own, unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(variables_are_printed_by_name_and_type).needs(root),
        test!(map_elements_are_printed_decoded).needs(root),
        test!(final_state_is_a_table).needs(root),
        test!(program_without_attachment_is_test_run_once).needs(root).unless(unsupported::syscall_programs),
        test!(value_that_does_not_fit_is_refused_before_loading),
    ]
}

fn variable<'l>(lines: &'l [Value], name: &str) -> &'l Value {
    lines.iter().find(|line| line["variable"] == name).unwrap_or_else(|| panic!("{name}: {lines:?}"))
}

fn variables_are_printed_by_name_and_type() {
    let words = ["--variables", "--set", "step=0x10", "--set", "favourite=BLUE", "--set", "label=set"];
    let ran = run_own("events/tables", &words, 5);
    let lines = ran.lines();
    for (name, type_name, section, value) in [
        ("calls", "u64", ".bss", json!(80)),
        ("balance", "s32", ".data", json!(-5)),
        ("label", "char[8]", ".data", json!("set")),
        ("favourite", "enum colour", ".data", json!("BLUE")),
        ("own", "const volatile u32", ".rodata", json!(ran.pid)),
    ] {
        let line = variable(&lines, name);
        assert_eq!((&line["type"], &line["section"], &line["value"]), (&json!(type_name), &json!(section), &value));
    }
    assert_eq!(ran.ended.outcome(), (0, None));
}

fn map_elements_are_printed_decoded() {
    let ran = run_own("events/tables", &["--maps"], 2);
    let lines = ran.lines();
    let of = |name: &str| lines.iter().filter(|line| line["map"] == name).collect::<Vec<_>>();
    let counts = json!({
        "map": "counts", "key": { "pid": ran.pid, "colour": "BLUE" }, "value": { "calls": 3, "who": "nobody" },
    });
    assert_eq!(of("counts"), [&counts]);
    let slots = of("slots");
    assert_eq!(slots.len(), 8);
    assert!(slots.iter().all(|line| line["value"] == if line["key"] == 2 { json!(-7) } else { json!(0) }), "{slots:?}");
    let values = of("by_cpu")[0]["values"].as_array().unwrap();
    assert!(values.iter().any(|each| each["value"] == 2) && values[0]["cpu"] == 0, "{values:?}");
    assert_eq!(of("sized"), [&json!({ "map": "sized", "key": "0102", "value": "010203" })]);
}

fn final_state_is_a_table() {
    let ran = run_own("events/tables", &["--maps", "--variables", "--format", "table"], 1);
    ran.ended.received();
    let key = format!("  {{pid: {}, colour: BLUE}} = {{calls: 3, who: \"nobody\"}}", ran.pid);
    for line in [
        ".bss: u64 calls = 1",
        ".data: enum colour favourite = GREEN",
        "counts (HASH): 1 element",
        &key,
        "slots (ARRAY): 1 element, and 7 that are 0",
        "  2 = -7",
    ] {
        assert!(ran.ended.stdout.lines().any(|known| known == line), "{line}: {:?}", ran.ended);
    }
}

fn program_without_attachment_is_test_run_once() {
    let mut command =
        binary::command(["run", "--set", "enabled=true", "--set", "limit=100", "--variables", "--format", "json"]);
    command.arg(corpus("data/variables"));
    let ended = binary::Running::start(&mut command).end();
    ended.received();
    assert!(ended.stderr.contains("`add` returned 0"), "{ended:?}");
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(variable(&lines, "counter")["value"], 1);
    // 100, the levels 1, 2 and 3, the offset -5, the port 4, tuning 100, RED.
    assert_eq!(variable(&lines, "sum")["value"], 100 + 6 - 5 + 4 + 100 + 1);
    assert_eq!(variable(&lines, "pair")["value"], json!({ "one": 1, "other": 0 }));
}

fn value_that_does_not_fit_is_refused_before_loading() {
    for (setting, part) in [
        ("step=-1", "unsigned integer of 4 bytes"),
        ("favourite=PURPLE", "RED, GREEN, BLUE"),
        ("label=a label that is too long", "8 bytes"),
        ("absent=1", "no variable `absent`"),
    ] {
        let mut command = binary::command(["run", "--set", setting]);
        let ended = binary::Running::start(command.arg(corpus("events/tables"))).end();
        assert!(ended.complaint().contains(part), "{setting}: {ended:?}");
    }
}
