//! Keys and values as Rust types: `Map::typed`, on each kind of map.

use std::collections::BTreeMap;

use cutaway::{Error, Loaded, MapFlags, Object, Pod, UpdateFlags};
use cutaway_programs::{MapDef, MapType as Kind, ObjectBuilder};

use crate::{
    harness::{Test, test},
    maps::possible_cpus,
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(structures_are_keys_and_values).needs(root),
        test!(types_of_other_sizes_are_refused).needs(root),
        test!(bytes_that_are_no_value_are_an_error).needs(root),
        test!(typed_elements_are_set_and_removed_in_batches).needs(root),
        test!(typed_values_of_each_cpu).needs(root),
        test!(typed_values_without_keys).since(5, 16, "Bloom filters").needs(root),
        test!(update_flags_are_obeyed).needs(root),
        test!(lpm_tries_are_walked).needs(root),
    ]
}

cutaway::pod! {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Flow { port: u16, address: [u8; 4], inside: bool }
}

cutaway::pod! {
    #[repr(u32)]
    #[derive(Debug, PartialEq)]
    enum State { Idle, Busy }
}

/// Loads an object with this map only.
pub(crate) fn with_map(definition: MapDef) -> Loaded {
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", definition);
    Object::parse(&object.write().unwrap()).unwrap().load().unwrap()
}

fn hash(key_size: usize, value_size: usize) -> Loaded {
    let definition = MapDef::new(Kind::HASH).key_size(key_size as u32).value_size(value_size as u32);
    with_map(definition.max_entries(1000))
}

fn structures_are_keys_and_values() {
    let loaded = hash(Flow::SIZE, 8);
    let map = loaded.map("map").unwrap().typed::<Flow, u64>().unwrap();
    let flow = |port| Flow { port, address: [127, 0, 0, 1], inside: true };
    assert_eq!((map.get(&flow(1)).unwrap(), map.get_or(&flow(1), 7).unwrap()), (None, 7));
    map.set(&flow(1), &10).unwrap();
    map.set(&flow(2), &20).unwrap();
    map.set(&flow(1), &11).unwrap();
    assert_eq!((map.get(&flow(1)).unwrap(), map.get_or(&flow(2), 7).unwrap()), (Some(11), 20));
    let all: BTreeMap<_, _> = map.iter().map(Result::unwrap).collect();
    assert_eq!(all, BTreeMap::from([(flow(1), 11), (flow(2), 20)]));
    let mut keys: Vec<_> = map.keys().map(Result::unwrap).collect();
    keys.sort();
    assert_eq!(keys, [flow(1), flow(2)]);
    assert_eq!((map.take(&flow(2)).unwrap(), map.take(&flow(2)).unwrap()), (Some(20), None));
    assert_eq!((map.remove(&flow(1)).unwrap(), map.remove(&flow(1)).unwrap()), (true, false));
    assert_eq!(map.iter().count(), 0);

    // The bytes are those of the structure in C.
    map.set(&flow(3), &1).unwrap();
    let mut bytes = vec![0; 8];
    bytes[..2].copy_from_slice(&3_u16.to_ne_bytes());
    bytes[2..].copy_from_slice(&[127, 0, 0, 1, 1, 0]);
    assert_eq!(map.map().keys().next().unwrap().unwrap(), bytes);
}

fn types_of_other_sizes_are_refused() {
    let loaded = hash(4, 8);
    let map = loaded.map("map").unwrap();
    let error = map.typed::<u64, u64>().unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "cannot read and write as `u64` the keys of the map `map` (HASH): its keys have 4 bytes, and `u64` has 8"
    );
    let error = map.typed::<u32, Flow>().map(drop);
    assert!(error.is_ok(), "a structure of 8 bytes");
    let error = map.typed::<u32, [u16; 3]>().unwrap_err().to_string();
    assert!(error.ends_with("its values have 8 bytes, and `[u16; 3]` has 6"), "{error}");
}

fn bytes_that_are_no_value_are_an_error() {
    let loaded = hash(4, 4);
    let map = loaded.map("map").unwrap().typed::<u32, State>().unwrap();
    map.set(&1, &State::Busy).unwrap();
    map.map().update(&2_u32.to_ne_bytes(), &7_u32.to_ne_bytes()).unwrap();
    assert_eq!(map.get(&1).unwrap(), Some(State::Busy));
    let error = map.get(&2).unwrap_err().to_string();
    let expected =
        "cannot read a value of the map `map` (HASH): its bytes [07, 00, 00, 00] are not a value of the type";
    assert!(error.starts_with(expected) || cfg!(target_endian = "big"), "{error}");
    // The iteration reports that element, and goes on.
    let all: Vec<_> = map.iter().collect();
    assert_eq!((all.len(), all.iter().filter(|element| element.is_ok()).count()), (2, 1));
}

