//! `--reader aya-obj`: objects that aya-obj has read deliver the same records, and options apply to them alike.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use cutaway_programs::prelude::*;
use serde_json::{Value, json};

use crate::{
    Ran,
    binary::{self, Ended, Running},
    corpus,
    harness::{Test, test},
    own_mounts,
    requirements::{ring, root},
    run_own, unsupported,
};

/// Objects that send the same records for each call, most of them once, with the options that some need.
const SAME: [(&str, &[&str]); 15] = [
    ("events/integers", &[]),
    ("events/enums", &[]),
    ("events/nested", &[]),
    ("events/arrays", &[]),
    ("events/bitfields", &[]),
    ("events/unions", &[]),
    ("events/floats", &[]),
    ("events/several", &[]),
    ("events/ambiguous", &[]),
    ("events/named", &[]),
    ("events/wide", &[]),
    ("events/lengths", &["--set", "length=20"]),
    ("events/tables", &["--set", "step=7", "--maps", "--variables"]),
    ("kinds/pinned", &["--type", "u64", "--set", "step=3"]),
    ("kinds/one_ring", &["--format", "hex", "--buffer", "8192"]),
];

/// Objects with perf buffers only. `legacy` has maps of the old form.
const PERF: [(&str, &[&str]); 3] = [
    ("kinds/legacy", &["--type", "u64", "--set", "step=7"]),
    ("kinds/legacy_no_btf", &["--type", "u64"]),
    ("events/heap", &[]),
];

pub(crate) fn tests() -> Vec<Test> {
    let named = |(object, words): (&'static str, &'static [&'static str])| {
        (object.rsplit_once('/').map_or(object, |(_, name)| name), (object, words))
    };
    let mut tests: Vec<_> = test!(readers_deliver_the_same_records, SAME.map(named), |_| ring()).collect();
    tests.extend(test!(readers_deliver_the_same_records, PERF.map(named), |_| root()));
    tests.extend([
        test!(relocations_of_aya_obj_find_the_fields).needs(ring).unless(unsupported::btf),
        test!(object_read_by_aya_obj_is_pinned).needs(ring),
        test!(uprobe_read_by_aya_obj_is_given_its_target).needs(root),
        test!(chosen_program_alone_is_loaded).needs(root),
        test!(difference_of_the_readers_is_a_warning).needs(root),
        test!(object_that_aya_obj_refuses_is_one_error),
        test!(missed_program_is_one_error_with_one_advice),
        test!(panic_of_aya_obj_is_one_error).needs(root),
    ]);
    tests
}

/// Replaces values that differ between runs: the PID of the sending process, the time and the CPU.
fn normal(value: &Value, pid: u32) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|value| normal(value, pid)).collect(),
        Value::Object(all) => {
            let same = all.iter().filter(|(name, _)| !["time_ns", "cpu"].contains(&name.as_str()));
            same.map(|(name, value)| (name.replace(&pid.to_string(), "PID"), normal(value, pid))).collect()
        }
        Value::Number(number) if number.as_u64() == Some(pid.into()) => json!("PID"),
        other => other.clone(),
    }
}

/// Returns the records of a run, in an order that does not depend on the CPU.
fn lines(ran: &Ran) -> Vec<Value> {
    let lines = ran.lines();
    // Values of a per-CPU map depend on the CPU, too.
    let mut same: Vec<_> =
        lines.iter().filter(|line| line["map"] != "by_cpu").map(|line| normal(line, ran.pid)).collect();
    // Perf buffers are read CPU by CPU, and the sender may have moved.
    same.sort_by_key(ToString::to_string);
    same
}

