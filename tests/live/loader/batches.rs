//! Batches of elements, with and without the kernel's batch commands.

use std::collections::BTreeMap;

use cutaway::{Entries, Error, Loaded, Map, Object};
use cutaway_programs::{MapDef, MapType as Kind, ObjectBuilder};

use crate::{
    harness::{Test, test},
    journal,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(elements_are_read_in_batches).needs(root),
        test!(elements_are_read_one_by_one_without_batches).since(5, 4, "device hash maps").needs(root),
        test!(bucket_larger_than_the_batch_is_read_whole).needs(root),
        test!(drained_elements_are_deleted).needs(root),
        test!(elements_are_updated_and_deleted_in_batches).needs(root),
        test!(failed_batch_reports_its_progress).needs(root),
        test!(arrays_are_read_in_batches).needs(root),
        test!(buffers_are_no_larger_than_the_map).needs(root),
        test!(per_cpu_values_are_set_in_batches).needs(root),
        test!(queues_and_stacks_are_drained).since(4, 20, "queues and stacks").needs(root),
        test!(sizes_and_flags_are_changed_before_loading).needs(root),
    ]
}

/// Loads an object with this map only.
fn with_map(definition: MapDef) -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", definition);
    Object::parse(&object.write().unwrap()).unwrap().load().unwrap()
}

fn hash(kind: Kind, entries: u32) -> Loaded {
    with_map(MapDef::new(kind).key_size(4).value_size(8).max_entries(entries))
}

fn elements(count: u32) -> Vec<([u8; 4], [u8; 8])> {
    (0..count).map(|number| (number.to_ne_bytes(), (u64::from(number) * 3).to_ne_bytes())).collect()
}

