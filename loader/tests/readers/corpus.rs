//! Reads every object of the corpus by both readers. [`EXPECTED`] names the objects that differ; all others must be the
//! same.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cutaway::{Object, ReaderComparison, compare_readers};

/// The expected result for an object, with a part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// aya-obj refuses it.
    Refused(&'static str),
    /// It is not given to aya-obj.
    Withheld(&'static str),
    /// aya-obj reads it differently.
    Different(&'static str),
    /// This crate cannot link it.
    Unlinked(&'static str),
    /// This crate's reader refuses it.
    Unreadable(&'static str),
}

use Expected::{Different, Refused, Unlinked, Unreadable, Withheld};

const FOREIGN: Expected = Unreadable("byte order");

/// Objects that are not the same by both readers, in the order of their names.
const EXPECTED: &[(&str, Expected)] = &[
    // CO-RE for the small kernel of core/target.o.
    ("core/ambiguous.o", Unlinked("`struct contradicts.value`")),
    ("core/ambiguous_id.o", Unlinked("`struct contradicts`")),
    ("core/anonymous.o", Withheld("without a name")),
    // aya-obj does not look for an enumeration of 32 bits among those of 64.
    ("core/enums.o", Different("`wide`")),
    ("core/live.o", Refused("`TypeSize` missing target BTF info")),
    // aya-obj does not support the relocation that checks whether types match.
    ("core/matches.o", Refused("relocation kind `12`")),
    // aya-obj selects a field of another signedness.
    ("core/narrowed.o", Different("`one`")),
    // aya-obj refuses fields of another size, even if the code that uses them cannot be reached.
    ("core/offsets.o", Refused("has size 20 but target type")),
    ("core/sizes.o", Refused("has size 4 but target type")),
    ("core/subprograms.o", Withheld("`.text`")),
    ("core/types.o", Refused("`TypeSize` missing target BTF info")),
    ("core/v4.o", Refused("has size 4 but target type")),
    ("core/writes.o", Refused("has size 4 but target type")),
    // Programs of sections that aya-obj does not know.
    ("data/variables.o", Refused("invalid program section `syscall`")),
    ("data/variables_without_btf.o", Refused("invalid program section `syscall`")),
    ("events/chooses.o", Refused("invalid program section `?tracepoint/")),
    ("events/kindless.o", Refused("invalid program section `probes`")),
    ("events/streams.o", Withheld("`bpf_stream_vprintk_impl`")),
    ("externs/all_types.o", Withheld("`bpf_rcu_read_lock`")),
    ("externs/kconfig.o", Withheld("`LINUX_KERNEL_VERSION`")),
    ("externs/kconfig_features.o", Withheld("`LINUX_HAS_BPF_COOKIE`")),
    ("externs/kconfig_kernel.o", Withheld("`CONFIG_HZ`")),
    ("externs/kconfig_missing.o", Withheld("`CONFIG_CUTAWAY_HAS_NO_SUCH_OPTION`")),
    ("externs/kfuncs.o", Withheld("`bpf_rcu_read_lock`")),
    ("externs/ksyms.o", Withheld("`cutaway_has_no_such_variable`")),
    ("externs/ksyms_missing.o", Withheld("`cutaway_has_no_such_variable`")),
    ("faults/conflicting_sizes.o", Unreadable("`conflicting`")),
    ("faults/elsewhere.o", Unlinked("`variable`")),
    ("faults/legacy_pin.o", Withheld("`globals`")),
    ("faults/pinned_elsewhere.o", Unreadable("pinning 2")),
    ("faults/pointer_to_map.o", Unreadable("`pointer`")),
    ("faults/pointers.o", Refused("invalid license")),
    ("faults/static_map.o", Withheld("`.maps`")),
    ("faults/static_programs.o", Different("`forgotten`")),
    ("faults/unknown_sections.o", Refused("invalid program section `foo`")),
    ("faults/without_symbols.o", Unreadable("no symbol table")),
    ("faults/without_types.o", Unreadable("no types")),
    ("kinds/arena.o", Withheld("`bpf_arena_alloc_pages`")),
    ("kinds/arena_globals.o", Refused("invalid program section `syscall`")),
    // aya-obj leaves hidden functions global.
    ("kinds/callbacks.o", Different("`one_round`")),
    ("kinds/code.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_O1.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_eb.o", FOREIGN),
    ("kinds/code_linked.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_old.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_stripped.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_v1.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_v2.o", Refused("invalid program section `elsewhere`")),
    ("kinds/code_v4.o", Refused("invalid program section `elsewhere`")),
    ("kinds/core_reads_eb.o", FOREIGN),
    ("kinds/exceptions.o", Withheld("`bpf_throw`")),
    ("kinds/freplace_by.o", Refused("invalid program section `?freplace`")),
    ("kinds/legacy_eb.o", FOREIGN),
    // `__ulong(map_extra, …)`, and a map of programs that declares its values.
    ("kinds/maps.o", Refused("unexpected BTF type")),
    ("kinds/sections.o", Refused("invalid program section `?socket`")),
    ("kinds/sections_stripped.o", Refused("invalid program section `?socket`")),
    ("kinds/struct_ops.o", Refused("invalid program section `struct_ops/init`")),
    ("kinds/struct_ops_eb.o", FOREIGN),
    ("kinds/struct_ops_link.o", Refused("invalid program section `struct_ops/init`")),
    ("kinds/usdt.o", Refused("invalid program section `usdt`")),
    ("kinds/usdt_before_1_7.o", Refused("invalid program section `usdt`")),
    ("kinds/usdt_eb.o", FOREIGN),
    ("kinds/usdt_legacy.o", Refused("invalid program section `usdt`")),
    ("kinds/usdt_legacy_no_btf.o", Refused("invalid program section `usdt`")),
    ("kinds/usdt_untyped.o", Refused("invalid program section `usdt`")),
    ("kinds/uses.o", Refused("unexpected BTF type")),
    ("kinds/uses_old.o", Refused("unexpected BTF type")),
];

/// Objects whose result on a real kernel is not that for core/target.o; `None` if both readers then agree.
const ON_A_REAL_KERNEL: &[(&str, Option<Expected>)] = &[
    ("core/ambiguous.o", None),
    // This crate poisons the instruction that needs the id of a missing type; aya-obj refuses the object.
    ("core/ambiguous_id.o", Some(Refused("`TypeIdTarget` missing target BTF info"))),
    ("core/enums.o", None),
    // aya-obj takes a flexible array for an array without elements, unless the index equals that of its member.
    ("core/live.o", Some(Refused("array index out of bounds"))),
    ("core/narrowed.o", None),
    ("core/offsets.o", Some(Refused("array index out of bounds"))),
    ("core/sizes.o", None),
    ("core/v4.o", None),
    ("core/writes.o", None),
];

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

/// Returns the objects by name, such as `kinds/maps.o`.
pub(crate) fn objects() -> BTreeMap<String, Vec<u8>> {
    let folders = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .map(|path| (path.strip_prefix(directory()).unwrap().display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

/// Returns the BTF of a small kernel.
pub(crate) fn small_kernel() -> Vec<u8> {
    let bytes = fs::read(directory().join("core/target.o")).unwrap();
    Object::parse(&bytes).unwrap().btf().unwrap()
}

/// Compares all objects for a kernel; returns a line for each unexpected result.
fn compare(kernel: &[u8], expected: impl Fn(&str) -> Option<Expected>) -> String {
    let mut wrong = String::new();
    for (name, bytes) in objects() {
        let comparison = compare_readers(&bytes, kernel);
        let is_as_expected = match (expected(&name), &comparison) {
            (None, Ok(ReaderComparison::Same)) => true,
            (Some(Refused(part)), Ok(ReaderComparison::Refused { why: text }))
            | (Some(Withheld(part)), Ok(ReaderComparison::Withheld { why: text }))
            | (Some(Different(part)), Ok(ReaderComparison::Different { what: text }))
            | (Some(Unlinked(part)), Ok(ReaderComparison::Unlinked { why: text })) => text.contains(part),
            (Some(Unreadable(part)), Err(error)) => error.to_string().contains(part),
            _ => false,
        };
        if !is_as_expected {
            wrong += &format!("{name}: {comparison:?} instead of {:?}\n", expected(&name));
        }
    }
    wrong
}

fn for_the_small_kernel(name: &str) -> Option<Expected> {
    EXPECTED.iter().find(|(known, _)| *known == name).map(|(_, expected)| *expected)
}

fn for_a_real_kernel(name: &str) -> Option<Expected> {
    let known = ON_A_REAL_KERNEL.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| for_the_small_kernel(name), |(_, expected)| *expected)
}

#[test]
fn every_object_is_the_same_by_both_readers_or_differs_as_expected() {
    let wrong = compare(&small_kernel(), for_the_small_kernel);
    assert!(wrong.is_empty(), "{wrong}");
    let objects = objects();
    for (name, _) in EXPECTED {
        assert!(objects.contains_key(*name), "{name} is not an object of the corpus");
    }
    assert!(EXPECTED.is_sorted_by_key(|(name, _)| *name), "the expectations are not in order");
    let same = objects.len() - EXPECTED.len();
    assert!(same >= 35, "only {same} of {} objects are the same", objects.len());
}

#[test]
fn every_object_is_the_same_on_the_running_kernel_or_differs_as_expected() {
    let Ok(kernel) = fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let wrong = compare(&kernel, for_a_real_kernel);
    assert!(wrong.is_empty(), "{wrong}");
    for (name, expected) in ON_A_REAL_KERNEL {
        assert_ne!(for_the_small_kernel(name), *expected, "{name} is the same for both kernels");
    }
}
