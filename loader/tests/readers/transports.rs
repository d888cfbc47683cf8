//! The built-in programs have the same instructions and maps by both readers, and as an object that the caller parsed.

use std::collections::BTreeMap;

use cutaway::{Instruction, MapSpec, Object, ObjectReader, ReaderComparison, aya_obj, compare_readers};
use cutaway_programs::getaddrinfo::Transport;

/// The bytes of a program's instructions, each with the name of the map that it loads in place of an fd.
type Program = Vec<([u8; 8], Option<String>)>;

fn programs(object: &Object) -> BTreeMap<String, Program> {
    let run = object.dry_run(&[]).unwrap();
    let program = |instructions: &[Instruction]| {
        let one = |insn: &Instruction| {
            let is_map = insn.code == 0x18 && matches!(insn.src(), 1 | 2);
            let name = is_map.then(|| run.maps[insn.imm as usize - 1].name.clone());
            (if is_map { insn.with_imm(0) } else { *insn }.to_bytes(), name)
        };
        instructions.iter().map(one).collect()
    };
    run.programs.iter().map(|linked| (linked.name.clone(), program(linked.instructions.as_ref().unwrap()))).collect()
}

/// Returns all attributes that a map is created with, by the map's name.
fn maps(object: &Object) -> BTreeMap<String, String> {
    let describe = |map: &MapSpec| {
        format!(
            "{} {} {} {} {:?} {} {} {:?} {:?} {:?}",
            map.map_type,
            map.key_size,
            map.value_size,
            map.max_entries,
            map.map_flags,
            map.map_extra,
            map.numa_node,
            map.pinning,
            map.key_type(),
            map.value_type()
        )
    };
    object.maps().iter().map(|map| (map.name.clone(), describe(map))).collect()
}

#[test]
fn every_transport_is_the_same_by_each_reader() {
    for transport in Transport::ALL {
        let bytes = transport.object().unwrap();
        assert_eq!(compare_readers(&bytes, &[]).unwrap(), ReaderComparison::Same, "{transport}");
        let own = Object::parse(&bytes).unwrap();
        let parsed = Object::parse_with(ObjectReader::AyaObj, &bytes).unwrap();
        let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
        assert!(programs(&own).len() >= 2);
        for object in [parsed, held] {
            assert_eq!(object.reader(), ObjectReader::AyaObj);
            assert_eq!(programs(&object), programs(&own), "{transport}");
            assert_eq!(maps(&object), maps(&own), "{transport}");
            assert_eq!(object.license(), own.license());
            let names = |object: &Object| -> Vec<String> {
                let mut names: Vec<_> = object.variables().iter().map(ToString::to_string).collect();
                names.sort();
                names
            };
            assert_eq!(names(&object), names(&own), "{transport}");
        }
    }
}
