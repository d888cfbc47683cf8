//! CO-RE relocation of real objects: the result must be libbpf's result for the same object.
//!
//! Each object of `tests/corpus/core` has relocations of one kind or special case, for the types of a small kernel
//! (`target.o` there). libbpf's results are files in the same directory. [`DIFFERENT`] has the intended differences and
//! their reasons.

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod parts;

use std::{fs, process::Command};

use cutaway::core_relo::{self, Outcome};

use self::parts::{Parts, corpus};

/// Pairs of libbpf's lines and ours, for each object whose results differ.
const DIFFERENT: &[(&str, &[(&str, &str)])] = &[
    // In the kernel's BTF the enumeration is unsigned, so its highest bit is not a sign bit.
    ("enums_high_target", &[("high 0 imm64 3 18446744073709551600", "high 0 imm64 3 4294967280")]),
    // As above; libbpf takes the program's own 0x80000000 for a negative number, and misses it in the instruction.
    ("enums_high", &[("refused", "high 5 imm64 2147483648 4294967280")]),
    // libbpf refuses the whole object; we poison the instruction, so only a path that reaches it is refused.
    ("bitfield_too_wide", &[("refused", "one 0 poison\none 4 poison")]),
    // A load with sign extension can be adapted to a signed field.
    (
        "v4",
        &[
            ("loads 1 poison", "loads 1 off 0 16\nloads 1 size 4 8"),
            ("loads 5 poison", "loads 5 off 4 24\nloads 5 size 4 2"),
            ("loads 7 poison", "loads 7 off 8 64\nloads 7 size 2 8"),
        ],
    ),
];

#[test]
fn every_object_is_relocated_as_libbpf_does() {
    let target = Parts::of(&corpus().join("target.o")).btf;
    let mut objects = 0;
    let mut wrong = String::new();
    for entry in fs::read_dir(corpus()).unwrap() {
        let answers = entry.unwrap().path();
        if answers.extension().is_none_or(|extension| extension != "libbpf") {
            continue;
        }
        objects += 1;
        let name = answers.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut expected = fs::read_to_string(&answers).unwrap();
        for (libbpf, ours) in DIFFERENT.iter().filter(|(object, _)| *object == name).flat_map(|(_, lines)| *lines) {
            assert!(expected.contains(libbpf), "{name}: libbpf's results no longer have `{libbpf}`");
            expected = expected.replace(libbpf, ours);
        }
        let parts = Parts::of(&answers.with_extension("o"));
        let (lines, applied) =
            parts.relocate(|btf, relocations, code| core_relo::relocate(btf, relocations, &target, code));
        // For a refused object only the refusal is compared.
        let same = if expected.ends_with("refused\n") { applied.is_err() } else { lines == expected };
        if !same {
            wrong += &format!("== {name}: {:?}\n-- libbpf\n{expected}-- ours\n{lines}", applied.err());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(objects >= 18, "only {objects} objects");
}

#[test]
#[ignore = "needs libbpf's answers for the running kernel: build tests/corpus/core/libbpf.c, and name it in CUTAWAY_LIBBPF"]
fn the_running_kernel_is_read_as_libbpf_reads_it() {
    let tool = std::env::var_os("CUTAWAY_LIBBPF").expect("CUTAWAY_LIBBPF names the program built from libbpf.c");
    for name in ["live", "offsets", "types", "poison"] {
        let object = corpus().join(name).with_extension("o");
        let output = Command::new(&tool).arg(&object).output().unwrap();
        let expected = String::from_utf8(output.stdout).unwrap();
        assert!(!expected.is_empty(), "libbpf has no results for {name}");
        let (lines, applied) = Parts::of(&object).relocate(core_relo::relocate_for_kernel);
        assert_eq!(lines, expected, "{name}: {:?}", applied.err());
    }
}

#[test]
fn a_refusal_says_what_and_why() {
    let target = Parts::of(&corpus().join("target.o")).btf;
    for (name, what, why) in [
        ("ambiguous", "the byte offset of `struct contradicts.value`", "several types of that name"),
        ("ambiguous_id", "the kernel type id of `struct contradicts`", "several types of that name"),
        ("anonymous", "the byte offset of `struct (unnamed).x`", "without a name"),
    ] {
        let parts = Parts::of(&corpus().join(name).with_extension("o"));
        let (_, applied) =
            parts.relocate(|btf, relocations, code| core_relo::relocate(btf, relocations, &target, code));
        let text = applied.unwrap_err().to_string();
        assert!(text.contains(what) && text.contains(why), "{text}");
    }
}

#[test]
fn a_poisoned_instruction_is_found_again_by_the_number_in_the_verifiers_sentence() {
    let target = Parts::of(&corpus().join("target.o")).btf;
    let parts = Parts::of(&corpus().join("poison.o"));
    let (_, applied) = parts.relocate(|btf, relocations, code| core_relo::relocate(btf, relocations, &target, code));
    let applied = applied.unwrap();
    let mut poisoned = 0;
    for (number, applied_here) in applied.iter().enumerate() {
        let sentence = format!("invalid func unknown#{}", 0x0bad_2310 + number);
        let found = core_relo::unresolved(&sentence, &applied);
        match &applied_here.outcome {
            Outcome::Poisoned { why } => {
                poisoned += 1;
                assert_eq!(found, Some(applied_here));
                assert!(why.starts_with("the kernel"), "{why}");
            }
            _ => assert_eq!(found, None),
        }
    }
    assert!(poisoned >= 8, "{poisoned}");
    for sentence in ["", "invalid func unknown#", "invalid func unknown#1", "unknown#99999999999999", "R0 !read_ok"] {
        assert_eq!(core_relo::unresolved(sentence, &applied), None);
    }
}
