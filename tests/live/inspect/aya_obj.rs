//! The line and the JSON field on whether aya-obj accepts an object and reads it the same; the report with `--reader
//! aya-obj`.

use std::{fs, path::Path};

use cutaway_programs::prelude::*;
use serde_json::{Value, json};

use crate::{
    binary::Ended,
    corpus,
    harness::{Test, test},
    inspect, report,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        test!(line_says_whether_readers_agree),
        test!(wrong_value_size_is_a_difference),
        test!(mislinked_call_is_a_difference),
        test!(hidden_callback_is_a_difference),
        test!(report_by_aya_obj_is_the_same),
        test!(relocations_by_aya_obj_are_unknown),
        test!(object_that_aya_obj_does_not_take_is_an_error),
        test!(panic_of_aya_obj_is_a_reason),
    ];
    // With the object's own BTF, which aya-obj parses faster than the kernel's.
    let damaged = [("one_ring", ("kinds/one_ring", None)), ("fields", ("core/fields", Some("core/target")))];
    tests.extend(test!(damaged_object_gets_one_message, damaged));
    tests
}

/// Returns the line about aya-obj, with its continuation lines joined.
fn line(ended: &Ended) -> String {
    assert!(ended.status.success(), "{ended:?}");
    let lines = ended.stdout.lines().skip_while(|line| !line.starts_with("aya-obj 0.3.0  "));
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    assert!(lines.iter().skip(1).all(|line| line.starts_with("               ")), "{lines:?}");
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the fields of `aya_obj` in the JSON that are not null.
fn field(told: &Value) -> Value {
    let all = told["aya_obj"].as_object().unwrap();
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["agrees", "refused", "withheld", "difference", "unknown"]);
    all.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn line_says_whether_readers_agree() {
    for (object, said, name, agrees) in [
        ("kinds/one_ring", "reads it the same: maps, programs, instructions", "", json!(true)),
        ("data/variables", "aya would refuse this: invalid program section `syscall`", "refused", json!(false)),
        (
            "externs/ksyms",
            "must not be given this: it does not resolve externs, such as `cutaway_has_no_such_variable`",
            "withheld",
            json!(false),
        ),
        (
            "faults/static_programs",
            "reads it differently: aya-obj takes the function `forgotten` for a program",
            "difference",
            json!(false),
        ),
        (
            "kinds/code_eb",
            "unknown: its byte order is not this machine's, so the object readers are not compared",
            "unknown",
            Value::Null,
        ),
    ] {
        let path = corpus(&format!("{object}.o"));
        assert_eq!(line(&inspect([&path])), format!("aya-obj 0.3.0 {said}"), "{object}");
        let mut expected = serde_json::Map::new();
        if !agrees.is_null() {
            expected.insert("agrees".to_owned(), agrees);
        }
        if !name.is_empty() {
            let why = said.split_once(": ").unwrap().1;
            let why = if name == "withheld" { why.strip_prefix("it ").unwrap() } else { why };
            expected.insert(name.to_owned(), json!(why));
        }
        assert_eq!(field(&report([&path])), Value::Object(expected), "{object}");
    }
    let told = report([corpus("core/ambiguous.o"), "--btf".into(), corpus("core/target.o")]);
    let why = told["aya_obj"]["unknown"].as_str().unwrap();
    assert!(why.starts_with("maps and programs are the same, not all instructions are compared: CO-RE "), "{why}");
    assert_eq!(told["aya_obj"]["agrees"], Value::Null);
}

/// aya-obj multiplies the size of the elements by the innermost length alone.
fn wrong_value_size_is_a_difference() {
    let mut object = ObjectBuilder::new("GPL");
    let table = object.map("table", MapDef::new(MapType::ARRAY).key::<u32>().value::<[[u64; 8]; 4]>().max_entries(1));
    let mut asm = Assembler::new();
    asm.load_map(R1, table);
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tp/sys_enter", "loads", asm);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.o");
    fs::write(&path, object.write().unwrap()).unwrap();
    let difference = "the map `table` has the value size 64 by aya-obj, and 256 here";
    assert_eq!(line(&inspect([&path])), format!("aya-obj 0.3.0 reads it differently: {difference}"));
    // It is corrected. The correction and the difference have one line each.
    let ended = inspect(["--reader".as_ref(), "aya-obj".as_ref(), path.as_os_str()]);
    assert!(ended.stdout.contains("table: ARRAY, 1 entry, key 4, value 256 bytes"), "{ended:?}");
    let [corrected, differs] = ended.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{ended:?}") };
    assert_eq!(corrected, "cutaway: warn: aya-obj says that the value of the map `table` has 64 bytes: it has 256");
    assert_eq!(differs, format!("cutaway: warn: aya-obj reads `{}` differently: {difference}", path.display()));
}