fn fill(map: &Map, count: u32) -> Vec<([u8; 4], [u8; 8])> {
    let elements = elements(count);
    map.update_batch(elements.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap();
    elements
}

fn collected(batches: impl Iterator<Item = Result<Entries, Error>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entries in batches {
        let entries = entries.unwrap();
        assert!(!entries.is_empty());
        assert_eq!(entries.iter().len(), entries.len());
        for (key, value) in entries.iter() {
            assert!(all.insert(key.to_vec(), value.to_vec()).is_none(), "{key:?} is returned twice");
        }
    }
    all
}

fn owned(elements: &[([u8; 4], [u8; 8])]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    elements.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Returns the bpf(2) commands that were issued after this many system calls.
fn commands(since: usize) -> Vec<String> {
    let calls = journal::system_calls();
    let pair =
        |name: &str, pairs: &[(String, String)]| pairs.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
    calls[since..].iter().filter_map(|call| pair("cmd", &call.pairs)).collect()
}

fn elements_are_read_in_batches() {
    for kind in [Kind::HASH, Kind::LRU_HASH] {
        let loaded = hash(kind, 4000);
        let map = loaded.map("map").unwrap();
        assert_eq!(map.entries().count(), 0, "empty");
        let before = journal::system_calls().len();
        let elements = fill(map, 1000);
        assert_eq!(collected(map.entries()), owned(&elements));
        assert_eq!(commands(before), ["BPF_MAP_UPDATE_BATCH", "BPF_MAP_LOOKUP_BATCH"]);
        // A few at a time, and all in total.
        assert_eq!(collected(map.entries().at_most(100)), owned(&elements));
        let pieces = map.entries().at_most(100).map(|entries| entries.unwrap().len());
        assert!(pieces.collect::<Vec<_>>().iter().all(|&count| count <= 100));
    }
}

fn elements_are_read_one_by_one_without_batches() {
    let loaded = with_map(MapDef::new(Kind::DEVMAP_HASH).key_size(4).value_size(4).max_entries(64));
    let map = loaded.map("map").unwrap();
    let loopback = 1_u32.to_ne_bytes();
    let keys: Vec<_> = (0..50_u32).map(u32::to_ne_bytes).collect();
    let before = journal::system_calls().len();
    map.update_batch(keys.iter().map(|key| (&key[..], &loopback[..]))).unwrap();
    let given = commands(before);
    assert_eq!(given.iter().filter(|command| *command == "BPF_MAP_UPDATE_ELEM").count(), 50, "{given:?}");
    let all: BTreeMap<_, _> = keys.iter().map(|key| (key.to_vec(), loopback.to_vec())).collect();
    assert_eq!(collected(map.entries()), all);
    assert_eq!(collected(map.entries().at_most(7)), all);
    assert_eq!(map.entries().at_most(7).map(|entries| entries.unwrap().len()).max(), Some(7));
    assert_eq!(map.delete_batch(keys[..20].iter().map(|key| &key[..])).unwrap(), 20);
    assert_eq!(map.delete_batch(keys[..25].iter().map(|key| &key[..])).unwrap(), 5);
    assert_eq!(collected(map.drain_entries().at_most(10)).len(), 25);
    assert_eq!(map.entries().count(), 0);
}

/// Two hundred elements in a hash with two buckets.
fn bucket_larger_than_the_batch_is_read_whole() {
    let loaded = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(8).max_entries(2));
    let map = loaded.map("map").unwrap();
    let elements = fill(map, 2);
    assert_eq!(collected(map.entries().at_most(1)), owned(&elements));

    let loaded = hash(Kind::HASH, 5000);
    let map = loaded.map("map").unwrap();
    let elements = fill(map, 5000);
    // Some of the buckets contain more than one element.
    assert_eq!(collected(map.entries().at_most(1)), owned(&elements));
}

fn drained_elements_are_deleted() {
    for kind in [Kind::HASH, Kind::LRU_HASH] {
        let loaded = hash(kind, 4000);
        let map = loaded.map("map").unwrap();
        let elements = fill(map, 500);
        assert_eq!(collected(map.drain_entries()), owned(&elements));
        assert_eq!(map.keys().count(), 0);
        fill(map, 500);
        // Elements that were not requested stay.
        let first = map.drain_entries().at_most(50).next().unwrap().unwrap().len();
        assert!((1..=50).contains(&first));
        assert_eq!(map.keys().count(), 500 - first);
    }
    // Without batch deletion and lookup-and-delete, each element takes two steps.
    let loaded = with_map(
        MapDef::new(Kind::LPM_TRIE).key_size(8).value_size(4).max_entries(16).flags(cutaway::MapFlags::NO_PREALLOC),
    );
    let map = loaded.map("map").unwrap();
    for number in 0..10_u8 {
        map.update(&[32, 0, 0, 0, 10, 0, 0, number], &[number; 4]).unwrap();
    }
    assert_eq!(collected(map.drain_entries().at_most(3)).len(), 10);
    assert_eq!(map.keys().count(), 0);
    assert_eq!(map.lookup_and_delete(&[32, 0, 0, 0, 10, 0, 0, 1]).unwrap(), None);
}

fn elements_are_updated_and_deleted_in_batches() {
    let loaded = hash(Kind::HASH, 100);
    let map = loaded.map("map").unwrap();
    let elements = fill(map, 100);
    assert_eq!(map.delete_batch(elements.iter().step_by(2).map(|(key, _)| &key[..])).unwrap(), 50);
    // Keys that no longer exist are skipped, at any position.
    assert_eq!(map.delete_batch(elements.iter().take(90).map(|(key, _)| &key[..])).unwrap(), 45);
    assert_eq!(map.keys().count(), 5);
    assert_eq!(map.delete_batch([]).unwrap(), 0);
    map.update_batch([]).unwrap();
    let last = elements[99];
    assert_eq!(map.lookup_and_delete(&last.0).unwrap(), Some(last.1.to_vec()));
    assert_eq!(map.lookup_and_delete(&last.0).unwrap(), None);
    for error in [
        map.update_batch([(&[1_u8, 2, 3][..], &[0_u8; 8][..])]).unwrap_err(),
        map.update_batch([(&[0_u8; 4][..], &[0_u8; 7][..])]).unwrap_err(),
        map.delete_batch([&[0_u8; 5][..]]).unwrap_err(),
        map.lookup_and_delete(&[0; 3]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("keys of 4 bytes and values of 8"), "{error}");
    }
}

fn failed_batch_reports_its_progress() {
    let loaded = hash(Kind::HASH, 10);
    let map = loaded.map("map").unwrap();
    let elements = elements(20);
    let error = map.update_batch(elements.iter().map(|(key, value)| (&key[..], &value[..]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot set more than 10 of 20 values in the map `map` (HASH): E2BIG (Argument list too long)"
    );
    assert_eq!(map.keys().count(), 10);
}

fn arrays_are_read_in_batches() {
    let loaded = with_map(MapDef::new(Kind::ARRAY).key_size(4).value_size(8).max_entries(1000));
    let map = loaded.map("map").unwrap();
    let elements = fill(map, 1000);
    assert_eq!(collected(map.entries()), owned(&elements));
    assert_eq!(collected(map.entries().at_most(64)), owned(&elements));
    let error = map.drain_entries().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("the map `map` (ARRAY): EINVAL"), "{error}");
    let error = map.delete_batch([&[0_u8; 4][..]]).unwrap_err().to_string();
    assert!(error.contains("remove a key from the map `map` (ARRAY): EINVAL"), "{error}");
}

/// A buffer for a million values of 1 MiB could not be allocated.
fn buffers_are_no_larger_than_the_map() {
    let loaded = with_map(MapDef::new(Kind::ARRAY).key_size(4).value_size(1 << 20).max_entries(2));
    let pieces = loaded.map("map").unwrap().entries().at_most(usize::MAX);
    assert_eq!(pieces.map(|entries| entries.unwrap().len()).collect::<Vec<_>>(), [2]);
}

fn per_cpu_values_are_set_in_batches() {
    // An LRU map evicts the least recently used elements long before it is full.
    for (kind, entries) in [(Kind::PERCPU_HASH, 300), (Kind::PERCPU_ARRAY, 300), (Kind::LRU_PERCPU_HASH, 4000)] {
        let loaded = with_map(MapDef::new(kind).key_size(4).value_size(12).max_entries(entries));
        let map = loaded.map("map").unwrap();
        let cpus = map.value_size() / 16;
        for number in 0..300_u32 {
            let values: Vec<_> = (0..cpus as u32).map(|cpu| (cpu, [cpu as u8 ^ number as u8; 12].to_vec())).collect();
            map.update_per_cpu(&number.to_ne_bytes(), &values).unwrap();
            assert_eq!(map.lookup_per_cpu(&number.to_ne_bytes()).unwrap().unwrap(), values);
        }
        let all = collected(map.entries().at_most(64));
        assert_eq!(all.len(), 300);
        for (key, value) in all {
            assert_eq!(map.lookup(&key).unwrap().unwrap(), value);
        }
        let key = [0; 4];
        let error = map.update_per_cpu(&key, &vec![(0, vec![0; 11])]).unwrap_err().to_string();
        assert!(error.contains("its values have 12 bytes each, and that for CPU 0 has 11"), "{error}");
        let error = map.update_per_cpu(&key, &Vec::new()).unwrap_err().to_string();
        assert!(error.contains("there is no value for CPU 0"), "{error}");
    }
    let loaded = hash(Kind::HASH, 1);
    let error = loaded.map("map").unwrap().update_per_cpu(&[0; 4], &Vec::new()).unwrap_err().to_string();
    assert!(error.contains("it is a HASH, which has one value for all CPUs"), "{error}");
}

fn queues_and_stacks_are_drained() {
    for (kind, order) in [(Kind::QUEUE, [1, 2, 3]), (Kind::STACK, [3, 2, 1])] {
        let loaded = with_map(MapDef::new(kind).value_size(4).max_entries(4));
        let map = loaded.map("map").unwrap();
        for number in 1..=3_u32 {
            map.update(&[], &number.to_ne_bytes()).unwrap();
        }
        let mut given = Vec::new();
        while let Some(value) = map.lookup_and_delete(&[]).unwrap() {
            given.push(u32::from_ne_bytes(value.try_into().unwrap()));
        }
        assert_eq!(given, order);
    }
}

fn sizes_and_flags_are_changed_before_loading() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", MapDef::new(Kind::HASH).key_size(4).value_size(8).max_entries(1));
    let mut object = Object::parse(&object.write().unwrap()).unwrap();
    let map = object.map_mut("map").unwrap();
    (map.key_size, map.value_size, map.max_entries) = (16, 32, 77);
    map.map_flags |= cutaway::MapFlags::NO_PREALLOC;
    let loaded = object.load().unwrap();
    let map = loaded.map("map").unwrap();
    assert_eq!((map.key_size(), map.value_size(), map.max_entries()), (16, 32, 77));
    use std::os::fd::{AsFd, AsRawFd};
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd())).unwrap();
    assert!(text.lines().any(|line| line == "map_flags:\t0x1"), "{text}");
    map.update(&[1; 16], &[2; 32]).unwrap();
    assert_eq!(map.lookup(&[1; 16]).unwrap().unwrap(), [2; 32]);
}
