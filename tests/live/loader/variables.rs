//! Global variables: listed, set before loading, read and written while programs run.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cutaway::{Error, Loaded, Object, TestRun};

use crate::{
    corpus,
    harness::{Test, test},
    journal,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    let what = "programs of the type SYSCALL";
    vec![
        test!(variables_are_listed_with_type_and_section),
        test!(variables_without_types_are_listed_by_size),
        test!(value_of_the_wrong_type_is_refused),
        test!(programs_see_values_set_before_loading).since(5, 14, what).needs(root),
        test!(programs_see_values_written_while_running).since(5, 14, what).needs(root),
        test!(constants_are_read_and_not_written).since(5, 14, what).needs(root),
        test!(writing_a_variable_leaves_the_others_unchanged).since(5, 14, what).needs(root),
        test!(section_is_mapped_once).since(5, 14, what).needs(root),
        test!(sections_of_the_same_name_are_separate).since(5, 14, what).needs(root),
    ]
}

fn object(name: &str) -> Object {
    Object::parse(&corpus::read("data", name)).unwrap()
}

fn variables_are_listed_with_type_and_section() {
    let object = object("variables.o");
    let mut all: Vec<_> = object.variables().iter().collect();
    all.sort_by_key(|known| &known.name);
    let lines: Vec<_> = all.iter().map(|known| format!("{known} {} {}", known.size, known.constant)).collect();
    assert_eq!(
        lines,
        [
            "`address` (void *, in .bss) 8 false",
            "`colour` (enum colour, in .data) 4 false",
            "`counter` (u64, in .bss) 8 false",
            "`enabled` (bool, in .bss) 1 false",
            "`hidden` (volatile int, in .bss) 4 false",
            "`levels` (const volatile int[3], in .rodata.levels) 12 true",
            "`limit` (const volatile u32, in .rodata) 4 true",
            "`name` (const volatile char[16], in .rodata) 16 true",
            "`offset` (int, in .data) 4 false",
            "`pair` (struct pair, in .bss) 16 false",
            "`ports` (u16[4], in .data) 8 false",
            "`small` (u8, in .bss.small) 1 false",
            "`sum` (u64, in .data.tuning) 8 false",
            "`tuning` (long, in .data.tuning) 8 false",
        ]
    );
}

fn variables_without_types_are_listed_by_size() {
    let mut object = object("variables_without_btf.o");
    let find =
        |object: &Object, name: &str| object.variables().iter().find(|known| known.name == name).unwrap().clone();
    assert_eq!(find(&object, "levels").to_string(), "`levels` (12 bytes in .rodata.levels)");
    // Only the size can be checked.
    object.set_variable("offset", &7_u32).unwrap();
    let error = object.set_variable("offset", &7_u64).unwrap_err().to_string();
    assert_eq!(error, "cannot set the variable `offset` (4 bytes in .data): it has 4 bytes, and 8 are given");
}

fn value_of_the_wrong_type_is_refused() {
    let mut object = object("variables.o");
    let refused = |answer: Result<(), Error>, expected: &str| {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot set the variable {expected}"));
    };
    refused(
        object.set_variable("offset", &5_u32),
        "`offset` (int, in .data): it is a signed integer, and an unsigned one is given",
    );
    refused(object.set_variable("counter", &5_u32), "`counter` (u64, in .bss): it has 8 bytes, and 4 are given");
    refused(
        object.set_variable("counter", &[5_u32, 6]),
        "`counter` (u64, in .bss): its elements have 8 bytes each, and those given 4",
    );
    refused(object.set_variable("enabled", &1_u8), "`enabled` (bool, in .bss): it is a truth value: give it a `bool`");
    refused(
        object.set_variable("pair", &1_u128),
        "`pair` (struct pair, in .bss): it is a structure or union: give it as bytes",
    );
    refused(
        object.set_variable("name", "too long for sixteen".as_bytes()),
        "`name` (const volatile char[16], in .rodata): it has 16 bytes, and 20 are given",
    );
    refused(
        object.set_variable("levels", &[1_u32, 2, 3]),
        "`levels` (const volatile int[3], in .rodata.levels): it is a signed integer, and an unsigned one is given",
    );
    let error = object.set_variable("nothing", &1).unwrap_err().to_string();
    assert!(
        error.starts_with("the object has no variable `nothing`; it has `") && error.contains("`tuning`"),
        "{error}"
    );
}

fn run(loaded: &Loaded) -> u32 {
    loaded.program("add").unwrap().test_run(&TestRun::default()).unwrap().value
}