/// aya-obj confuses functions at one address of two sections, here `.text.first` and `.text.second`.
fn mislinked_call_is_a_difference() {
    let mut bytes = fs::read(corpus("kinds/code.o")).unwrap();
    // aya-obj refuses other names for sections of functions.
    let (from, to) = (b"elsewhere\0", b".text.els\0");
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code.o");
    fs::write(&path, bytes).unwrap();
    let said = line(&inspect([&path]));
    let (at, code) = said.split_once(" of the program `adds` is `call ").unwrap_or_else(|| panic!("{said}"));
    assert!(at.starts_with("aya-obj 0.3.0 reads it differently: instruction "), "{said}");
    let (aya, own) = code.split_once("` by aya-obj, and `call ").unwrap_or_else(|| panic!("{said}"));
    assert_ne!(Some(aya), own.strip_suffix("` here"), "{said}");
    // With the correction, it calls the same functions as with the other reader.
    let [own, aya] = ["cutaway", "aya-obj"].map(|reader| report([Path::new("--reader"), Path::new(reader), &path]));
    assert_eq!(own["programs"], aya["programs"]);
}

/// The verifier accepts only static functions as callbacks.
fn hidden_callback_is_a_difference() {
    let said = line(&inspect([corpus("kinds/callbacks.o")]));
    let difference = "the function `one_round` is global in the types of aya-obj, and static here";
    assert_eq!(said, format!("aya-obj 0.3.0 reads it differently: {difference}"));
}

fn report_by_aya_obj_is_the_same() {
    for object in ["kinds/one_ring", "kinds/pinned", "kinds/halves", "kinds/legacy", "events/several", "events/tables"]
    {
        let path = corpus(&format!("{object}.o"));
        let [mut own, mut aya] = ["cutaway", "aya-obj"].map(|reader| {
            let path = path.as_os_str();
            let told = report(["--reader".as_ref(), reader.as_ref(), path]);
            assert_eq!(told["reader"], reader, "{object}");
            assert_eq!(told["aya_obj"]["agrees"], true, "{object}");
            told
        });
        assert_eq!(own["reader"].take(), "cutaway");
        assert_eq!(aya["reader"].take(), "aya-obj");
        assert_eq!(own, aya, "{object}");
    }
    let chosen = report(["--reader", "aya-obj", "--built-in", "ring", "--program", "follow_fork"]);
    let programs = chosen["programs"].as_array().unwrap();
    assert_eq!(programs.iter().map(|program| &program["name"]).collect::<Vec<_>>(), ["follow_fork"]);
    let table = inspect(["--reader", "aya-obj", "--built-in", "ring"]);
    assert!(table.stdout.starts_with("object built-in ring, license Dual MIT/GPL, read by aya-obj\n"), "{table:?}");
}

fn relocations_by_aya_obj_are_unknown() {
    let (object, types) = (corpus("core/fields.o"), corpus("core/target.o"));
    let words = |reader: &'static str| [Path::new("--reader"), Path::new(reader), &object, Path::new("--btf"), &types];
    let [own, aya] = ["cutaway", "aya-obj"].map(|reader| report(words(reader)));
    assert!(!own["core"].as_array().unwrap().is_empty());
    assert_eq!(aya["core"], Value::Null);
    let text = inspect(words("aya-obj")).stdout;
    assert!(text.contains("\nCO-RE relocations\n  unknown: aya-obj applies them"), "{text}");
    assert!(!inspect(words("cutaway")).stdout.contains("\nCO-RE relocations\n"));
    // An object without relocations has an empty list by both readers.
    assert_eq!(report(["--reader", "aya-obj", "--built-in", "ring"])["core"], json!([]));
}

