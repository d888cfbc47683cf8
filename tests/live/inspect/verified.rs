//! `--summary`, `--no-code`, patterns of programs, and `--verify`, whose figures are compared with the kernel's.

use std::{collections::BTreeMap, fs, path::Path};

use cutaway::Object;
use cutaway_programs::getaddrinfo::Transport;
use serde_json::Value;

use crate::{
    corpus,
    harness::{Test, test},
    inspect, report,
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(summary_counts_programs_and_maps),
        test!(programs_are_selected_by_pattern),
        test!(code_is_omitted),
        test!(missing_probes_of_this_machine_are_named),
        test!(nothing_is_missing_on_a_machine_that_is_not_examined),
        test!(verifier_figures_are_those_of_the_kernel).needs(ring),
        test!(refused_program_has_the_reason_of_the_verifier).needs(root),
        test!(verification_pins_nothing).needs(root),
        test!(object_of_another_byte_order_is_not_verified),
    ]
}

/// Returns the JSON of a list as its texts.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn summary_counts_programs_and_maps() {
    let object = Object::parse(&Transport::Ring.object().unwrap()).unwrap();
    let mut types = BTreeMap::new();
    for program in object.programs() {
        *types.entry(program.section.program_type.to_string()).or_insert(0) += 1;
    }
    let summary = report(["--built-in", "ring", "--summary"]);
    assert_eq!(summary["programs"], serde_json::to_value(&types).unwrap());
    assert_eq!(summary["maps"]["RINGBUF"], 1);
    let whole = report(["--built-in", "ring"]);
    let slots: u64 = whole["programs"].as_array().unwrap().iter().map(|one| one["slots"].as_u64().unwrap()).sum();
    assert_eq!((&summary["slots"], &summary["needs"]), (&slots.into(), &whole["needs"]));
    assert!(texts(&summary["needs"]).contains(&"ring buffers"), "{summary}");
    assert!(texts(&summary["needs"]).contains(&"uprobes"), "{summary}");
    let table = inspect(["--built-in", "ring", "-s"]);
    assert!(table.status.success() && table.stdout.lines().count() < 20, "{table:?}");
    let programs = format!("  programs  {}: ", object.programs().len());
    assert!(table.stdout.contains(&programs) && table.stdout.contains("\n  needs "), "{table:?}");
}

