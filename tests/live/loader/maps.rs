//! Maps: created with the parameters that the kernel requires, and their elements.

use std::fs;

use cutaway::{Error, LoadOptions, Map, MapType, Object};
use cutaway_programs::{Assembler, MapDef, MapType as Kind, ObjectBuilder, R0};
use log::Level;

use crate::{
    harness::{Test, test},
    journal,
    requirements::{ring, root},
    sample::{self, names},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(perf_event_arrays_get_a_slot_for_each_possible_cpu).needs(root),
        test!(rings_get_a_power_of_two_of_pages).needs(ring),
        test!(elements_are_updated_and_deleted).needs(root),
        test!(full_hash_map_is_an_error).needs(root),
        test!(per_cpu_values_are_separate).needs(root),
        test!(wrong_lengths_are_refused_before_the_kernel_sees_them).needs(root),
        test!(constants_are_frozen_and_variables_are_not).needs(root),
        test!(map_info_matches_the_kernel).needs(root),
        test!(map_type_of_no_kernel_is_refused).needs(root),
        test!(unknown_name_lists_the_known_ones).needs(root),
        test!(pinned_map_is_reused_if_it_matches).since(5, 16, "bloom filters").needs(root),
        test!(pin_stays_in_its_directory).needs(root),
        test!(pin_root_of_the_options_comes_first).needs(root),
        test!(failed_load_removes_the_pins_that_it_made).needs(root),
        test!(dangling_symbolic_link_is_no_pin).needs(root),
        test!(keys_end_once).needs(root),
        test!(map_spec_refused_by_every_kernel_is_explained).needs(root),
    ]
}

/// Returns the number of possible CPUs, which is the number of values of each key of a per-CPU map.
pub(crate) fn possible_cpus() -> usize {
    cutaway_sys::cpus::possible().unwrap().len()
}

/// Returns an object with this map only, named `events`.
fn with_map(definition: MapDef) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", definition);
    Object::parse(&object.write().unwrap()).unwrap()
}

fn perf_event_arrays_get_a_slot_for_each_possible_cpu() {
    let possible = possible_cpus() as u32;
    for (asked, given) in [(0, possible), (1, 1), (possible, possible), (possible + 1, possible), (u32::MAX, possible)]
    {
        let definition = MapDef::new(Kind::PERF_EVENT_ARRAY).key_size(4).value_size(4);
        let mut object = with_map(definition.max_entries(0));
        object.map_mut("events").unwrap().max_entries = asked;
        let reported = journal::messages(Level::Info).len();
        let loaded = object.load().unwrap();
        let events = loaded.map("events").unwrap();
        assert_eq!(events.max_entries(), given, "requested {asked}");
        let expected = format!(
            "the map `events` (PERF_EVENT_ARRAY) asks for {asked} and gets {given} slots: one for each possible CPU"
        );
        let expected: &[String] = if asked == given { &[] } else { &[expected] };
        assert_eq!(&journal::messages(Level::Info)[reported..], expected);
    }
    // Also without the key and value size, which libbpf allows.
    let loaded = with_map(MapDef::new(Kind::PERF_EVENT_ARRAY)).load().unwrap();
    assert_eq!(loaded.map("events").unwrap().max_entries(), possible);
}

fn rings_get_a_power_of_two_of_pages() {
    // SAFETY of the arithmetic below: pages are a power of two themselves.
    let page = cutaway_page_size();
    for (asked, given) in [
        (0, page),
        (1, page),
        (page, page),
        (page + 1, 2 * page),
        (3 * page, 4 * page),
        (4 * page - 1, 4 * page),
        (64 * page, 64 * page),
    ] {
        let mut object = with_map(MapDef::new(Kind::RINGBUF).max_entries(page));
        object.map_mut("events").unwrap().max_entries = asked;
        let reported = journal::messages(Level::Info).len();
        let loaded = object.load().unwrap();
        let events = loaded.map("events").unwrap();
        assert_eq!((events.max_entries(), events.map_type()), (given, MapType::RINGBUF), "requested {asked}");
        assert_eq!(events.ring().unwrap().capacity(), u64::from(given));
        let expected = format!(
            "the map `events` (RINGBUF) asks for {asked} and gets {given} bytes: a ring is a power of two of pages"
        );
        let expected: &[String] = if asked == given { &[] } else { &[expected] };
        assert_eq!(&journal::messages(Level::Info)[reported..], expected);
    }
    let mut object = with_map(MapDef::new(Kind::RINGBUF).max_entries(page));
    object.map_mut("events").unwrap().max_entries = (1 << 31) + 1;
    let error = object.load().unwrap_err().to_string();
    assert_eq!(error, "cannot create the ring `events` of 2147483649 bytes: the largest ring is 2147483648 bytes");
}

