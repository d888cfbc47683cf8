//! Objects that cannot be run: garbage, missing privileges, unknown names; and one program of several.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    thread,
};

use cutaway_programs::prelude::*;
use serde_json::json;

use crate::{
    binary::{self, Running},
    corpus,
    harness::{Test, test},
    honest::object,
    own_mounts,
    requirements::{ring, root},
    run_own,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(wrong_usage_of_run_ends_with_status_2),
        test!(garbage_is_not_run),
        test!(unknown_names_are_refused_before_loading),
        test!(run_without_privileges_is_refused).needs(root),
        test!(refused_program_does_not_stop_the_others).needs(ring),
        test!(programs_are_selected_and_given_targets).needs(ring),
        test!(object_without_programs_is_refused).needs(root),
        test!(without_types_records_are_hex).needs(root),
        test!(static_program_is_named_with_its_reason).needs(root),
        test!(program_of_an_unknown_section_is_named),
        test!(missing_kprobes_are_reported_once).needs(root),
    ]
}

fn run(words: &[&str], object: &str) -> binary::Ended {
    Running::start(binary::command(["run"]).arg(corpus(object)).args(words)).end()
}

fn wrong_usage_of_run_ends_with_status_2() {
    for words in [
        vec!["--set", "novalue"],
        vec!["--attach", "=lo"],
        vec!["--count", "0"],
        vec!["--duration", "0"],
        vec!["--buffer", "0"],
        vec!["--format", "xml"],
        vec!["--pid", "0"],
        vec!["--pid", "1", "--", "true"],
        vec!["--built-in", "ring"],
    ] {
        let ended = run(&words, "kinds/one_ring");
        assert_eq!(ended.status.code(), Some(2), "{words:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(Running::start(&mut binary::command(["run"])).end().status.code(), Some(2));
}

fn garbage_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage.o");
    for (bytes, part) in [(&b""[..], "64-bit ELF"), (b"int main(void) { return 0; }\n", "64-bit ELF")] {
        fs::write(&path, bytes).unwrap();
        let ended = Running::start(binary::command(["run"]).arg(&path)).end();
        let complaint = ended.complaint();
        assert!(complaint.starts_with("cannot read `") && complaint.contains(part), "{ended:?}");
    }
    let ended = Running::start(binary::command(["run"]).arg(folder.path().join("absent"))).end();
    assert!(ended.complaint().contains("ENOENT"), "{ended:?}");
}

fn unknown_names_are_refused_before_loading() {
    for (words, part) in [
        (["--type", "events=struct absent"], "has a type `struct absent`; its structures are one, other"),
        (["--type", "absent=struct one"], "no perf event array `absent`; it has `events`"),
        (["--program", "absent"], "no program `absent`; it has `sends`"),
        (["--attach", "sends=nonsense"], "nonsense"),
    ] {
        let ended = run(&words, "events/named");
        assert!(ended.complaint().contains(part), "{words:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
}

fn run_without_privileges_is_refused() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    let (copy, object) = (folder.path().join("cutaway"), folder.path().join("one_ring.o"));
    fs::copy(binary::path(), &copy).unwrap();
    fs::copy(corpus("kinds/one_ring"), &object).unwrap();
    for path in [folder.path(), &copy, &object] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&copy);
    command.arg("run").arg(&object).uid(NOBODY).gid(NOBODY).current_dir("/");
    let ended = Running::start(&mut command).end();
    let complaint = ended.complaint();
    assert!(complaint.contains("EPERM") && complaint.contains("CAP_BPF"), "{ended:?}");
}

fn refused_program_does_not_stop_the_others() {
    let ran = run_own("events/chooses", &["--type", "event"], 2);
    let values = ran.values();
    assert!(!values.is_empty() && values.iter().all(|(_, value)| *value == json!({ "who": 1, "what": ran.pid })));
    let said = |part: &str| assert!(ran.ended.stderr.contains(part), "{}", ran.ended.stderr);
    said("cutaway: skipped `wild`: the verifier refuses it: ");
    said("cutaway: skipped `packets`: an interface is required; pass --interface NAME");
    said("cutaway: skipped `placeless`: its section `tracepoint` has no target; pass --attach 'placeless=TARGET'");
    said("attached runs (tracepoint/syscalls/sys_enter_getpgid)");
    // A section that begins with `?` is not loaded by default.
    assert!(!ran.ended.stderr.contains("optional"));
}

fn programs_are_selected_and_given_targets() {
    let words = ["--program", "optional", "--program", "placeless", "--attach", "placeless=syscalls/sys_enter_getpgid"];
    let ran = run_own("events/chooses", &words, 3);
    let mut who: Vec<_> = ran.values().iter().map(|(_, value)| value["who"].as_u64().unwrap()).collect();
    who.sort_unstable();
    assert_eq!(who, [2, 2, 2, 3, 3, 3]);
}

fn object_without_programs_is_refused() {
    let ended = run(&["--program", "wild"], "events/chooses");
    let complaint = ended.complaint();
    assert!(complaint.contains("`wild`, does not run here: the verifier refuses"), "{complaint}");
    let ended = run(&[], "kinds/sections");
    assert_eq!(ended.status.code(), Some(1));
    let last = ended.stderr.lines().last().unwrap();
    let advice = "has no program to run; select a program whose section begins with `?` with --program NAME";
    assert!(last.ends_with(advice), "{last}");
}

fn without_types_records_are_hex() {
    let ran = run_own("kinds/legacy_no_btf", &[], 1);
    let line = &ran.lines()[0];
    // The length is known from the program's instructions; the padding is not included.
    assert_eq!((&line["hex"], &line["size"]), (&json!("0500000000000000"), &json!(12)));
    assert!(ran.ended.stderr.contains("have an unknown type (not in the object's BTF)"), "{}", ran.ended.stderr);
}

fn static_program_is_named_with_its_reason() {
    let ended = run(&["--duration", "0.1"], "faults/static_programs");
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains("`forgotten`")).collect();
    let [line] = lines.as_slice() else { panic!("{ended:?}") };
    assert!(line.ends_with("it is static, and programs must be global: drop `static`"), "{line}");
}

fn program_of_an_unknown_section_is_named() {
    let ended = run(&["--program", "in_foo"], "faults/unknown_sections");
    let complaint = ended.complaint();
    assert!(complaint.contains("cannot run `in_foo`: its section `foo` names no program type"), "{complaint}");
}

/// A kernel built without kprobes is simulated: their PMUs are missing from sysfs.
fn missing_kprobes_are_reported_once() {
    let file = object(|object| {
        for (section, name) in [("kprobe/one", "a"), ("kprobe/two", "b"), ("kretprobe/three", "c")] {
            let mut asm = Assembler::new();
            asm.mov(R0, 0);
            asm.exit();
            object.program(section, name, asm);
        }
    });
    let hidden = || {
        own_mounts::of_this_thread().unwrap();
        own_mounts::mount("tmpfs", Path::new("/sys/bus/event_source/devices"));
        Running::start(binary::command(["run"]).arg(file.path())).end()
    };
    let ended = thread::scope(|scope| scope.spawn(hidden).join().unwrap());
    let why = "cannot read /sys/bus/event_source/devices/kprobe/type: ENOENT (No such file or directory)";
    assert_eq!(ended.stderr.matches(why).count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("skipped `a`, `b`, `c`: "), "{ended:?}");
}