fn typed_elements_are_set_and_removed_in_batches() {
    let loaded = hash(4, 8);
    let map = loaded.map("map").unwrap().typed::<u32, u64>().unwrap();
    map.set_many((0..1000).map(|number| (number, u64::from(number) * 3))).unwrap();
    let all: BTreeMap<_, _> = map.iter().map(Result::unwrap).collect();
    assert!(all.len() == 1000 && all.iter().all(|(&key, &value)| value == u64::from(key) * 3));
    assert_eq!(map.remove_many(500..2000).unwrap(), 500);
    assert_eq!(map.drain().map(Result::unwrap).collect::<BTreeMap<_, _>>().len(), 500);
    assert_eq!(map.keys().count(), 0);

    let loaded = with_map(MapDef::new(Kind::ARRAY).key_size(4).value_size(8).max_entries(3));
    let map = loaded.map("map").unwrap().typed::<u32, i64>().unwrap();
    map.set(&2, &-5).unwrap();
    assert_eq!(map.iter().map(Result::unwrap).collect::<Vec<_>>(), [(0, 0), (1, 0), (2, -5)]);
    let error = map.drain().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("take elements from the map `map` (ARRAY): EINVAL") || error.contains("ARRAY"), "{error}");
}

fn typed_values_of_each_cpu() {
    for kind in [Kind::PERCPU_HASH, Kind::PERCPU_ARRAY] {
        let loaded = with_map(MapDef::new(kind).key_size(4).value_size(12).max_entries(4));
        let map = loaded.map("map").unwrap().typed::<u32, [u32; 3]>().unwrap();
        let cpus = possible_cpus() as u32;
        let values: Vec<_> = (0..cpus).map(|cpu| (cpu, [cpu, 1, 2])).collect();
        map.set_per_cpu(&1, &values).unwrap();
        assert_eq!(map.get_per_cpu(&1).unwrap().unwrap(), values);
        map.set_all_cpus(&3, &[9; 3]).unwrap();
        let all: BTreeMap<_, _> = map.iter_per_cpu().map(Result::unwrap).collect();
        assert_eq!(all[&1], values);
        assert!(all[&3].len() == cpus as usize && all[&3].iter().all(|(_, value)| *value == [9; 3]), "{all:?}");

        let one = "it is a PERCPU_";
        let errors = [
            map.get(&1).map(drop).unwrap_err(),
            map.set(&1, &[0; 3]).unwrap_err(),
            map.take(&1).map(drop).unwrap_err(),
            map.set_many([(1, [0; 3])]).unwrap_err(),
            map.iter().next().unwrap().map(drop).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains(one) && text.contains("get_per_cpu"), "{text}");
        }
        assert_eq!(map.get_per_cpu(&1).unwrap().unwrap(), values, "nothing was written");
    }
    let loaded = hash(4, 8);
    let map = loaded.map("map").unwrap().typed::<u32, u64>().unwrap();
    for text in [
        map.get_per_cpu(&1).unwrap_err().to_string(),
        map.set_all_cpus(&1, &1).unwrap_err().to_string(),
        map.iter_per_cpu().next().unwrap().unwrap_err().to_string(),
    ] {
        assert!(text.contains("it is a HASH, which has one value for all CPUs"), "{text}");
    }
}

fn typed_values_without_keys() {
    for (kind, order) in [(Kind::QUEUE, [1, 2, 3]), (Kind::STACK, [3, 2, 1])] {
        let loaded = with_map(MapDef::new(kind).value_size(4).max_entries(3));
        let map = loaded.map("map").unwrap().typed::<(), u32>().unwrap();
        assert_eq!((map.peek().unwrap(), map.pop().unwrap()), (None, None));
        for value in 1..=3 {
            map.push(&value).unwrap();
        }
        let error = map.push(&4).unwrap_err().to_string();
        assert!(error.contains("E2BIG") && error.contains("it is full: pop a value first"), "{error}");
        assert_eq!(map.peek().unwrap(), Some(order[0]));
        assert_eq!(std::iter::from_fn(|| map.pop().unwrap()).collect::<Vec<_>>(), order);
        for value in 1..=4 {
            map.push_evicting(&value).unwrap();
        }
        let mut left: Vec<_> = std::iter::from_fn(|| map.pop().unwrap()).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 3, 4], "the oldest is gone");
        let error = map.contains(&1).unwrap_err().to_string();
        assert!(error.contains("and only BLOOM_FILTER maps have this"), "{error}");
        for text in [
            map.map().delete(&[]).unwrap_err().to_string(),
            map.map().keys().next().unwrap().unwrap_err().to_string(),
            map.map().entries().next().unwrap().unwrap_err().to_string(),
        ] {
            assert!(text.contains("which has no keys: see `Map::push`, `Map::pop` and `Map::peek_value`"), "{text}");
        }
    }
    let loaded = with_map(MapDef::new(Kind::BLOOM_FILTER).value_size(8).max_entries(100));
    let map = loaded.map("map").unwrap().typed::<(), u64>().unwrap();
    for value in 0..50 {
        map.push(&value).unwrap();
    }
    assert!((0..50).all(|value| map.contains(&value).unwrap()), "a member is never missed");
    let wrong = (1000..2000).filter(|value| map.contains(value).unwrap()).count();
    assert!(wrong < 300, "{wrong} of 1000 other values are said to be members");
    let error = map.map().lookup(&[]).unwrap_err().to_string();
    assert!(
        error.contains("its type is BLOOM_FILTER, which has no keys: see `Map::push` and `Map::contains`"),
        "{error}"
    );
    let error = map.pop().unwrap_err().to_string();
    assert!(error.contains("its type is BLOOM_FILTER, and only QUEUE and STACK maps have this"), "{error}");
}