fn cutaway_page_size() -> u32 {
    rustix::param::page_size() as u32
}

fn keys(map: &Map) -> Vec<u32> {
    let mut keys: Vec<_> = map.keys().map(|key| u32::from_ne_bytes(key.unwrap().try_into().unwrap())).collect();
    keys.sort();
    keys
}

fn elements_are_updated_and_deleted() {
    let loaded = sample::object("uprobe").load().unwrap();
    let hash = loaded.map("hash").unwrap();
    assert_eq!((hash.key_size(), hash.value_size(), keys(hash)), (4, 12, vec![]));
    let key = |number: u32| number.to_ne_bytes();
    assert_eq!(hash.lookup(&key(7)).unwrap(), None);
    assert!(!hash.delete(&key(7)).unwrap());
    hash.update(&key(7), b"twelve bytes").unwrap();
    hash.update(&key(8), &[8; 12]).unwrap();
    hash.update(&key(8), &[9; 12]).unwrap();
    assert_eq!(hash.lookup(&key(7)).unwrap().unwrap(), b"twelve bytes");
    assert_eq!(hash.lookup(&key(8)).unwrap().unwrap(), [9; 12]);
    assert_eq!(keys(hash), [7, 8]);
    assert!(hash.delete(&key(7)).unwrap());
    assert!(!hash.delete(&key(7)).unwrap());
    assert_eq!((hash.lookup(&key(7)).unwrap(), keys(hash)), (None, vec![8]));

    let array = loaded.map(names::RUNS).unwrap();
    assert_eq!(keys(array), [0, 1, 2, 3]);
    assert_eq!(array.lookup(&key(3)).unwrap().unwrap(), [0; 8]);
    assert_eq!(array.lookup(&key(4)).unwrap(), None, "after the end");
    let error = array.delete(&key(0)).unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EINVAL"));
    assert_eq!(error.to_string(), "cannot remove a key from the map `runs` (ARRAY): EINVAL (Invalid argument)");
    assert!(array.update(&key(4), &[0; 8]).unwrap_err().to_string().contains("E2BIG"));
}