fn object_that_aya_obj_does_not_take_is_an_error() {
    for (object, why) in [
        ("data/variables", "aya-obj refuses it: invalid program section `syscall`"),
        ("externs/kfuncs", "it is not given to aya-obj, which does not resolve externs, such as `bpf_rcu_read_lock`"),
        ("kinds/code_eb", "its byte order is not this machine's, and aya-obj does not swap it"),
    ] {
        let path = corpus(&format!("{object}.o"));
        let ended = inspect([Path::new("--reader"), Path::new("aya-obj"), &path]);
        let expected = format!("cannot read `{}`: {why}; read it with --reader cutaway", path.display());
        assert_eq!(ended.complaint(), expected);
        assert_eq!(ended.stdout, "");
    }
    // A fault for both readers has no such advice.
    let ended = inspect([Path::new("--reader"), Path::new("aya-obj"), &corpus("faults/without_types.o")]);
    assert!(!ended.complaint().contains("--reader"), "{ended:?}");
}

/// Returns an object with a relocation of an unknown type that refers to a section of functions: aya-obj has a `todo!`
/// for it.
fn panics() -> Vec<u8> {
    let mut bytes = fs::read(corpus("kinds/callbacks.o")).unwrap();
    // `r_info`: the symbol 2, which is the section `.text`, and the type 1, `R_BPF_64_64`.
    let info = (2_u64 << 32 | 1).to_le_bytes();
    let at = bytes.windows(info.len()).position(|window| window == info).unwrap();
    bytes[at + 1] = 0xff;
    bytes
}

fn panic_of_aya_obj_is_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.o");
    fs::write(&path, panics()).unwrap();
    let why = "aya-obj cannot link the program `calls_back`: it panics (";
    let by = |reader: &str| inspect([Path::new("--reader"), Path::new(reader), &path]);
    let ended = by("cutaway");
    assert_eq!(ended.stderr, "", "the panic is a reason alone");
    assert!(line(&ended).starts_with(&format!("aya-obj 0.3.0 aya would refuse this: {why}")), "{ended:?}");
    let ended = by("aya-obj");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let errors: Vec<_> = ended.stderr.lines().filter(|line| !line.starts_with("cutaway: warn: aya-obj ")).collect();
    assert!(matches!(errors[..], [error] if error.contains(why)), "{ended:?}");
}

/// Many copies are truncated or have one to three changed bits. Each gives a report or one message, and never a crash.
fn damaged_object_gets_one_message((object, types): (&str, Option<&str>)) {
    const COPIES: usize = 150;
    let whole = fs::read(corpus(&format!("{object}.o"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.o");
    let (mut random, mut taken, mut refused) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    let mut below = |limit: usize| {
        // xorshift: the same numbers in each run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % limit
    };
    for copy in 0..COPIES {
        let mut bytes = whole.clone();
        if copy % 10 == 0 {
            bytes.truncate(below(whole.len()));
        } else {
            for _ in 0..=copy % 3 {
                bytes[below(whole.len())] ^= 1 << below(8);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let types = types.map(|types| corpus(&format!("{types}.o")));
        let types = types.iter().flat_map(|types| [Path::new("--btf"), types]);
        let ended = inspect([Path::new("--reader"), Path::new("aya-obj"), &path].into_iter().chain(types));
        let mut messages = ended.stderr.lines().filter(|line| !line.starts_with("cutaway: warn: "));
        match ended.status.code() {
            Some(0) => {
                assert!(messages.next().is_none() && ended.stdout.contains("\naya-obj 0.3.0  "), "{copy}: {ended:?}");
                taken += 1;
            }
            Some(1) => {
                let messages: Vec<_> = messages.collect();
                assert!(messages.len() == 1 && messages[0].starts_with("cutaway: cannot read `"), "{copy}: {ended:?}");
                assert_eq!(ended.stdout, "", "{copy}");
                refused += 1;
            }
            _ => panic!("{copy}: {ended:?}"),
        }
    }
    assert!(taken > COPIES / 4 && refused > COPIES / 10, "{taken} {refused}");
}