fn programs_see_values_set_before_loading() {
    for name in ["variables.o", "variables_without_btf.o"] {
        let mut object = object(name);
        object.set_variable("limit", &1000_u32).unwrap();
        object.set_variable("name", b"xxx\0\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
        object.set_variable("levels", &[10_i32, 20, 30]).unwrap();
        object.set_variable("offset", &-1_i32).unwrap();
        object.set_variable("ports", &[0_u16, 0, 0, 9]).unwrap();
        object.set_variable("tuning", &-100_i64).unwrap();
        object.set_variable("enabled", &true).unwrap();
        object.set_variable("small", &7_u8).unwrap();
        object.set_variable("counter", &41_u64).unwrap();
        let loaded = object.load().unwrap();
        assert_eq!(run(&loaded), 0);
        let sum: u64 = loaded.variable("sum").unwrap().read().unwrap();
        assert_eq!(sum, 1000 + 60 - 1 + 9 - 100 + 1 + 3, "{name}");
        assert_eq!(loaded.variable("counter").unwrap().read::<u64>().unwrap(), 42);
        assert_eq!(loaded.variable("hidden").unwrap().read::<i32>().unwrap(), 2);
        let pair = loaded.variable("pair").unwrap().bytes().unwrap();
        assert_eq!((&pair[..4], &pair[8..]), (&1_i32.to_ne_bytes()[..], &7_u64.to_ne_bytes()[..]));
    }
}

fn programs_see_values_written_while_running() {
    let loaded = object("variables.o").load().unwrap();
    assert_eq!(run(&loaded), 1, "not enabled");
    let variable = |name: &str| loaded.variable(name).unwrap();
    variable("enabled").write(&true).unwrap();
    variable("offset").write(&1_i32).unwrap();
    variable("ports").write(&[0_u16, 0, 0, 100]).unwrap();
    variable("tuning").write(&1000_i64).unwrap();
    variable("colour").write(&2_u32).unwrap();
    assert_eq!(run(&loaded), 0);
    assert_eq!(variable("sum").read::<u64>().unwrap(), 10 + 6 + 1 + 100 + 1000 + 2);
    assert_eq!(variable("ports").read::<[u16; 4]>().unwrap(), [0, 0, 0, 100]);
    assert!(variable("enabled").read::<bool>().unwrap());
    // A lookup reads the same memory.
    let section = loaded.map(".data.tuning").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    assert_eq!(section[variable("sum").spec().offset as usize..][..8], variable("sum").bytes().unwrap());

    let error = variable("offset").write(&1_u32).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot write the variable `offset` (int, in .data): it is a signed integer, and an unsigned one is given"
    );
    let error = variable("offset").read::<i64>().unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot read the variable `offset` (int, in .data): its elements have 4 bytes each, and those requested 8"
    );
    variable("enabled").write(&[2_u8]).unwrap();
    let error = variable("enabled").read::<bool>().unwrap_err().to_string();
    assert!(error.contains("[02] are not a value of the requested type"), "{error}");
    assert_eq!(loaded.variables().count(), 14);
}

fn constants_are_read_and_not_written() {
    let mut object = object("variables.o");
    object.set_variable("limit", &77_u32).unwrap();
    let loaded = object.load().unwrap();
    let variable = |name: &str| loaded.variable(name).unwrap();
    assert_eq!(variable("limit").read::<u32>().unwrap(), 77);
    assert_eq!(variable("levels").read::<[i32; 3]>().unwrap(), [1, 2, 3]);
    assert_eq!(&variable("name").bytes().unwrap()[..7], b"nobody\0");
    let error = variable("levels").write(&[1_i32, 2, 3]).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot write the variable `levels` (const volatile int[3], in .rodata.levels): its section is frozen since the \
         object was loaded"
    );
}

/// A program counts in one variable while the test writes its neighbors: no count is lost.
fn writing_a_variable_leaves_the_others_unchanged() {
    const RUNS: u64 = 20_000;
    let loaded = object("variables.o").load().unwrap();
    loaded.variable("enabled").unwrap().write(&true).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..RUNS {
                assert_eq!(run(&loaded), 0);
            }
            ended.store(true, Relaxed);
        });
        let (address, counter) = (loaded.variable("address").unwrap(), loaded.variable("counter").unwrap());
        let (mut round, mut seen) = (0_u64, 0);
        while !ended.load(Relaxed) {
            round += 1;
            address.write(&round).unwrap();
            let now = counter.read::<u64>().unwrap();
            assert!(now >= seen && now <= RUNS);
            seen = now;
        }
        assert!(round > 100, "{round}");
    });
    assert_eq!(loaded.variable("counter").unwrap().read::<u64>().unwrap(), RUNS);
}

fn section_is_mapped_once() {
    let loaded = object("variables.o").load().unwrap();
    let before = journal::system_calls().len();
    for _ in 0..3 {
        loaded.variable("counter").unwrap().write(&1_u64).unwrap();
        loaded.variable("enabled").unwrap().write(&false).unwrap();
        loaded.variable("counter").unwrap().read::<u64>().unwrap();
    }
    let calls: Vec<_> = journal::system_calls()[before..].iter().map(|call| call.pairs[0].1.clone()).collect();
    assert_eq!(calls, ["mmap"]);
    drop(loaded);
    let last = journal::system_calls().pop().unwrap();
    assert_eq!(last.pairs[0].1, "munmap");
}

/// The second section `.data` is a map like the first. By the name alone, they cannot be distinguished.
fn sections_of_the_same_name_are_separate() {
    let mut bytes = corpus::read("data", "variables_without_btf.o");
    let name = b"\0.data.tuning\0";
    let offset = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[offset + b"\0.data".len()] = 0;
    let mut object = Object::parse(&bytes).unwrap();
    assert_eq!(object.maps().iter().filter(|map| map.name == ".data").count(), 2);
    object.set_variable("enabled", &1_u8).unwrap();
    object.set_variable("offset", &-10_i32).unwrap();
    object.set_variable("tuning", &1000_i64).unwrap();
    object.set_variable("sum", &7_u64).unwrap();
    let loaded = object.load().unwrap();
    let value = |name: &str| loaded.variable(name).unwrap().read::<u64>().unwrap();
    assert_eq!((value("tuning"), value("sum")), (1000, 7));
    assert_eq!(loaded.variable("offset").unwrap().read::<i32>().unwrap(), -10);
    assert_eq!(run(&loaded), 0);
    // limit, levels, offset, ports[3], tuning, colour
    assert_eq!(value("sum"), 7 + 10 + 6 + 4 + 1000 + 1 - 10);
    assert_eq!(loaded.variables().count(), 14);
}