fn full_hash_map_is_an_error() {
    let loaded = sample::object("uprobe").load().unwrap();
    let hash = loaded.map("hash").unwrap();
    let mut kept = 0;
    let error = loop {
        match hash.update(&u32::to_ne_bytes(kept), &[0; 12]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((kept, hash.max_entries()), (8, 8));
    assert_eq!(error.errno().unwrap().name(), Some("E2BIG"), "{error}");
    assert_eq!(keys(hash), (0..8).collect::<Vec<_>>());
    hash.update(&0_u32.to_ne_bytes(), &[1; 12]).unwrap();
}

fn per_cpu_values_are_separate() {
    let loaded = sample::object("uprobe").load().unwrap();
    let map = loaded.map("per_cpu").unwrap();
    let cpus = possible_cpus();
    assert_eq!(map.value_size(), cpus * 16, "twelve bytes are rounded up to sixteen");
    let key = 5_u32.to_ne_bytes();
    assert_eq!(map.lookup_per_cpu(&key).unwrap(), None);
    let mut all = vec![0; cpus * 16];
    for (cpu, value) in all.chunks_exact_mut(16).enumerate() {
        value[..12].fill(cpu as u8 + 1);
    }
    map.update(&key, &all).unwrap();
    assert_eq!(map.lookup(&key).unwrap().unwrap(), all);
    let expected: Vec<_> = (0..cpus).map(|cpu| vec![cpu as u8 + 1; 12]).collect();
    let (numbers, values): (Vec<u32>, Vec<_>) = map.lookup_per_cpu(&key).unwrap().unwrap().into_iter().unzip();
    assert_eq!(values, expected);
    assert!(numbers.is_sorted() && numbers.len() == cpus, "{numbers:?}");

    let hash = loaded.map("hash").unwrap();
    let error = hash.lookup_per_cpu(&key).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
    assert!(error.to_string().contains("it is a HASH, which has one value for all CPUs"), "{error}");
}

fn wrong_lengths_are_refused_before_the_kernel_sees_them() {
    let loaded = sample::object("uprobe").load().unwrap();
    let made = journal::system_calls().len();
    for (name, value_size) in [("hash", 12), ("per_cpu", 12), ("per_cpu", 16), (names::RUNS, 8)] {
        let map = loaded.map(name).unwrap();
        let right = map.value_size();
        for key_size in [0, 1, 3, 5, 8] {
            for error in [
                map.lookup(&vec![0; key_size]).map(drop).unwrap_err(),
                map.delete(&vec![0; key_size]).map(drop).unwrap_err(),
                map.update(&vec![0; key_size], &vec![0; right]).unwrap_err(),
            ] {
                assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
                let sizes = format!("keys of 4 bytes and values of {right}; {key_size} and");
                assert!(error.to_string().contains(&sizes), "{error}");
            }
        }
        for wrong in [0, 1, value_size - 1, right + 1, right + 8].into_iter().filter(|&wrong| wrong != right) {
            let error = map.update(&[0; 4], &vec![0; wrong]).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        }
    }
    assert_eq!(journal::system_calls().len(), made, "no call reached the kernel");
}

fn constants_are_frozen_and_variables_are_not() {
    let mut object = sample::object("uprobe");
    object.set_variable(names::STEP, &100_u64.to_ne_bytes()).unwrap();
    object.set_variable(names::OFFSET, &7_u64.to_ne_bytes()).unwrap();
    for (name, value) in [(names::STEP, &[0; 4][..]), (names::OFFSET, &[0; 9]), (names::STEP, &[])] {
        let error = object.set_variable(name, value).unwrap_err().to_string();
        assert!(error.contains(&format!("it has 8 bytes, and {} are given", value.len())), "{error}");
    }
    let error = object.set_variable("nothing", &0_u8).unwrap_err().to_string();
    assert!(error.contains("no variable `nothing`") && error.contains("`step`"), "{error}");

    let loaded = object.load().unwrap();
    let key = 0_u32.to_ne_bytes();
    let (constants, zeroes) = (loaded.map(".rodata").unwrap(), loaded.map(".bss").unwrap());
    assert_eq!(constants.lookup(&key).unwrap().unwrap()[..8], 100_u64.to_ne_bytes());
    assert_eq!(zeroes.lookup(&key).unwrap().unwrap()[..8], 7_u64.to_ne_bytes());
    let error = constants.update(&key, &vec![0; constants.value_size()]).unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EPERM"), "frozen: {error}");
    zeroes.update(&key, &vec![0; zeroes.value_size()]).unwrap();
}

fn map_info_matches_the_kernel() {
    let loaded = sample::object("uprobe").load().unwrap();
    let names: Vec<_> = loaded.maps().map(Map::name).collect();
    assert_eq!(names, [".bss", ".rodata", "hash", "per_cpu", "runs"]);
    let kinds: Vec<_> = loaded.maps().map(Map::map_type).collect();
    assert_eq!(kinds, [MapType::ARRAY, MapType::ARRAY, MapType::HASH, MapType::PERCPU_HASH, MapType::ARRAY]);
    // The kernel's own data about one of them.
    use std::os::fd::{AsFd, AsRawFd};
    let fd = loaded.map("hash").unwrap().as_fd().as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    for line in ["map_type:\t1", "key_size:\t4", "value_size:\t12", "max_entries:\t8"] {
        assert!(text.lines().any(|known| known == line), "{text}");
    }
}

fn map_type_of_no_kernel_is_refused() {
    let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(1));
    object.map_mut("events").unwrap().map_type = MapType(4711);
    let error = object.load().unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EINVAL"));
    assert!(error.to_string().contains("cannot create the map `events` (map type 4711, 1 entry)"), "{error}");

    let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(1));
    object.map_mut("events").unwrap().max_entries = 0;
    assert!(object.load().unwrap_err().to_string().contains("EINVAL"));
}

fn unknown_name_lists_the_known_ones() {
    let mut object = sample::object("uprobe");
    let known = "`.bss`, `.rodata`";
    let error = object.map_mut("nothing").unwrap_err().to_string();
    assert!(error.contains("no map `nothing`") && error.contains("`hash`"), "{error}");
    let loaded = object.load().unwrap();
    let error = loaded.map("nothing").unwrap_err().to_string();
    assert!(error.contains("no map `nothing`") && error.contains(known), "{error}");
    let error = loaded.program("nothing").unwrap_err().to_string();
    assert_eq!(error, "the object has no program `nothing`; it has `count`");
}

