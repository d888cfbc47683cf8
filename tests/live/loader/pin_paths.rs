//! Maps that are pinned at paths of their own.

use cutaway::{Error, Loaded, Map, MapType, Object, Pinning};
use cutaway_programs::{Assembler, MapDef, ObjectBuilder};

use crate::{
    created::hash,
    harness::{Test, test},
    maps::Pins,
    requirements::root,
    sample::{self, names},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(pin_path_overrides_the_directory).needs(root),
        test!(only_the_maps_own_pin_is_removed).needs(root),
        test!(failed_load_removes_the_pin_path).needs(root),
    ]
}

fn pin_path_overrides_the_directory() {
    let (root, other) = (Pins::new("root"), Pins::new("path"));
    let load = || {
        let mut object = sample::object("raw_tracepoint");
        object.set_pin_root(&root.0);
        object.map_mut(names::RUNS).unwrap().pinning = Pinning::ByName;
        let hash = object.map_mut("hash").unwrap();
        (hash.pinning, hash.pin_path) = (Pinning::ByName, Some(other.0.join("somewhere")));
        object.load().unwrap()
    };
    let first = load();
    assert!(root.0.join(names::RUNS).exists() && !root.0.join("hash").exists() && other.0.join("somewhere").exists());
    let second = load();
    let id = |loaded: &Loaded| loaded.map("hash").unwrap().id();
    assert_eq!(id(&first), id(&second), "the pinned map is used");
    assert_eq!(second.map("hash").unwrap().pin_path(), Some(other.0.join("somewhere").as_path()));
    assert_eq!(second.map("per_cpu").unwrap().pin_path(), None);
    assert_eq!(Map::from_pin(other.0.join("somewhere")).unwrap().id(), id(&first));

    assert_eq!(second.unpin_maps().unwrap(), 2);
    assert!(!root.0.join(names::RUNS).exists() && !other.0.join("somewhere").exists());
    assert_eq!(first.unpin_maps().unwrap(), 0);
    assert_ne!(id(&load()), id(&first));
}

fn only_the_maps_own_pin_is_removed() {
    let pins = Pins::new("unpin");
    let (one, two) = (pins.0.join("one"), pins.0.join("two"));
    let map = hash(1).create_pinned(&one).unwrap();
    assert_eq!(map.pin_path(), Some(one.as_path()));
    let other = hash(1).create().unwrap();
    other.pin(&two).unwrap();
    let error = map.unpin(&two).unwrap_err().to_string();
    assert!(error.contains("another map is pinned there: its id is"), "{error}");
    assert!(two.exists() && map.unpin(&one).unwrap() && !one.exists());
    assert!(!map.unpin(&one).unwrap(), "nothing is there");
    assert!(map.unpin("/tmp").is_err());
    map.update(&[1; 4], &[0; 8]).unwrap();
    assert!(hash(1).create_pinned(&two).unwrap_err().to_string().contains("EEXIST"));
    let program = sample::object("raw_tracepoint").load().unwrap();
    program.program(names::PROGRAM).unwrap().pin(&one).unwrap();
    let error = map.unpin(&one).unwrap_err().to_string();
    assert!(error.ends_with("it is a program, not a map") && one.exists(), "{error}");
}

fn failed_load_removes_the_pin_path() {
    let pins = Pins::new("bad");
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", MapDef::new(MapType::HASH).key_size(4).value_size(4).max_entries(1));
    let mut asm = Assembler::new();
    asm.exit();
    object.program("raw_tracepoint", "bad", asm);
    let mut object = Object::parse(&object.write().unwrap()).unwrap();
    object.map_mut("map").unwrap().pin_path = Some(pins.0.join("map"));
    assert!(matches!(object.load().unwrap_err(), Error::Verifier { .. }));
    assert!(!pins.0.join("map").exists());
}