fn readers_deliver_the_same_records((object, words): (&str, &[&str])) {
    let by = |reader: &str| run_own(object, &[&["--reader", reader], words].concat(), 3);
    let [own, aya] = ["cutaway", "aya-obj"].map(by);
    assert!(!aya.ended.stderr.contains("warn"), "{:?}", aya.ended);
    if words.contains(&"hex") {
        let [own, aya] = [own, aya].map(|ran| (ran.ended.received(), ran.ended.stdout.lines().count()));
        assert_eq!((own, own.0), (aya, 3));
        return;
    }
    let [own, aya] = [own, aya].map(|ran| lines(&ran));
    assert!(!own.is_empty(), "{object} sends nothing");
    assert_eq!(own, aya, "{object}");
}

/// The record has the inode of the PID namespace, which the program reads through several pointers in kernel
/// structures.
fn relocations_of_aya_obj_find_the_fields() {
    let mut command = binary::command(["run", "--reader", "aya-obj", "--format", "json", "--duration", "0.3"]);
    let ended = Running::start(command.arg(corpus("kinds/core_reads"))).end();
    // It sends at each system call of the machine, and may lose records.
    assert!(ended.success().0 > 0);
    let inode = fs::metadata("/proc/self/ns/pid").unwrap().ino() as u32;
    let digits: String = inode.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = |line: &str| serde_json::from_str::<Value>(line).unwrap()["hex"].as_str().unwrap().to_owned();
    let is_own = |line: &str| hex(line).get(48..56) == Some(digits.as_str());
    assert!(ended.stdout.lines().any(is_own), "{digits}: {ended:?}");
}

