//! Records of every kind of type, from `tests/corpus/events`: the output must be as the sources say.

use serde_json::{Value, json};

use crate::{
    harness::{Test, older_than, test},
    requirements::{ring, root},
    run_own,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(integers_of_all_widths_are_decoded).needs(ring),
        test!(enums_are_decoded).needs(ring),
        test!(nested_structs_are_decoded).needs(ring),
        test!(arrays_and_text_are_decoded).needs(ring),
        test!(bit_fields_are_decoded).needs(ring),
        test!(unions_are_decoded).needs(ring),
        test!(floats_and_typedefs_are_decoded).needs(ring),
        test!(perf_buffer_and_ring_are_polled_together).needs(ring).unless(no_atomics),
        test!(large_event_from_a_heap_is_decoded).needs(root),
        test!(several_rings_are_polled_together).needs(ring),
        test!(ring_with_records_of_several_lengths).needs(ring),
        test!(ambiguous_type_is_hex_with_candidates).needs(ring),
        test!(type_is_inferred_from_the_source_line).needs(ring),
        test!(type_option_for_all_maps_or_one).needs(ring),
        test!(hex_shows_every_byte).needs(ring),
        test!(table_has_a_column_for_each_member).needs(ring),
    ]
}

/// Asserts that three calls send the same record three times.
fn thrice(object: &str, expected: Value) {
    let ran = run_own(&format!("events/{object}"), &[], 3);
    let pid = ran.pid;
    let mut expected = expected;
    for field in ["pid", "who"] {
        if expected.get(field) == Some(&json!("own")) {
            expected[field] = json!(pid);
        }
    }
    let values: Vec<_> = ran.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, vec![expected; 3]);
}

fn integers_of_all_widths_are_decoded() {
    thrice(
        "integers",
        json!({
            "u8_most": 255, "s8_least": -128, "u16_most": 65535, "s16_least": -32768, "u32_most": u32::MAX,
            "s32_least": i32::MIN, "u64_most": u64::MAX, "s64_least": i64::MIN, "yes": true, "no": false,
            "letter": "x", "pid": "own",
        }),
    );
}

fn enums_are_decoded() {
    thrice(
        "enums",
        json!({
            "verdict": "REFUSED", "other": "ALLOWED", "nameless": 77,
            "one": "WRITES", "both": ["READS", "RUNS"], "more": ["WRITES", "0x40"],
        }),
    );
}

fn nested_structs_are_decoded() {
    thrice(
        "nested",
        json!({
            "where": { "from": { "x": 1, "y": -1 }, "to": { "x": 2, "y": -2 }, "name": "0x1234abcd" },
            "port": 80, "flags": 3,
            "path": [{ "x": 0, "y": 0 }, { "x": 1, "y": -1 }, { "x": 2, "y": -2 }],
            "last": 9,
        }),
    );
}

fn arrays_and_text_are_decoded() {
    let ran = run_own("events/arrays", &[], 1);
    let values = ran.values();
    let mut expected = json!({
        "numbers": [1000, -1, -1002, -2003], "table": [[0, 1, 2], [10, 11, 12]], "bytes": "f0f1f2f3f4f5",
        "text": "a\tb", "full": "full", "comm": "", "none": [],
    });
    // The kernel keeps 15 bytes of the name of this binary.
    let name = std::env::current_exe().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    expected["comm"] = json!(name.get(..15).unwrap_or(&name));
    assert_eq!(values, [("events".to_owned(), expected)]);
}

fn bit_fields_are_decoded() {
    thrice(
        "bitfields",
        json!({
            "a": 5, "b": 100, "c": 0xabcde, "d": -3, "e": -40_000_000, "f": 0x12_3456_789a_u64, "g": 0xfe_dcba,
            "how": "QUICKLY", "flag": true,
        }),
    );
}

fn unions_are_decoded() {
    thrice(
        "unions",
        json!({
            "source": { "v4": "7f000001", "word": 0x0100_007f }, "port": 0x5000, "half": "0050", "length": 60,
            "value": { "halves": { "low": 0xffff_fffe_u32, "high": u32::MAX }, "whole": -2 },
        }),
    );
}

fn floats_and_typedefs_are_decoded() {
    thrice("floats", json!({ "ratio": 1.5, "missing": "NaN", "amount": -2.0 }));
}

/// Returns the reason if there is no atomic addition that returns the old value.
pub(crate) fn no_atomics() -> Option<String> {
    older_than(5, 12, "instructions that fetch and add")
}

