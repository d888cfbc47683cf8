//! Objects that can be loaded on some kernel: each is reported, and the report is correct.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use cutaway_programs::{
    compare::{self},
    getaddrinfo::Transport,
};
use serde_json::Value;

use crate::{
    binary, corpus,
    harness::{Test, test},
    inspect, many_core, report,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(every_corpus_object_is_inspected),
        test!(every_assembled_object_is_inspected),
        test!(sizes_are_those_sent_to_the_kernel),
        test!(relocations_are_shown_at_their_instructions),
        test!(instructions_are_shown_before_and_after),
        test!(inserted_instructions_are_before_or_after_others),
        test!(core_against_own_types_changes_nothing),
        test!(externs_are_found_or_named_as_missing),
        test!(foreign_byte_order_is_inspected_alike),
        test!(inspect_needs_no_privileges).needs(root),
        test!(help_example_of_inspect_works),
    ]
}

/// Returns the objects below a directory.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "o"));
    files.chain(folders.iter().flat_map(|folder| objects(folder))).collect()
}

/// With this many relocations, inspection once took half a minute. The target is the object's own BTF, which has the
/// types.
fn relocations_are_shown_at_their_instructions() {
    const PROGRAMS: usize = 85;
    const RECORDS: usize = 350;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.o");
    fs::write(&path, many_core::object(PROGRAMS, RECORDS)).unwrap();
    let reported = report([path.as_os_str(), "--btf".as_ref(), path.as_os_str()]);
    assert_eq!((&reported["failure"], reported["core"].as_array().unwrap().len()), (&Value::Null, PROGRAMS * RECORDS));
    let programs = reported["programs"].as_array().unwrap();
    assert_eq!(programs.len(), PROGRAMS);
    for program in programs {
        let listing = program["listing"].as_array().unwrap();
        let reported = |row: &&Value| row["core"].as_str().is_some_and(|core| core.starts_with("existence of field"));
        assert_eq!(listing.iter().filter(reported).count(), RECORDS, "{}", program["name"]);
    }
    let table = inspect([path]);
    assert!(
        table.status.success() && table.stdout.matches("CO-RE: ").count() == PROGRAMS * RECORDS,
        "{}",
        table.stderr
    );
}