/// A directory for pins, removed with the value.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn object_read_by_aya_obj_is_pinned() {
    let pins = Pins(Path::new(own_mounts::BPFFS.1).join(format!("cutaway-reader-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    let words = ["--reader", "aya-obj", "--type", "u64", "--set", "step=3", "--pins", pins.0.to_str().unwrap()];
    let ran = run_own("kinds/pinned", &words, 2);
    assert_eq!(ran.values().len(), 2);
    assert!(pins.0.join("total").exists(), "{:?}", ran.ended);
}

/// Runs an assembled object by aya-obj for a moment.
fn briefly(object: &ObjectBuilder, words: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("programs.o");
    fs::write(&path, object.write().unwrap()).unwrap();
    let mut command = binary::command(["run", "--reader", "aya-obj", "--duration", "0.05"]);
    Running::start(command.arg(path).args(words)).end()
}

/// Adds a program that does nothing.
fn idle(object: &mut ObjectBuilder, section: &str, name: &str) {
    let mut asm = Assembler::new();
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, name, asm);
}

fn chosen_program_alone_is_loaded() {
    let mut object = ObjectBuilder::new("GPL");
    idle(&mut object, "raw_tp/sys_enter", "one");
    idle(&mut object, "raw_tp/sys_exit", "other");
    let said = |words: &[&str]| briefly(&object, words).stderr.lines().next().unwrap().to_owned();
    assert_eq!(said(&[]), "attached one (raw_tp/sys_enter), other (raw_tp/sys_exit)");
    assert_eq!(said(&["--program", "other"]), "attached other (raw_tp/sys_exit)");
    let words = ["--program", "other", "--section", "other=raw_tp/sys_enter"];
    assert_eq!(said(&words), "attached other (raw_tp/sys_enter)");
    let ended = briefly(&object, &["--program", "absent"]);
    assert!(ended.complaint().contains("no program `absent`; it has `one`, `other`"), "{ended:?}");
}

fn uprobe_read_by_aya_obj_is_given_its_target() {
    let mut object = ObjectBuilder::new("GPL");
    idle(&mut object, "uprobe", "bare");
    let ended = briefly(&object, &["--attach", "bare=libc.so.6:a64l"]);
    assert!(ended.stderr.starts_with("attached bare (uprobe at libc.so.6:a64l"), "{ended:?}");
    assert!(briefly(&object, &[]).complaint().contains("pass --attach 'bare=TARGET'"));
}

fn difference_of_the_readers_is_a_warning() {
    let by = |reader: &str| {
        let words = ["run", "--duration", "0.05", "--reader", reader];
        Running::start(binary::command(words).arg(corpus("faults/static_programs"))).end()
    };
    let ended = by("aya-obj");
    assert!(ended.status.success(), "{ended:?}");
    let difference = "differently: aya-obj takes the function `forgotten` for a program";
    let warned = |line: &str| line.starts_with("cutaway: warn: aya-obj reads `") && line.ends_with(difference);
    assert_eq!(ended.stderr.lines().filter(|line| warned(line)).count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("\nattached runs (raw_tp/sys_exit)\n"), "{ended:?}");
    assert!(!by("cutaway").stderr.contains("aya-obj"));
}

fn object_that_aya_obj_refuses_is_one_error() {
    for (object, why) in [
        ("data/variables", "aya-obj refuses it: invalid program section `syscall`; read it with --reader cutaway"),
        ("externs/kfuncs", "it is not given to aya-obj, which does not resolve externs, such as `bpf_rcu_read_lock`;"),
        ("kinds/code_eb", "its byte order is not this machine's"),
    ] {
        let mut command = binary::command(["run", "--reader", "aya-obj"]);
        let ended = Running::start(command.arg(corpus(object))).end();
        assert!(ended.complaint().contains(why), "{object}: {ended:?}");
    }
}

/// aya-obj ignores code that is not allocated. The loader and the command both have advice for that error.
fn missed_program_is_one_error_with_one_advice() {
    let mut object = ObjectBuilder::new("GPL");
    idle(&mut object, "raw_tp/sys_enter", "missed");
    let mut bytes = object.write().unwrap();
    let header = section_header(&bytes, b"raw_tp/sys_enter\0");
    // `SHF_ALLOC` in `sh_flags`.
    bytes[header + 8] &= !2;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not_allocated.o");
    fs::write(&path, bytes).unwrap();
    let ended = Running::start(binary::command(["run", "--reader", "aya-obj"]).arg(&path)).end();
    let why = "aya-obj does not find its program `missed`; read it with --reader cutaway";
    assert_eq!(ended.complaint(), format!("cannot read `{}`: {why}", path.display()));
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
}

/// Returns the offset of the `Elf64_Shdr` of a section in the file.
fn section_header(bytes: &[u8], name: &[u8]) -> usize {
    let half = |at: usize| usize::from(u16::from_ne_bytes(*bytes[at..].first_chunk().unwrap()));
    let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let double = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    // `e_shoff`, `e_shnum`, `e_shstrndx`, then `sh_offset` of the section names.
    let (headers, count, names) = (double(0x28), half(0x3c), half(0x3e));
    let names = double(headers + 64 * names + 0x18);
    let mut sections = (0..count).map(|index| headers + 64 * index);
    sections.find(|&header| bytes[names + word(header)..].starts_with(name)).unwrap()
}

/// aya-obj has a `todo!` for a relocation of an unknown type that refers to a section of functions.
fn panic_of_aya_obj_is_one_error() {
    let mut bytes = fs::read(corpus("kinds/callbacks")).unwrap();
    // `r_info` of a relocation: the symbol 2, which is the section `.text`, and the type 1, `R_BPF_64_64`.
    let info = (2_u64 << 32 | 1).to_le_bytes();
    let at = bytes.windows(info.len()).position(|window| window == info).unwrap();
    bytes[at + 1] = 0xff;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.o");
    fs::write(&path, bytes).unwrap();
    let ended = Running::start(binary::command(["run", "--reader", "aya-obj"]).arg(&path)).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let messages = ended.stderr.lines().filter(|line| !line.starts_with("cutaway: warn: aya-obj "));
    let [complaint] = messages.collect::<Vec<_>>()[..] else { panic!("not one message: {ended:?}") };
    assert!(complaint.contains("aya-obj cannot link the program `calls_back`: it panics ("), "{complaint}");
}
