//! Options without effect are refused, and the error names the programs that they apply to. Options with an effect on
//! some programs are accepted.

use cutaway_programs::prelude::*;

use crate::{
    binary::{self, Ended, Running},
    corpus,
    harness::{Test, test},
    honest::object,
    requirements::{ring, root},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(option_without_effect_is_refused),
        test!(option_given_twice_for_one_name_is_refused),
        test!(option_without_effect_without_buffers_is_refused),
        test!(object_without_buffers_reports_no_lost_count).needs(root),
        test!(type_with_the_name_of_a_map_is_found).needs(root),
        test!(summary_as_text_has_a_line_for_each_map).needs(ring),
        test!(option_with_effect_on_some_programs_is_accepted).needs(root),
    ]
}

fn run(object: &str, words: &[&str]) -> Ended {
    Running::start(binary::command(["run"]).arg(corpus(object)).args(words)).end()
}

/// Asserts an error of one line: the first word of `words` has no effect, and `part`.
fn is_refused(ended: &Ended, words: &[&str], part: &str) {
    let complaint = ended.complaint();
    let begins = complaint.starts_with(&format!("{} ", words[0])) && complaint.contains(" has no effect");
    assert!(begins && complaint.contains(part), "{words:?}: {complaint}");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{words:?}");
}

fn option_without_effect_is_refused() {
    const INTERFACES: &str = "xdp, tc, tcx, classifier, netkit";
    for (object, words, part) in [
        ("events/named", &["--interface", "lo"][..], INTERFACES),
        ("events/named", &["--cgroup", "/sys/fs/cgroup"], "cgroup, sockops, lsm_cgroup"),
        ("events/named", &["--frequency", "7"], "perf_event"),
        ("events/named", &["--btf", "/absent"], "no CO-RE relocations"),
        ("events/named", &["--pins", "/absent"], "pins no map by name"),
        ("events/tables", &["--filter", "pid == 1"], "no ring buffer and no perf event array"),
        ("events/tables", &["--timestamps"], "no ring buffer and no perf event array"),
        ("events/named", &["--buffer", "4096", "--max-entries", "events=4096"], "a size of its own (--max-entries)"),
        ("events/named", &["--type", "struct one", "--type", "events=struct other"], "--type MAP=TYPE"),
        // The programs that take it exist, but are not to run, or have a target of their own.
        ("events/chooses", &["--interface", "lo", "--program", "runs"], INTERFACES),
        ("events/chooses", &["--interface", "lo", "--program", "packets", "--attach", "packets=lo"], "(--attach)"),
        ("kinds/sections", &["--frequency", "7", "--program", "tracepoint"], "perf_event"),
        // The named program is not to run.
        ("events/chooses", &["--attach", "optional=syscalls/sys_enter_getpgid"], "select it with --program optional"),
        ("events/chooses", &["--attach", "packets=lo", "--program", "runs"], "select it with --program packets"),
        ("events/chooses", &["--section", "packets=tc", "--program", "runs"], "select it with --program packets"),
    ] {
        is_refused(&run(object, words), words, part);
    }
}

fn option_given_twice_for_one_name_is_refused() {
    for words in [
        ["--attach", "sends=syscalls/a", "--attach", "sends=syscalls/b"],
        ["--section", "sends=xdp", "--section", "sends=tc"],
        ["--set", "limit=1", "--set", "limit=2"],
        ["--max-entries", "events=4096", "--max-entries", "events=8192"],
        ["--type", "events=struct one", "--type", "events=struct other"],
        ["--type", "struct one", "--type", "struct other"],
    ] {
        let ended = run("events/named", &words);
        assert_eq!(ended.status.code(), Some(2), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(&format!("{} is given twice for ", words[0])), "{words:?}: {ended:?}");
    }
    let ended = run("events/named", &["--type", "struct one", "--format", "hex"]);
    assert!(ended.status.code() == Some(2) && ended.stderr.contains("--format hex"), "{ended:?}");
}

/// Returns a program that sends nothing.
fn silent() -> tempfile::NamedTempFile {
    object(|object| {
        let mut asm = Assembler::new();
        asm.mov(R0, 0);
        asm.exit();
        object.program("tracepoint/syscalls/sys_enter_getpgid", "silent", asm);
    })
}

fn option_without_effect_without_buffers_is_refused() {
    let file = silent();
    let run = |words: &[&str]| Running::start(binary::command(["run"]).arg(file.path()).args(words)).end();
    for words in [["--buffer", "4096"], ["--type", "u64"], ["--count", "1"]] {
        is_refused(&run(&words), &words, "the object has no ring buffer and no perf event array");
    }
}

fn object_without_buffers_reports_no_lost_count() {
    let file = silent();
    let words = ["run", "--duration", "0.1", "--summary", "--format", "json", "--variables", "--maps"];
    let ended = Running::start(binary::command(words).arg(file.path())).end();
    let why = "no buffer: the object has no ring and no perf event array that is read";
    assert_eq!(ended.stderr.lines().last(), Some(why), "{ended:?}");
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        summary,
        serde_json::json!({
            "received": 0, "lost": null, "lost_at_least": null, "lost_why": why, "unreadable": 0, "maps": [],
            "unknown_map_sites": [],
        })
    );
    for part in ["--variables: the object has no global variables", "--maps: the object has no map with elements"] {
        assert_eq!(ended.stderr.matches(part).count(), 1, "{ended:?}");
    }
}

/// The name is not taken for that of a map with its own type.
fn type_with_the_name_of_a_map_is_found() {
    let ended = run("events/named", &["--type", "events"]);
    assert!(ended.complaint().starts_with("neither the object nor the kernel has a type `events`"), "{ended:?}");
}

fn summary_as_text_has_a_line_for_each_map() {
    let ended = run("events/named", &["--duration", "0.1", "--summary", "--program", "sends"]);
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().rev().take(2).collect();
    assert!(lines[0].starts_with("received "), "{ended:?}");
    assert_eq!(lines[1], format!("`events`: {}", lines[0]));
}

/// The option does not apply to all programs.
fn option_with_effect_on_some_programs_is_accepted() {
    let words = ["--interface", "lo", "--program", "packets", "--program", "runs", "--duration", "0.1"];
    let ended = run("events/chooses", &words);
    assert!(ended.status.success() && !ended.stderr.contains("no effect"), "{ended:?}");
    assert!(ended.stderr.contains("packets (") && ended.stderr.contains("runs ("), "{ended:?}");
}
