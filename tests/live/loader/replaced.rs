//! Maps that are used in place of an object's.

use std::{fs, os::fd::AsFd};

use cutaway::{Error, LoadOptions, Loaded, Map, MapBuilder, MapFlags, MapSpec, MapType, Object, Pinning, system};
use cutaway_programs::{MapDef, ObjectBuilder};

use crate::{
    harness::{Test, test},
    maps::Pins,
    requirements::{ring, root},
    sample::{self, names},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(map_of_an_object_is_replaced).needs(root),
        test!(data_section_is_replaced).since(5, 5, "mapped arrays").needs(root),
        test!(ring_of_an_object_is_replaced).needs(ring),
        test!(unfit_replacement_is_refused).needs(root),
    ]
}

pub(crate) fn load_with(object: Object, name: &str, map: &impl AsFd) -> Result<Loaded, Error> {
    let mut options = LoadOptions::new();
    options.map(name, map);
    object.load_with(&options)
}

/// The program runs with the caller's map.
fn map_of_an_object_is_replaced() {
    let runs = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1000).create().unwrap();
    let loaded = load_with(sample::object("raw_tracepoint"), names::RUNS, &runs).unwrap();
    let map = loaded.map(names::RUNS).unwrap();
    assert_eq!((map.id(), map.max_entries(), map.name()), (runs.id(), 1000, names::RUNS));
    let program = loaded.program(names::PROGRAM).unwrap();
    let maps = system::programs().map(Result::unwrap).filter(|entry| entry.maps.contains(&runs.id())).count();
    assert_eq!((maps, program.name()), (1, names::PROGRAM), "the program refers to it");
    let pins = Pins::new("replaced");
    let mut object = sample::object("raw_tracepoint");
    object.set_pin_root(&pins.0);
    object.map_mut(names::RUNS).unwrap().pinning = Pinning::ByName;
    drop(load_with(object, names::RUNS, &runs).unwrap());
    assert_eq!(fs::read_dir(&pins.0).unwrap().count(), 0, "it is not pinned");
    drop(loaded);
    runs.update(&999_u32.to_ne_bytes(), &[0; 8]).unwrap();
}

fn data_section_is_replaced() {
    let first = sample::object("raw_tracepoint").load().unwrap();
    first.variable(names::OFFSET).unwrap().write(&9_u64).unwrap();
    let second = load_with(sample::object("raw_tracepoint"), ".bss", first.map(".bss").unwrap()).unwrap();
    assert_eq!(second.variable(names::OFFSET).unwrap().read::<u64>().unwrap(), 9, "it keeps its contents");
    second.variable(names::OFFSET).unwrap().write(&10_u64).unwrap();
    assert_eq!(first.variable(names::OFFSET).unwrap().read::<u64>().unwrap(), 10, "one section");
    let third = load_with(sample::object("raw_tracepoint"), ".rodata", first.map(".rodata").unwrap()).unwrap();
    assert_eq!(third.variable(names::STEP).unwrap().read::<u64>().unwrap(), 1);
}

fn ring_of_an_object_is_replaced() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
    let object = Object::parse(&object.write().unwrap()).unwrap();
    let larger = MapBuilder::new(MapType::RINGBUF).max_entries(1 << 16).create().unwrap();
    let loaded = load_with(object, "events", &larger).unwrap();
    assert_eq!(loaded.map("events").unwrap().ring().unwrap().capacity(), 1 << 16);
}

fn unfit_replacement_is_refused() {
    let refused = |map: &dyn AsAnyFd, why: &str| {
        let error = load_with(sample::object("raw_tracepoint"), "hash", &map.fd()).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("cannot use another map as `hash`: ") && text.contains(why), "{text}");
    };
    let like = || MapBuilder::from_object(&sample::object("raw_tracepoint"), "hash").unwrap();
    refused(&like().value_size(16).create().unwrap(), "the value size is 16, and the object says 12");
    refused(&like().key_size(8).create().unwrap(), "the key size is 8, and the object says 4");
    let mut spec = MapSpec::new("lru", MapType::LRU_HASH);
    (spec.key_size, spec.value_size, spec.max_entries) = (4, 12, 8);
    refused(&Map::create(&spec).unwrap(), "the map type is 9, and the object says 1");
    let read_only = like().flags(MapFlags::RDONLY_PROG).create().unwrap();
    refused(&read_only, "of map_flags, the part that programs see is 128, and the object says 0");
    let loaded = sample::object("raw_tracepoint").load().unwrap();
    refused(loaded.program(names::PROGRAM).unwrap(), "it is a program, not a map");
    // Flags that concern only user space or the allocation may differ.
    let fits = like().flags(MapFlags::NO_PREALLOC | MapFlags::RDONLY).max_entries(99).create().unwrap();
    load_with(sample::object("raw_tracepoint"), "hash", &fits).unwrap();
    let error = load_with(sample::object("raw_tracepoint"), "nothing", &fits).unwrap_err().to_string();
    assert!(error.contains("the object has no map `nothing`; it has") && error.contains("`hash`"), "{error}");
}

trait AsAnyFd {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsAnyFd for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}
