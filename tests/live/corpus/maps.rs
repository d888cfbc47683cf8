//! Maps of every type, created and used.

use cutaway::{MapFlags, MapSpec, MapType, Object, TestRun};

use crate::{
    harness::{Test, older_than, test},
    load, object, parse, system_call, unsupported,
};

struct Row(&'static str, fn() -> Option<String>, MapType);

use MapType as T;

const ROWS: &[Row] = &[
    Row("hash", unsupported::nothing, T::HASH),
    Row("hash_lazy", unsupported::nothing, T::HASH),
    Row("array", unsupported::nothing, T::ARRAY),
    Row("prog_array", unsupported::nothing, T::PROG_ARRAY),
    Row("perf_event_array", unsupported::nothing, T::PERF_EVENT_ARRAY),
    Row("percpu_hash", unsupported::nothing, T::PERCPU_HASH),
    Row("percpu_array", unsupported::nothing, T::PERCPU_ARRAY),
    Row("stack_trace", unsupported::nothing, T::STACK_TRACE),
    Row("cgroup_array", unsupported::nothing, T::CGROUP_ARRAY),
    Row("lru_hash", unsupported::nothing, T::LRU_HASH),
    Row("lru_percpu_hash", unsupported::nothing, T::LRU_PERCPU_HASH),
    Row("lpm_trie", unsupported::nothing, T::LPM_TRIE),
    Row("devmap", unsupported::nothing, T::DEVMAP),
    Row("devmap_hash", unsupported::nothing, T::DEVMAP_HASH),
    Row("sockmap", unsupported::nothing, T::SOCKMAP),
    Row("sockhash", unsupported::nothing, T::SOCKHASH),
    Row("cpumap", unsupported::nothing, T::CPUMAP),
    Row("xskmap", xsk, T::XSKMAP),
    Row("cgroup_storage", unsupported::nothing, T::CGROUP_STORAGE),
    Row("percpu_cgroup_storage", unsupported::nothing, T::PERCPU_CGROUP_STORAGE),
    Row("reuseport_sockarray", unsupported::nothing, T::REUSEPORT_SOCKARRAY),
    Row("sk_storage", unsupported::nothing, T::SK_STORAGE),
    Row("inode_storage", inode_storage, T::INODE_STORAGE),
    Row("task_storage", || older_than(5, 11, "storage of tasks"), T::TASK_STORAGE),
    Row("cgrp_storage", || older_than(6, 2, "storage of cgroups"), T::CGRP_STORAGE),
    Row("queue", unsupported::nothing, T::QUEUE),
    Row("stack", unsupported::nothing, T::STACK),
    Row("ringbuf", ring, T::RINGBUF),
    Row("user_ringbuf", || older_than(6, 1, "rings that user space fills"), T::USER_RINGBUF),
    Row("bloom_filter", || older_than(5, 16, "bloom filters"), T::BLOOM_FILTER),
    Row("arena", || older_than(6, 9, "arenas"), T::ARENA),
    Row("array_of_maps", unsupported::nothing, T::ARRAY_OF_MAPS),
    Row("hash_of_maps", unsupported::nothing, T::HASH_OF_MAPS),
    Row("sized", unsupported::nothing, T::HASH),
];

fn ring() -> Option<String> {
    older_than(5, 8, "the ring buffer")
}

/// Returns the reason if the kernel lacks AF_XDP sockets, which receive whole packets.
fn xsk() -> Option<String> {
    (!unsupported::has_symbol("xsk_map_alloc"))
        .then(|| "this kernel has no such sockets (CONFIG_XDP_SOCKETS)".to_owned())
}

/// Returns the reason if the kernel lacks inode storage, which needs LSM programs.
fn inode_storage() -> Option<String> {
    let why = "this kernel has no storage in inodes (CONFIG_BPF_LSM)";
    older_than(5, 10, "storage in inodes")
        .or_else(|| (!unsupported::has_symbol("inode_storage_map_alloc")).then(|| why.to_owned()))
}

pub(crate) fn tests() -> Vec<Test> {
    let rows = ROWS.iter().map(|row| (row.0, row));
    let mut tests: Vec<_> = test!(map_is_created, rows, |row: &Row| (row.1)()).collect();
    tests.extend([
        test!(maps_are_used_by_programs).unless(ring),
        test!(maps_are_used_by_programs_of_an_older_compiler).unless(ring),
        test!(unknown_map_type_is_refused),
        test!(arena_has_the_same_addresses_on_both_sides).unless(arena_programs),
        test!(variables_in_an_arena_are_set_and_read).unless(arena_programs),
        test!(variables_in_an_arena_at_a_given_address).unless(arena_programs),
        test!(variables_in_an_arena_larger_than_any_offset).unless(arena_programs),
        test!(arena_without_room_for_its_variables_is_refused),
    ]);
    tests
}

fn maps_are_used_by_programs() {
    used(object!("uses"));
}

fn maps_are_used_by_programs_of_an_older_compiler() {
    used(object!("uses_old"));
}

fn variables_in_an_arena_are_set_and_read() {
    arena_variables(|_| {});
}

fn variables_in_an_arena_at_a_given_address() {
    arena_variables(|arena| arena.map_extra = 1 << 44);
}

fn variables_in_an_arena_larger_than_any_offset() {
    arena_variables(|arena| arena.max_entries = 1 << 20);
}

fn arena_programs() -> Option<String> {
    let why = "this kernel has no arenas for programs (6.9, and a compiler for them)";
    (!unsupported::has_symbol("bpf_arena_alloc_pages")).then(|| why.to_owned())
}

#[expect(unsafe_code, reason = "reads memory that a program has written")]
fn arena_has_the_same_addresses_on_both_sides() {
    let loaded = load(parse(object!("arena")));
    let outcome = loaded.program("allocates").unwrap().test_run(&TestRun::default()).unwrap();
    assert_eq!(outcome.value, 0);
    let pointer = loaded.variable("allocated").unwrap().bytes().unwrap();
    let page = usize::from_ne_bytes(pointer.try_into().unwrap());
    let arena = loaded.map("arena").unwrap().arena().unwrap();
    assert!(arena.contains(&page) && arena.contains(&(page + 4095)), "{page:#x} in {arena:x?}");
    // SAFETY: the page is within the arena, which stays mapped as long as `loaded` lives, and the program has allocated
    // it.
    assert_eq!(unsafe { std::ptr::with_exposed_provenance::<u64>(page).wrapping_add(3).read_volatile() }, 42);
    assert!(loaded.map(".bss").unwrap().arena().is_none());
}

fn arena_variables(change: impl Fn(&mut MapSpec)) {
    let mut object = parse(object!("arena_globals"));
    change(object.map_mut("arena").unwrap());
    let listed: Vec<_> = object.variables().iter().map(ToString::to_string).collect();
    assert_eq!(listed[0], "`runs` (u64, in .addr_space.1)");
    assert_eq!(listed.len(), 4);
    object.set_variable("runs", &60_u64).unwrap();
    let loaded = load(object);
    let variable = |name: &str| loaded.variable(name).unwrap();
    assert_eq!(variable("runs").read::<u64>().unwrap(), 60);
    let run = || loaded.program("links").unwrap().test_run(&TestRun::default()).unwrap().value;
    assert_eq!(run(), 7, "the second node's initial value");
    assert_eq!(variable("runs").read::<u64>().unwrap(), 62);
    variable("runs").write(&100_u64).unwrap();
    assert_eq!(run(), 7);
    let zeroes = variable("zeroes").read::<[u64; 1024]>().unwrap();
    assert_eq!((zeroes[0], zeroes[1022], zeroes[1023]), (0, 0, 102));
    // A pointer has the same value on both sides.
    let arena = loaded.map("arena").unwrap().arena().unwrap();
    let next = u64::from_ne_bytes(*variable("first").bytes().unwrap().first_chunk().unwrap()) as usize;
    assert!(arena.contains(&next), "{next:#x} in {arena:x?}");
    assert_eq!(next % 4096, variable("second").spec().offset as usize);
    assert_eq!(loaded.variables().count(), 4);
}

fn arena_without_room_for_its_variables_is_refused() {
    let refusal = |change: &dyn Fn(&mut MapSpec)| {
        let mut object = parse(object!("arena_globals"));
        change(object.map_mut("arena").unwrap());
        object.load().unwrap_err().to_string()
    };
    if older_than(6, 9, "arenas").is_none() {
        let line = refusal(&|arena| arena.max_entries = 2);
        assert!(line.contains("it has 2 pages, and its global variables need 3"), "{line}");
        let line = refusal(&|arena| arena.map_flags |= MapFlags::from_bits_retain(1 << 17));
        assert!(line.contains("BPF_F_SEGV_ON_FAULT forbids user space"), "{line}");
    }
    // Without a section of maps there is no arena.
    let (mut without, name) = (object!("arena_globals").to_vec(), b"\0.maps\0");
    for at in 0..without.len() - name.len() {
        if without[at..].starts_with(name) {
            without[at + 1] = b'x';
        }
    }
    let line = Object::parse(&without).unwrap_err().to_string();
    assert!(line.contains("global variables in an arena (section .addr_space.1), and not exactly one arena"), "{line}");
}

/// Returns the object with this map only, and its inner map.
fn only(name: &str) -> Object {
    let mut object = parse(object!("maps"));
    let names: Vec<_> = object.maps().iter().map(|map| map.name.clone()).collect();
    for other in names {
        object.map_mut(&other).unwrap().autocreate = other == name || other == "inner" && name.ends_with("_of_maps");
    }
    object
}

fn map_is_created(&Row(name, _, map_type): &Row) {
    let object = only(name);
    let spec = object.maps().iter().find(|map| map.name == name).unwrap().clone();
    let loaded = load(object);
    let map = loaded.map(name).unwrap();
    assert_eq!(map.map_type(), map_type);
    match name {
        "array" => assert_eq!(map.value_size(), 256, "an array of arrays"),
        "sized" => assert_eq!((map.key_size(), map.value_size()), (6, 10)),
        "bloom_filter" => assert_eq!(spec.map_extra, 3),
        "ringbuf" | "user_ringbuf" => assert_eq!(map.max_entries(), 8192, "a power of two of pages"),
        "array_of_maps" | "hash_of_maps" => {
            let index = if name == "array_of_maps" { 2 } else { 0_u32 };
            assert!(map.lookup(&index.to_ne_bytes()).unwrap().is_some());
            assert_eq!(map.keys().filter(|key| map.lookup(key.as_ref().unwrap()).unwrap().is_some()).count(), 1);
        }
        _ => {}
    }
}

fn unknown_map_type_is_refused() {
    let line = only("nobody_knows").load().unwrap_err().to_string();
    assert!(line.contains("create the map `nobody_knows` (map type 99"), "{line}");
}

fn used(bytes: &[u8]) {
    let mut object = parse(bytes);
    object.set_variable("own", &std::process::id().to_ne_bytes()).unwrap();
    let loaded = load(object);
    let link = loaded.program("uses").unwrap().attach().unwrap();
    system_call();
    drop(link);
    let mut ring = loaded.map("events").unwrap().ring().unwrap();
    let mut batch = ring.batch().unwrap();
    let event = batch.records().next().unwrap();
    let words: Vec<_> = event.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    assert_eq!(words, [0x7ff, 49], "each bit is a map that works");
}