/// A directory of pins that is removed on drop, with its contents.
pub(crate) struct Pins(pub(crate) std::path::PathBuf);

impl Pins {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::path::Path::new("/sys/fs/bpf").join(format!("cutaway-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every part of the definition is compared, and named if it differs.
fn pinned_map_is_reused_if_it_matches() {
    type Change = dyn Fn(&mut cutaway::MapSpec);
    let pins = Pins::new("same");
    let load = |change: &Change| {
        let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(8));
        object.set_pin_root(&pins.0);
        let spec = object.map_mut("events").unwrap();
        (spec.map_type, spec.key_size, spec.map_extra) = (MapType::BLOOM_FILTER, 0, 3);
        spec.pinning = cutaway::Pinning::ByName;
        change(spec);
        object.load()
    };
    let first = load(&|_| {}).unwrap();
    assert_eq!(load(&|_| {}).unwrap().map("events").unwrap().id(), first.map("events").unwrap().id());
    let differences: [(&str, &Change); 6] = [
        ("the map type there is 30, and the object says 22", &|spec| spec.map_type = MapType::QUEUE),
        ("the key size there is 0, and the object says 4", &|spec| spec.key_size = 4),
        ("the value size there is 4, and the object says 8", &|spec| spec.value_size = 8),
        ("max_entries there is 8, and the object says 9", &|spec| spec.max_entries = 9),
        ("map_flags there is 0, and the object says 64", &|spec| spec.map_flags |= cutaway::MapFlags::ZERO_SEED),
        ("map_extra there is 3, and the object says 5", &|spec| spec.map_extra = 5),
    ];
    for (why, change) in differences {
        let error = load(change).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("use the pinned map /sys/fs/bpf/cutaway-same-"), "{error}");
    }
}

fn pin_stays_in_its_directory() {
    let pins = Pins::new("inside");
    let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(8));
    object.set_pin_root(&pins.0);
    let spec = object.map_mut("events").unwrap();
    (spec.name, spec.pinning) = (format!("../cutaway-outside-{}", std::process::id()), cutaway::Pinning::ByName);
    let outside = pins.0.join(&spec.name);
    let answer = object.load();
    let is_there = fs::remove_file(&outside).is_ok();
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("a file name cannot contain a slash"), "{error}");
    assert!(!is_there, "it was created nevertheless");
}

fn pin_root_of_the_options_comes_first() {
    let (of_the_object, of_the_options) = (Pins::new("object"), Pins::new("options"));
    let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(8));
    object.set_pin_root(&of_the_object.0);
    object.map_mut("events").unwrap().pinning = cutaway::Pinning::ByName;
    let ids = |loaded: cutaway::Loaded| loaded.map("events").unwrap().id();
    let first = ids(object.clone().load_with(LoadOptions::new().pin_root(&of_the_options.0)).unwrap());
    assert!(!of_the_object.0.join("events").exists());
    assert_eq!(Map::from_pin(of_the_options.0.join("events")).unwrap().id(), first);
    assert_ne!(ids(object.load().unwrap()), first);
    assert!(of_the_object.0.join("events").exists());
}