fn update_flags_are_obeyed() {
    let loaded = hash(4, 8);
    let map = loaded.map("map").unwrap().typed::<u32, u64>().unwrap();
    let error = map.set_with(&1, &1, UpdateFlags::EXIST).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot set a value in the map `map` (HASH): ENOENT (No such file or directory); the key does not exist, and \
         EXIST only changes the value of an existing one"
    );
    map.set_with(&1, &1, UpdateFlags::NOEXIST).unwrap();
    let error = map.set_with(&1, &2, UpdateFlags::NOEXIST).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot set a value in the map `map` (HASH): EEXIST (File exists); the key exists already, and NOEXIST only \
         adds a new one"
    );
    assert_eq!(map.get(&1).unwrap(), Some(1), "nothing was written");
    map.set_with(&1, &3, UpdateFlags::EXIST).unwrap();
    assert_eq!(map.get(&1).unwrap(), Some(3));
    // In a batch: the elements before the refused one are set.
    let (one, two) = (1_u32.to_ne_bytes(), 2_u32.to_ne_bytes());
    let elements = [(&two[..], &[2_u8; 8][..]), (&one[..], &[2_u8; 8][..])];
    let error = map.map().update_batch_with(elements, UpdateFlags::NOEXIST).unwrap_err().to_string();
    assert!(error.contains("set more than 1 of 2 values in") && error.contains("the key exists already"), "{error}");
    assert_eq!((map.get(&1).unwrap(), map.get(&2).unwrap()), (Some(3), Some(u64::from_ne_bytes([2; 8]))));
    map.map().update_batch_with(elements, UpdateFlags::EXIST).unwrap();
    assert_eq!(map.get(&1).unwrap(), map.get(&2).unwrap());
    let error = map.set_with(&1, &3, UpdateFlags::LOCK).unwrap_err().to_string();
    assert!(error.contains("LOCK needs values with a `bpf_spin_lock`"), "{error}");
    let error = map.set_with(&1, &3, UpdateFlags::cpu(0)).unwrap_err().to_string();
    assert!(error.contains("it is a HASH, which has one value for all CPUs"), "{error}");
}

/// Keys of an LPM trie are a prefix length in bits and that prefix.
fn lpm_tries_are_walked() {
    cutaway::pod! {
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
        struct Prefix { bits: u32, address: [u8; 4] }
    }
    let definition = MapDef::new(Kind::LPM_TRIE).key_size(8).value_size(4).max_entries(10);
    let loaded = with_map(definition.flags(MapFlags::NO_PREALLOC));
    let map = loaded.map("map").unwrap().typed::<Prefix, u32>().unwrap();
    let prefix = |bits, address| Prefix { bits, address };
    let all = [(prefix(8, [10, 0, 0, 0]), 1), (prefix(16, [10, 1, 0, 0]), 2), (prefix(0, [0; 4]), 3)];
    for (key, value) in &all {
        map.set(key, value).unwrap();
    }
    assert_eq!(map.get(&prefix(32, [10, 1, 2, 3])).unwrap(), Some(2), "the longest prefix");
    assert_eq!(map.get(&prefix(32, [10, 2, 2, 3])).unwrap(), Some(1));
    assert_eq!(map.get(&prefix(32, [11, 2, 2, 3])).unwrap(), Some(3));
    assert_eq!(map.keys().map(|key| key.unwrap().bits).collect::<Vec<_>>(), [16, 8, 0], "the longest first");
    assert_eq!(map.iter().map(Result::unwrap).collect::<BTreeMap<_, _>>(), BTreeMap::from(all));
    let first = map.map().next_key(None).unwrap().unwrap();
    assert_eq!(Prefix::read_from(&first).unwrap().bits, 16);
    assert_eq!(map.map().next_key(Some(&first)).unwrap().map(|key| Prefix::read_from(&key).unwrap().bits), Some(8));
    assert!(map.remove(&prefix(8, [10, 0, 0, 0])).unwrap());
    assert_eq!(map.get(&prefix(32, [10, 2, 2, 3])).unwrap(), Some(3));
}
