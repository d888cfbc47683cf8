//! The map of argument locations: its layouts, and who may write its entries.

use std::{fs, path::PathBuf};

use cutaway::{LoadOptions, Pinning, Program};

use super::probes::{LAYOUTS, OBJECT_1_7, attach, events, first, indexed, listening, own, suitable, suitable_of};
use crate::{
    harness::{Test, test},
    pins::file_system,
    sample::{load, runs},
    unsupported,
};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test!(usdt_arguments_are_read_in_every_layout).unless(unsupported::usdt),
        test!(usdt_specs_of_unknown_layout_are_refused).unless(unsupported::usdt),
        test!(pinned_usdt_specs_are_refused).unless(unsupported::usdt),
        test!(shared_usdt_specs_are_refused).unless(unsupported::usdt),
        test!(opened_usdt_program_is_refused).unless(unsupported::usdt),
    ]
}

fn usdt_arguments_are_read_in_every_layout() {
    let table = [0x8182_8384_8586_8788_u64, 0x9192_9394_9596_9798, 0xa1a2_a3a4_a5a6_a7a8, 0xb1b2_b3b4_b5b6_b7b8];
    let bytes: Vec<u8> = table.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let two = |at: usize| i64::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]));
    let four = |at: usize| i64::from(i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()));
    let word = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    for &(layout, reads_index, object) in LAYOUTS {
        let (object, name) = suitable_of(object);
        let loaded = (object.load().unwrap(), name);
        let link = attach(&loaded, &own("indexed").cookie(u64::MAX - 1));
        for index in 1..4 {
            indexed(&table, index);
        }
        drop(link);
        let events = events(&loaded.0);
        assert_eq!(events.len(), 3, "{layout}");
        for (event, index) in events.iter().zip(1..4) {
            let einval = -i64::from(libc::EINVAL);
            let mut errors = [0, 0, 0, 0, 0, 0, 0, einval, einval, 0, 0, 0];
            let mut arguments = [
                i64::from(bytes[index]),
                i64::from(bytes[index].cast_signed()),
                two(2 + index * 2),
                four(index * 4 - 4),
                word(index * 8),
                word(8),
                word(16),
                0,
                0,
                index as i64,
                word(0),
                -7,
            ];
            // On arm64 the arguments have no index register.
            if !reads_index && cfg!(target_arch = "x86_64") {
                for at in [0, 1, 2, 3, 4, 6] {
                    (arguments[at], errors[at]) = (0, einval);
                }
            }
            assert_eq!(event.cookie, u64::MAX - 1, "{layout}");
            assert_eq!(event.errors, errors, "{layout}, index {index}");
            assert_eq!(event.arguments, arguments, "{layout}, index {index}");
        }
    }
}

/// A directory of pins that is removed on drop, with its contents.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An unknown layout is refused when the probe is attached: the object's other programs can be used.
fn usdt_specs_of_unknown_layout_are_refused() {
    let refused = |object: &[u8], size: u32, part: &str| {
        let (mut object, name) = suitable_of(object);
        object.map_mut("__bpf_usdt_specs").unwrap().value_size = size;
        let loaded = object.load().unwrap();
        let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the values of its map `__bpf_usdt_specs`") && error.contains(part), "{error}");
        assert_eq!(loaded.map("__bpf_usdt_specs").unwrap().lookup(&[0; 4]).unwrap(), Some(vec![0; size as usize]));
    };
    refused(OBJECT_1_7, 320, "have 320 bytes, and their type `__bpf_usdt_spec` has 304");
    // Without the type, the loader knows only the sizes of the released headers.
    refused(LAYOUTS[1].2, 320, "have 320 bytes and no type, so their layout is not known");
    refused(LAYOUTS[4].2, 224, "208 bytes (libbpf 1.0 to 1.6) or 304 (libbpf 1.7)");
}

/// Two objects with one map would overwrite each other's entries.
fn shared_usdt_specs_are_refused() {
    let first = listening();
    let (object, name) = suitable();
    let mut options = LoadOptions::new();
    options.map("__bpf_usdt_specs", first.0.map("__bpf_usdt_specs").unwrap());
    let loaded = object.load_with(&options).unwrap();
    let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
    assert!(error.contains("passed to `LoadOptions::map`") && error.contains("`__bpf_usdt_specs`"), "{error}");

    let pins = Pins(file_system().join(format!("cutaway-usdt-path-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    let (mut object, name) = suitable();
    object.map_mut("__bpf_usdt_ip_to_spec_id").unwrap().pin_path = Some(pins.0.join("addresses"));
    let loaded = object.load().unwrap();
    let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`__bpf_usdt_ip_to_spec_id` is pinned at ") && error.contains("/addresses"), "{error}");
}

/// Only the process that loaded the program knows which entries of its map are in use.
fn opened_usdt_program_is_refused() {
    let loaded = listening();
    let link = attach(&loaded, &own("many"));
    let id = loaded.0.program(loaded.1).unwrap().info().unwrap().id;
    let opened = Program::from_id(id).unwrap();
    let error = own("twice").attach(&opened).unwrap_err().to_string();
    assert!(error.contains("only the process that loaded it knows"), "{error}");
    first();
    assert_eq!(events(&loaded.0), []);
    drop(link);
    // A program without the header's maps has no such entries.
    let counting = load("uprobe");
    let opened = Program::from_id(counting.program("count").unwrap().info().unwrap().id).unwrap();
    let link = own("twice").attach(&opened).unwrap();
    first();
    drop(link);
    assert_eq!(runs(&counting), 1);
}

fn pinned_usdt_specs_are_refused() {
    let pins = Pins(file_system().join(format!("cutaway-usdt-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    // Neither the process that creates the map nor one that finds it there knows the other's entries.
    for _ in 0..2 {
        let (mut object, name) = suitable();
        object.set_pin_root(&pins.0);
        object.map_mut("__bpf_usdt_specs").unwrap().pinning = Pinning::ByName;
        let loaded = object.load().unwrap();
        let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
        assert!(error.contains("pinned by name"), "{error}");
    }
}