fn perf_buffer_and_ring_are_polled_together() {
    const CALLS: u32 = 200;
    let ran = run_own("events/both", &[], CALLS);
    let values = ran.values();
    let (samples, events): (Vec<_>, Vec<_>) = values.into_iter().partition(|(map, _)| map == "samples");
    assert_eq!((samples.len(), events.len()), (CALLS as usize, CALLS as usize));
    for (number, (_, event)) in events.iter().enumerate() {
        assert_eq!(*event, json!({ "number": number, "square": number * number }));
    }
    // Ordered for each CPU.
    let mut numbers: Vec<_> = samples.iter().map(|(_, sample)| sample["number"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..CALLS.into()), "{numbers:?}");
    for (_, sample) in &samples {
        assert_eq!((&sample["cpu_time"], &sample["kind"]), (&json!(7), &json!("sample")));
    }
    for line in ran.lines() {
        let perf = line["map"] == "samples";
        assert_eq!((line["cpu"].is_u64(), line["time_ns"].is_u64()), (perf, perf), "{line}");
        assert_eq!(line["type"], if perf { "struct sample" } else { "struct event" });
        assert_eq!(line["hex"], Value::Null);
    }
}

fn large_event_from_a_heap_is_decoded() {
    let ran = run_own("events/heap", &[], 2);
    let text: String = (0..599_u32).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    let expected = json!({ "pid": ran.pid, "length": 599, "text": text, "end": 42 });
    assert_eq!(ran.values(), vec![("events".to_owned(), expected); 2]);
}

fn several_rings_are_polled_together() {
    let ran = run_own("events/several", &[], 5);
    let values = ran.values();
    assert_eq!(values.len(), 15);
    for (map, expected) in [
        ("opened", json!({ "fd": 3, "path": "/dev/null" })),
        ("closed", json!({ "fd": 3 })),
        ("counted", json!({ "bytes": 100, "calls": 2, "errors": 1 })),
    ] {
        let mine: Vec<_> = values.iter().filter(|(name, _)| name == map).collect();
        assert_eq!(mine.len(), 5, "{map}");
        assert!(mine.iter().all(|(_, value)| *value == expected), "{mine:?}");
    }
    assert!(ran.ended.stderr.contains("`unused` (ring, 65536 bytes)"), "{}", ran.ended.stderr);
}

fn ring_with_records_of_several_lengths() {
    let ran = run_own("events/lengths", &[], 2);
    let once = [
        json!({ "pid": 1, "parent": 2 }),
        json!({ "pid": 1, "status": -1, "time": 99 }),
        json!({ "length": 5, "text": "hello" }),
    ];
    let values: Vec<_> = ran.values().into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [once.clone(), once].concat());
    let types: Vec<_> = ran.lines().iter().map(|line| line["type"].clone()).collect();
    assert_eq!(types[..3], [json!("struct started"), json!("struct ended"), json!("struct message")]);
}

fn ambiguous_type_is_hex_with_candidates() {
    let ran = run_own("events/ambiguous", &[], 1);
    let line = &ran.lines()[0];
    assert_eq!((&line["value"], &line["type"]), (&Value::Null, &Value::Null));
    assert_eq!(line["hex"], "0100000002000000");
    let expected_message = "records of 8 bytes may be struct one or struct other, and are printed as hex";
    assert!(ran.ended.stderr.contains(expected_message), "{}", ran.ended.stderr);
}

fn type_is_inferred_from_the_source_line() {
    let ran = run_own("events/named", &[], 1);
    assert_eq!(ran.values(), [("events".to_owned(), json!({ "first": 1, "second": 2 }))]);
}

fn type_option_for_all_maps_or_one() {
    for option in ["events=struct other", "struct other", "other"] {
        let ran = run_own("events/ambiguous", &["--type", option], 1);
        assert_eq!(ran.values(), [("events".to_owned(), json!({ "only": 0x2_0000_0001_u64 }))], "{option}");
    }
    // The bytes after the type's end are shown.
    let ran = run_own("events/ambiguous", &["--type", "events=u16"], 1);
    let line = &ran.lines()[0];
    assert_eq!((&line["value"], &line["hex"]), (&json!(1), &json!("000002000000")));
    // The members beyond the record's end are missing.
    let ran = run_own("events/lengths", &["--type", "ended"], 1);
    assert_eq!(ran.values()[0].1, json!({ "pid": 1, "status": 2, "time": null }));
}

fn hex_shows_every_byte() {
    let ran = run_own("events/several", &["--format", "hex", "--program", "sends"], 1);
    ran.ended.received();
    for line in ["opened    16  030000002f646576 2f6e756c6c000000", "closed     4  03000000"] {
        assert!(ran.ended.stdout.lines().any(|known| known == line), "{:?}", ran.ended);
    }
}

fn table_has_a_column_for_each_member() {
    let ran = run_own("events/integers", &["--format", "table"], 2);
    ran.ended.received();
    let lines: Vec<_> = ran.ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0])[..4], ["U8_MOST", "S8_LEAST", "U16_MOST", "S16_LEAST"]);
    assert_eq!(words(lines[1])[..4], ["255", "-128", "65535", "-32768"]);
    assert_eq!(words(lines[1]).last(), Some(&ran.pid.to_string()));
    // With two maps there are no columns, but each line has everything.
    let ran = run_own("events/several", &["--format", "table"], 1);
    assert!(ran.ended.stdout.contains("opened  struct opened {fd: 3, path: \"/dev/null\"}"), "{:?}", ran.ended);
}