fn programs_are_selected_by_pattern() {
    let names = |patterns: &[&str]| {
        let options = patterns.iter().flat_map(|pattern| ["--programs", pattern]);
        let reported = report(["--built-in", "ring"].into_iter().chain(options));
        let programs = reported["programs"].as_array().unwrap();
        programs.iter().map(|program| program["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["getaddrinfo_*"]), ["getaddrinfo_entry", "getaddrinfo_return"]);
    assert_eq!(names(&["*_e?it", "getaddrinfo_entry"]), ["follow_exit", "getaddrinfo_entry"]);
    let ended = inspect(["--built-in", "ring", "--program", "getaddrinfo_*", "--program", "no_*"]);
    assert!(ended.complaint().contains("has no program `no_*`; it has `follow_fork`"), "{ended:?}");
}

fn code_is_omitted() {
    let with = inspect(["--built-in", "ring"]).stdout;
    let without = inspect(["--built-in", "ring", "--no-code"]).stdout;
    assert!(with.contains("=> r1 = map[events]") && !without.contains("=> "), "{without}");
    // Everything else is there.
    let kept = with.lines().take_while(|line| !line.starts_with("tracepoint/")).collect::<Vec<_>>();
    assert!(without.starts_with(&kept.join("\n")) && without.contains(": getaddrinfo_return\n"), "{without}");
    let programs = &report(["--built-in", "ring", "--no-code"])["programs"];
    assert!(programs.as_array().unwrap().iter().all(|program| program["listing"].is_null()), "{programs}");
}

/// The sentence says what attaching would fail for, and only where it would fail.
fn missing_probes_of_this_machine_are_named() {
    for (program, feature, source) in [("kprobe", "kprobes", "kprobe"), ("uprobe", "uprobes", "uprobe")] {
        let object = corpus("kinds/sections.o").into_os_string();
        let reported = report([object, "--program".into(), program.into()]);
        let has = Path::new(&format!("/sys/bus/event_source/devices/{source}/type")).exists();
        let is_needed = texts(&reported["needs"]).contains(&feature);
        let is_missing = texts(&reported["missing"]).iter().any(|line| line.starts_with(&format!("{feature}: ")));
        assert_eq!((is_needed, is_missing), (true, !has), "{program}: {} {}", reported["needs"], reported["missing"]);
    }
}

fn nothing_is_missing_on_a_machine_that_is_not_examined() {
    let object = corpus("kinds/one_ring.o");
    let words = [object.as_os_str(), "--btf".as_ref(), object.as_os_str(), "--summary".as_ref()];
    let table = inspect(words);
    assert!(table.stdout.contains("  missing   not examined"), "{table:?}");
    assert!(texts(&report(words)["needs"]).contains(&"ring buffers"), "{table:?}");
}

fn verifier_figures_are_those_of_the_kernel() {
    let loaded = Object::parse(&Transport::Ring.object().unwrap()).unwrap().load().unwrap();
    let reported = report(["--built-in", "ring", "--verify"]);
    let verdicts = reported["verifier"].as_array().unwrap();
    assert_eq!(verdicts.len(), loaded.programs().count());
    for program in loaded.programs() {
        let verdict = verdicts.iter().find(|verdict| verdict["program"] == program.name()).unwrap();
        assert_eq!(verdict["accepted"], true, "{verdict}");
        // Linux 5.16 and later store the number.
        if let Some(processed) = program.info().unwrap().verified_insns {
            assert_eq!(verdict["processed_instructions"], processed, "{verdict}");
        }
        assert!(verdict["total_states"].as_u64().unwrap() > 0, "{verdict}");
        let depths = verdict["stack_depths"].as_array().unwrap();
        assert!(depths.iter().all(|depth| depth.as_u64().unwrap() <= 512), "{verdict}");
    }
    let one = report(["--built-in", "ring", "--verify", "--program", "follow_exit"]);
    assert_eq!(one["verifier"].as_array().unwrap().len(), 1);
    let table = inspect(["--built-in", "ring", "--verify", "--summary"]);
    assert!(table.stdout.contains("  follow_exit: accepted\n") && table.stdout.contains(" instructions processed"));
    assert!(report(["--built-in", "ring"])["verifier"].is_null());
}

fn refused_program_has_the_reason_of_the_verifier() {
    let reported = report([corpus("events/chooses.o").as_os_str(), "--verify".as_ref(), "--no-code".as_ref()]);
    let verdicts = reported["verifier"].as_array().unwrap();
    let wild = verdicts.iter().find(|verdict| verdict["program"] == "wild").unwrap();
    assert_eq!((&wild["accepted"], &wild["processed_instructions"]), (&Value::Bool(false), &Value::Null));
    assert!(wild["why"].as_str().unwrap().contains("R1 invalid mem access"), "{wild}");
    assert!(verdicts.iter().any(|verdict| verdict["accepted"] == true), "the others are verified: {verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict["program"] != "optional"), "it is loaded only on request");
    let chosen =
        [corpus("events/chooses.o").into_os_string(), "--verify".into(), "--program".into(), "optional".into()];
    assert_eq!(report(chosen)["verifier"][0]["program"], "optional");
}

/// The map is declared with `LIBBPF_PIN_BY_NAME`. Loading would pin it.
fn verification_pins_nothing() {
    let object = corpus("kinds/pinned.o");
    let pinned = || fs::read_dir("/sys/fs/bpf").unwrap().count();
    let before = pinned();
    let reported = report([object.as_os_str(), "--verify".as_ref()]);
    assert!(reported["maps"].as_array().unwrap().iter().any(|map| map["pinned"] == true), "{reported}");
    let verdicts = reported["verifier"].as_array().unwrap();
    assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| verdict["accepted"] == true), "{verdicts:?}");
    assert_eq!(pinned(), before);
}

fn object_of_another_byte_order_is_not_verified() {
    let name = if cfg!(target_endian = "little") { "kinds/code_eb.o" } else { "kinds/code.o" };
    let ended = inspect([corpus(name).as_os_str(), "--verify".as_ref()]);
    assert!(ended.complaint().contains("other byte order"), "{ended:?}");
    assert_eq!(ended.stdout, "");
}