fn every_corpus_object_is_inspected() {
    let objects = objects(&corpus(""));
    assert!(objects.len() > 50, "{}", objects.len());
    let mut refused = 0;
    for path in &objects {
        let ended = inspect([path]);
        // These get an error; each has a test of its own.
        if path.parent().is_some_and(|folder| folder.ends_with("faults")) && ended.status.code() == Some(1) {
            assert!(ended.stderr.contains("cannot read `"), "{}: {ended:?}", path.display());
            refused += 1;
            continue;
        }
        assert!(ended.status.success(), "{}: {ended:?}", path.display());
        assert!(!ended.stdout.contains("<cut off>") && !ended.stdout.contains("map[?]"), "{}", path.display());
        let object = cutaway::Object::parse_any_endian(&fs::read(path).unwrap()).unwrap();
        let reported = report([path]);
        assert_eq!(reported["maps"].as_array().unwrap().len(), object.maps().len(), "{}", path.display());
        let programs = reported["programs"].as_array().unwrap();
        assert_eq!(programs.len(), object.programs().len() + object.unknown_programs().len(), "{}", path.display());
        assert!(programs.iter().all(|program| program["listing"] != Value::Array(Vec::new())), "{}", path.display());
        let warnings = reported["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), object.warnings().len(), "{}", path.display());
        // Warnings are wrapped.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = words(&ended.stdout);
        assert!(warnings.iter().all(|warning| shown.contains(&words(warning.as_str().unwrap()))), "{}", path.display());
    }
    assert_eq!(refused, 5);
}

/// The report of a program does not depend on the byte order for which it was compiled. Programs for this machine's
/// byte order are linked as well.
fn foreign_byte_order_is_inspected_alike() {
    for name in ["code", "legacy", "core_reads", "struct_ops"] {
        let reported = ["", "_eb"].map(|form| report([corpus(&format!("kinds/{name}{form}.o"))]));
        let [own, foreign] = &reported;
        assert_eq!((&own["foreign"], &foreign["foreign"]), (&Value::Bool(false), &Value::Bool(true)), "{name}");
        for part in ["license", "maps", "variables"] {
            assert_eq!(own[part], foreign[part], "{name}: {part}");
        }
        let [own, foreign] = reported.each_ref().map(|reported| reported["programs"].as_array().unwrap());
        assert_eq!(own.len(), foreign.len(), "{name}");
        for (own, foreign) in own.iter().zip(foreign) {
            for part in ["name", "section", "type", "slots"] {
                assert_eq!(own[part], foreign[part], "{name}: {part}");
            }
            let slots = foreign["slots"].as_u64().unwrap();
            let [own, foreign] = [own, foreign].map(|program| program["listing"].as_array().unwrap());
            // A program ends with an instruction of one slot, and the functions that it calls follow it.
            assert_eq!(foreign.last().unwrap()["slot"], slots - 1, "{name}");
            assert!(foreign.len() <= own.len(), "{name}");
            for (own, foreign) in own.iter().zip(foreign) {
                for part in ["row", "slot", "before", "text", "line"] {
                    assert_eq!(own[part], foreign[part], "{name}: {part} of {own} and {foreign}");
                }
            }
        }
    }
}

fn every_assembled_object_is_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let mut objects = vec![compare::array_sink().unwrap(), compare::TaskEvent::object().unwrap()];
    objects.extend(compare::Transport::ALL.map(|transport| compare::variable_size(transport).unwrap()));
    objects.extend(
        [Transport::Ring, Transport::PerfHeap, Transport::PerfStack].map(|transport| transport.object().unwrap()),
    );
    for bytes in objects {
        let path = folder.path().join("program.o");
        fs::write(&path, bytes).unwrap();
        let reported = report([&path]);
        for program in reported["programs"].as_array().unwrap() {
            assert_eq!(program["refused"], Value::Null, "{}", program["name"]);
            let rows = program["listing"].as_array().unwrap();
            assert!(rows.iter().any(|row| row["row"] == "source"), "{}", program["name"]);
            assert!(rows.iter().all(|row| row["before"] != "<unknown>"), "{}", program["name"]);
        }
    }
}

fn sizes_are_those_sent_to_the_kernel() {
    let reported = report(["--built-in", "perf-heap"]);
    let events = reported["maps"].as_array().unwrap().iter().find(|map| map["type"] == "PERF_EVENT_ARRAY").unwrap();
    let cpus = cutaway::Object::parse(&Transport::PerfHeap.object().unwrap()).unwrap();
    let corrected = cpus.maps().iter().find(|map| map.name == events["name"]).unwrap().normalized().unwrap();
    assert_eq!(events["asked"], 0);
    assert_eq!(events["max_entries"], corrected.max_entries);
    assert!(corrected.max_entries > 0);
    let mut object = cutaway::Object::parse(&Transport::Ring.object().unwrap()).unwrap();
    let ring = object.map_mut("events").unwrap();
    for (asked, made) in [(0, 4096), (4097, 8192), (65536, 65536)] {
        ring.max_entries = asked;
        let page = rustix::param::page_size() as u32;
        assert_eq!(ring.normalized().unwrap().max_entries, made.max(page));
    }
    ring.max_entries = u32::MAX;
    assert!(ring.normalized().is_err());
}