/// A pin that existed before stays.
fn failed_load_removes_the_pins_that_it_made() {
    let pins = Pins::new("failed");
    let load = |is_valid: bool, entries: [u32; 2]| {
        let mut object = ObjectBuilder::new("GPL");
        for (name, entries) in ["one", "two"].into_iter().zip(entries) {
            object.map(name, MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(entries));
        }
        let mut asm = Assembler::new();
        if is_valid {
            asm.mov(R0, 0);
        }
        asm.exit();
        object.program("raw_tracepoint", "bad", asm);
        let mut object = Object::parse(&object.write().unwrap()).unwrap();
        object.set_pin_root(&pins.0);
        for name in ["one", "two"] {
            object.map_mut(name).unwrap().pinning = cutaway::Pinning::ByName;
        }
        object.load()
    };
    let there = || {
        let mut names: Vec<_> = fs::read_dir(&pins.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(matches!(load(false, [8, 8]).unwrap_err(), Error::Verifier { .. }));
    assert_eq!(there(), [""; 0]);
    drop(load(true, [8, 8]).unwrap());
    assert_eq!(there(), ["one", "two"]);
    assert!(matches!(load(false, [8, 8]).unwrap_err(), Error::Verifier { .. }));
    assert_eq!(there(), ["one", "two"]);
    // The first map is new, and the second differs from its pin.
    fs::remove_file(pins.0.join("one")).unwrap();
    assert!(load(true, [8, 9]).unwrap_err().to_string().contains("max_entries there is 8"));
    assert_eq!(there(), ["two"]);
}

/// The kernel does not find the link's target, and does not pin at the link's path.
fn dangling_symbolic_link_is_no_pin() {
    let pins = Pins::new("dangling");
    std::os::unix::fs::symlink(pins.0.join("nothing"), pins.0.join("events")).unwrap();
    let mut object = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(8));
    object.set_pin_root(&pins.0);
    object.map_mut("events").unwrap().pinning = cutaway::Pinning::ByName;
    let error = object.load().unwrap_err().to_string();
    assert!(error.contains("EEXIST") && error.contains("the file exists"), "{error}");
}

fn keys_end_once() {
    let loaded = with_map(MapDef::new(Kind::HASH).key_size(4).value_size(4).max_entries(8)).load().unwrap();
    let map = loaded.map("events").unwrap();
    map.update(&[1; 4], &[0; 4]).unwrap();
    let mut keys = map.keys();
    assert_eq!(keys.next().unwrap().unwrap(), [1; 4]);
    assert!(keys.next().is_none());
    for key in 2..9_u8 {
        map.update(&[key; 4], &[0; 4]).unwrap();
    }
    assert!(keys.next().is_none(), "an element added later is for the next iteration");
}

fn map_spec_refused_by_every_kernel_is_explained() {
    let hash = || MapDef::new(Kind::HASH).key::<u32>().value::<u64>();
    let array = || MapDef::new(Kind::ARRAY).key::<u32>().value::<u64>().max_entries(1);
    for (definition, part) in [
        (hash(), "its max_entries is 0, so the loading program must set it: `object.map_mut(\"m\")?.max_entries`"),
        (
            MapDef::new(Kind::ARRAY).key::<u64>().value::<u64>().max_entries(1),
            "its key has 8 bytes, and that of a map of the type ARRAY has 4",
        ),
        (MapDef::new(Kind::HASH).value::<u64>().max_entries(1), "its key has no size"),
        (MapDef::new(Kind::HASH).key::<u64>().max_entries(1), "its value has no size"),
        (MapDef::new(Kind::LPM_TRIE).key::<u64>().value::<u64>().max_entries(1), "BPF_F_NO_PREALLOC"),
        (MapDef::new(Kind::PROG_ARRAY).key::<u32>().value::<u64>().max_entries(1), "its value has 8 bytes"),
        (
            MapDef::new(Kind::SK_STORAGE)
                .key::<u32>()
                .value::<u64>()
                .max_entries(1)
                .flags(cutaway::MapFlags::NO_PREALLOC),
            "has no max_entries: set it to 0",
        ),
        (
            MapDef::new(Kind::QUEUE).key::<u32>().value::<u64>().max_entries(1),
            "its key has 4 bytes, and a map of the type QUEUE has none",
        ),
        (
            MapDef::new(Kind::HASH_OF_MAPS).key::<u32>().holding(array()).max_entries(1),
            "a map of maps needs a template of the maps",
        ),
        (
            MapDef::new(Kind::ARRAY_OF_MAPS).key::<u32>().holding(array()).max_entries(1),
            "a map of maps needs a template of the maps",
        ),
    ] {
        let mut object = ObjectBuilder::new("GPL");
        object.map("m", definition);
        let mut object = Object::parse(&object.write().unwrap()).unwrap();
        object.map_mut("m").unwrap().inner = None;
        let line = object.load().unwrap_err().to_string();
        assert!(line.starts_with("cannot create the map `m` (") && line.contains(part), "{line}");
    }
    let mut object = ObjectBuilder::new("GPL");
    object.map("m", hash());
    let mut object = Object::parse(&object.write().unwrap()).unwrap();
    object.map_mut("m").unwrap().max_entries = 3;
    assert_eq!(object.load().unwrap().map("m").unwrap().max_entries(), 3);
}
