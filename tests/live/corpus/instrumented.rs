//! Objects with inserted instructions do the same as without.

use std::path::Path;

use crate::{
    harness::{Test, test},
    instrumented::{Comparison, compare},
};

/// Returns the names of objects of `tests/corpus`, each with its bytes.
macro_rules! objects {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../corpus/", $name, ".o")).as_slice())),*]
    };
}

pub(crate) const OBJECTS: [(&str, &[u8]); 82] = objects! {
    "bindgen/layouts" "bindgen/typed" "core/ambiguous_id" "core/fields" "core/matches" "core/narrowed" "core/target" "core/types" "cover/branches" "data/variables"
    "data/variables_without_btf" "events/ambiguous" "events/arrays" "events/bitfields" "events/both" "events/chooses"
    "events/enums" "events/flexible" "events/floats" "events/guesses" "events/heap" "events/integers"
    "events/kindless" "events/kinds" "events/lengths" "events/network" "events/prints" "events/named" "events/nested" "events/pins" "events/settings" "events/several" "events/streams" "events/tables"
    "events/unions" "events/wide" "externs/all_types" "externs/kconfig_features" "externs/kconfig_kernel"
    "externs/kconfig_missing" "externs/kfuncs" "externs/ksyms" "faults/legacy_pin" "faults/pointers"
    "faults/static_programs" "faults/unknown_sections" "kinds/arena" "kinds/arena_globals" "kinds/callbacks"
    "kinds/code" "kinds/code_O1" "kinds/code_linked" "kinds/code_old" "kinds/code_stripped" "kinds/code_v1"
    "kinds/code_v2" "kinds/code_v4" "kinds/core_reads" "kinds/exceptions" "kinds/freplace" "kinds/getaddrinfo_heap"
    "kinds/getaddrinfo_ring" "kinds/getaddrinfo_ring_old" "kinds/getaddrinfo_ring_stripped" "kinds/getaddrinfo_stack"
    "kinds/halves" "kinds/legacy" "kinds/legacy_no_btf" "kinds/legacy_stripped" "kinds/one_ring" "kinds/pinned"
    "kinds/sections" "kinds/sections_stripped" "kinds/struct_ops" "kinds/struct_ops_link" "kinds/usdt"
    "kinds/usdt_before_1_7" "kinds/usdt_legacy" "kinds/usdt_legacy_no_btf" "kinds/usdt_untyped" "kinds/uses"
    "kinds/uses_old"
};

/// Objects that load on no kernel as they are: their types, settings or maps exist nowhere, they are malformed, or for
/// another byte order.
pub(crate) const REFUSED: [(&str, &[u8]); 31] = objects! {
    "core/ambiguous" "core/anonymous" "core/bitfield_too_wide" "core/bitfields" "core/enums" "core/enums_high"
    "core/enums_high_target" "core/flavours" "core/live" "core/offsets" "core/poison" "core/sizes" "core/subprograms"
    "core/v4" "core/writes" "externs/kconfig" "externs/ksyms_missing" "faults/conflicting_sizes" "faults/elsewhere"
    "faults/pinned_elsewhere" "faults/pointer_to_map" "faults/static_map" "faults/without_symbols"
    "faults/without_types" "kinds/code_eb" "kinds/core_reads_eb" "kinds/freplace_by" "kinds/legacy_eb" "kinds/maps"
    "kinds/struct_ops_eb" "kinds/usdt_eb"
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(object_does_the_same_with_inserted_instructions, OBJECTS).collect();
    tests.extend([
        test!(programs_run_while_they_are_compared).since(5, 10, "test runs of raw tracepoints"),
        test!(each_object_of_the_corpus_is_listed),
        test!(objects_of_a_directory),
    ]);
    tests
}

fn object_does_the_same_with_inserted_instructions(bytes: &[u8]) -> Option<String> {
    let found = compare(bytes);
    assert!(found.faults.is_empty(), "{:#?}", found.faults);
    assert!(found.uncounted.is_empty(), "{:#?}", found.uncounted);
    assert!(found.unmarked.is_empty(), "{:#?}", found.unmarked);
    found.refused
}

fn programs_run_while_they_are_compared() {
    let found = compare(crate::object!("code"));
    assert_eq!((found.programs, found.counted, found.runs), (2, 2, 6), "{found:?}");
    assert!(found.equal > 20 && found.faults.is_empty(), "{found:?}");
}

/// The tree is not on every machine where this binary runs.
fn each_object_of_the_corpus_is_listed() -> Option<String> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    if !corpus.is_dir() {
        return Some("the source tree is not here".to_owned());
    }
    for path in objects_in(&corpus) {
        let name = path.strip_prefix(&corpus).unwrap().with_extension("");
        let mut listed = OBJECTS.iter().chain(&REFUSED).map(|(name, _)| *name);
        assert!(listed.any(|listed| Path::new(listed) == name), "{} is not listed", name.display());
    }
    None
}

/// Returns the objects in a directory and its directories, sorted.
fn objects_in(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "o") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Compares the objects of the directory in `CUTAWAY_OBJECTS`, for use by hand.
fn objects_of_a_directory() -> Option<String> {
    let Some(directory) = std::env::var_os("CUTAWAY_OBJECTS") else {
        return Some("CUTAWAY_OBJECTS names no directory".to_owned());
    };
    let mut unequal = Vec::new();
    for path in objects_in(Path::new(&directory)) {
        let Comparison { refused, programs, counted, runs, equal, varying, faults, uncounted, unmarked } =
            compare(&std::fs::read(&path).unwrap());
        match refused {
            Some(why) => eprintln!("{}: refused as it is: {why}", path.display()),
            None => eprintln!(
                "{}: {programs} programs, {counted} sites, {runs} runs, {equal} equal, {varying} vary",
                path.display()
            ),
        }
        unequal
            .extend([faults, uncounted, unmarked].concat().into_iter().map(|why| format!("{}: {why}", path.display())));
    }
    assert!(unequal.is_empty(), "{unequal:#?}");
    None
}