/// The marks precede the first instruction of a block, and the counting follows the call.
fn inserted_instructions_are_before_or_after_others() {
    let object = corpus("kinds/one_ring.o").into_os_string();
    let reported = report([object, "--count-losses".into(), "--cover".into()]);
    let rows = reported["programs"][0]["listing"].as_array().unwrap();
    let inserted: Vec<_> = rows.iter().filter(|row| row["row"] == "inserted").collect();
    assert!(inserted.iter().all(|row| row["before"].is_null()), "the key is that of a text: {inserted:?}");
    let places: Vec<_> = inserted.iter().map(|row| row["where"].as_str().unwrap()).collect();
    assert_eq!((places[0], places.last()), ("before", Some(&"after")));
    for row in inserted {
        let marks = row["text"].as_str().unwrap().contains("cutaway_cover");
        assert!(!marks || row["where"] == "before", "{row}");
        let counts = row["text"].as_str().unwrap().contains("cutaway_losses");
        assert!(!counts || row["where"] == "after", "{row}");
    }
}

fn instructions_are_shown_before_and_after() {
    let ended = inspect(["--built-in", "ring", "--program", "follow_fork"]);
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let at = lines.iter().position(|line| line.ends_with("r1 = 0 ll <followed>")).unwrap();
    assert_eq!(lines[at + 1].trim(), "=> r1 = map[followed]");
    assert!(
        lines[at - 1].starts_with("; ") && lines[at - 1].contains("asm.load_map(R1, processes)"),
        "{}",
        lines[at - 1]
    );
    assert!(ended.stdout.contains(" <bpf_get_current_pid_tgid>"));
    assert!(!ended.stdout.contains("uretprobe/libc.so.6:getaddrinfo: "), "one program was requested");
}

fn core_against_own_types_changes_nothing() {
    let mut relocations = 0;
    // The loader decides how a bit field is loaded, whatever its compiler chose.
    let has_bit_fields = |path: &&PathBuf| path.ends_with("bitfields.o") || path.ends_with("live.o");
    for path in objects(&corpus("core")).iter().filter(|path| !has_bit_fields(path)) {
        let reported = report([Path::new("--btf"), path, path]);
        for core in reported["core"].as_array().unwrap() {
            let what = core["what"].as_str().unwrap();
            let Some((_, values)) = what.rsplit_once(": ").filter(|(_, values)| values.contains(" -> ")) else {
                continue;
            };
            let (before, after) = values.split_once(" -> ").unwrap();
            // A 32-bit immediate has the lower half of a negative enumerator.
            let low = |number: &str| number.parse::<u64>().unwrap() as u32;
            assert_eq!(low(before), low(after.split(' ').next().unwrap()), "{}: {what}", path.display());
            relocations += 1;
        }
    }
    assert!(relocations > 10, "{relocations}");
}

fn externs_are_found_or_named_as_missing() {
    let reported = report([corpus("externs/ksyms_missing.o")]);
    let externs = reported["externs"].as_array().unwrap();
    let found = |name: &str| externs.iter().find(|known| known["name"] == name).unwrap()["found"].as_str().unwrap();
    assert!(found("cutaway_has_no_such_function").starts_with("refused: "));
    let refused =
        reported["programs"].as_array().unwrap().iter().find(|program| program["name"] == "function").unwrap();
    assert!(refused["refused"].as_str().unwrap().contains("cutaway_has_no_such_function"));
}

fn inspect_needs_no_privileges() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("cutaway");
    fs::copy(binary::path(), &copy).unwrap();
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&copy);
    command.args(["inspect", "--built-in", "ring"]).uid(NOBODY).gid(NOBODY).current_dir("/");
    let ended = binary::Running::start(&mut command).end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("=> r1 = map[events]"), "{ended:?}");
}

/// The last example of `cutaway inspect --help`, pasted into a shell.
fn help_example_of_inspect_works() {
    let help = inspect(["--help"]).stdout;
    let (_, script) = help.split_once("a built-in object:\n").unwrap();
    let path = format!("{}:{}", binary::path().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let ended = binary::Running::start(Command::new("sh").args(["-c", script]).env("PATH", path)).end();
    assert!(ended.status.success() && ended.stdout.contains("events: RINGBUF"), "{ended:?}");
}
