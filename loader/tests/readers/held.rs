//! Objects that the caller has parsed by aya-obj and changed before this crate converts them.

use std::collections::{HashMap, HashSet};

use cutaway::{Error, Object, ObjectReader, Target, aya_obj};
use cutaway_programs::prelude::*;
use object::SymbolKind;

use crate::{
    corpus::objects,
    crafted::{Crafted, call, exit, load, mov},
};

/// Returns an object with two programs, a map, and variables.
fn bytes() -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    object.map("table", MapDef::new(MapType::HASH).key::<u32>().value::<u64>().max_entries(8));
    object.variable(".rodata", "limit", Variable::new(5_u32));
    let counter = object.variable(".data", "counter", Variable::new(1_u64));
    object.variable(".bss", "zero", Variable::zeroed::<i32>());
    for (section, name) in [("tracepoint/syscalls/sys_enter_getpgid", "first"), ("raw_tracepoint/sys_enter", "second")]
    {
        let mut asm = Assembler::new();
        asm.load_address(R1, counter, 0);
        asm.load(DW, R0, R1, 0);
        asm.exit();
        object.program(section, name, asm);
    }
    object.write().unwrap()
}

fn parsed() -> aya_obj::Object {
    aya_obj::Object::parse(&bytes()).unwrap()
}

/// Returns the initial contents of a data section, as loading would write them.
fn initial(object: &Object, section: &str) -> String {
    let map = object.maps().iter().find(|map| map.name == section).unwrap();
    format!("{map:?}")
}

#[test]
fn object_is_taken_as_it_is() {
    let held = Object::from_aya(parsed()).unwrap();
    let own = Object::parse(&bytes()).unwrap();
    assert_eq!(held.reader(), ObjectReader::AyaObj);
    assert_eq!(own.reader(), ObjectReader::Cutaway);
    assert_eq!(held.license(), c"GPL");
    let names = |object: &Object| -> Vec<String> { object.maps().iter().map(|map| map.name.clone()).collect() };
    let (mut one, mut other) = (names(&held), names(&own));
    one.sort();
    other.sort();
    assert_eq!(one, other);
    let variables = |object: &Object| {
        let mut lines: Vec<_> =
            object.variables().iter().map(|known| format!("{known} {} {}", known.offset, known.size)).collect();
        lines.sort();
        lines
    };
    assert_eq!(variables(&held), variables(&own));
    assert_eq!(held.variables().len(), 3);
    for program in held.dry_run(&[]).unwrap().programs {
        let own = own.dry_run(&[]).unwrap();
        let same = own.programs.iter().find(|known| known.name == program.name).unwrap();
        // The opcodes are compared, because the dry run's fds of maps differ.
        let codes = |instructions: &[cutaway::Instruction]| -> Vec<_> {
            instructions.iter().map(|insn| (insn.code, insn.dst(), insn.src(), insn.offset)).collect()
        };
        assert_eq!(codes(program.instructions.as_ref().unwrap()), codes(same.instructions.as_ref().unwrap()));
    }
    assert!(matches!(Object::try_from(parsed()), Ok(object) if object.programs().len() == 2));
}

#[test]
fn changes_of_the_caller_are_kept() {
    let mut parsed = parsed();
    parsed.maps.get_mut("table").unwrap().set_max_entries(1000);
    parsed
        .patch_map_data(HashMap::from([("counter", (&7_u64.to_ne_bytes()[..], true)), ("zero", (&[1, 2, 3, 4], true))]))
        .unwrap();
    parsed.programs.remove("second").unwrap();
    parsed.license = c"Proprietary".to_owned();
    let held = Object::from_aya(parsed).unwrap();
    let find = |name: &str| held.maps().iter().find(|map| map.name == name).unwrap();
    assert_eq!(find("table").max_entries, 1000);
    assert_eq!(held.programs().iter().map(|program| program.name.as_str()).collect::<Vec<_>>(), ["first"]);
    assert_eq!(held.license(), c"Proprietary");
    assert!(initial(&held, ".data").contains("bytes: [7, 0, 0, 0, 0, 0, 0, 0]"), "{}", initial(&held, ".data"));
    assert!(initial(&held, ".bss").contains("bytes: [1, 2, 3, 4]"), "{}", initial(&held, ".bss"));
    let run = held.dry_run(&[]).unwrap();
    assert_eq!(run.programs.len(), 1);
}

#[test]
fn variables_are_set_by_their_types() {
    let mut held = Object::from_aya(parsed()).unwrap();
    held.set_variable("limit", &9_u32).unwrap();
    held.set_variable("counter", &10_u64).unwrap();
    held.set_variable("zero", &-1_i32).unwrap();
    let error = held.set_variable("zero", &1_u32).unwrap_err().to_string();
    assert!(error.contains("signed"), "{error}");
    assert!(matches!(held.set_variable("missing", &1_u32), Err(Error::NoSuchName { .. })));
    assert!(initial(&held, ".data").contains("(0, [10, 0, 0, 0, 0, 0, 0, 0])"), "{}", initial(&held, ".data"));
}

/// Without BTF the location of a variable is unknown, so `aya_obj::Object::patch_map_data` sets it before.
#[test]
fn variables_without_types_are_unknown() {
    let mut file = Crafted::new(b"GPL\0");
    let section = file.data(".data", &[0; 16]);
    let variable = file.symbol("variable", SymbolKind::Data, section, (8, 8), true);
    let [first, second] = load(1, 0);
    let program = file.code("raw_tracepoint/sys_enter", &[first, second, mov(0, 0), exit()]);
    file.function("program", program, (0, 4));
    file.loads(program, 0, variable);
    let bytes = file.write();
    let mut parsed = aya_obj::Object::parse(&bytes).unwrap();
    parsed.patch_map_data(HashMap::from([("variable", (&7_u64.to_ne_bytes()[..], true))])).unwrap();
    let mut held = Object::from_aya(parsed).unwrap();
    assert!(held.variables().is_empty());
    assert!(matches!(held.set_variable("variable", &1_u64), Err(Error::NoSuchName { .. })));
    assert!(initial(&held, ".data").contains("0, 7, 0"), "{}", initial(&held, ".data"));
    let run = held.dry_run(&[]).unwrap();
    let instructions = run.programs[0].instructions.as_ref().unwrap();
    // The value of the map at offset 8.
    assert_eq!((instructions[0].src(), instructions[1].imm), (2, 8));
    // With the file, the symbol has the variable's location and size.
    let mut own = Object::parse_with(ObjectReader::AyaObj, &bytes).unwrap();
    own.set_variable("variable", &1_u64).unwrap();
    own.set_variable("variable", &1_u32).unwrap_err();
}

#[test]
fn attach_target_is_set_by_hand() {
    let mut held = Object::from_aya(parsed()).unwrap();
    assert!(held.programs().iter().all(|program| program.section.target.is_none()));
    held.program_mut("first").unwrap().set_attach_target("syscalls/sys_enter_getpgid").unwrap();
    let own = Object::parse(&bytes()).unwrap();
    let target =
        |object: &Object| object.programs().iter().find(|known| known.name == "first").unwrap().section.target.clone();
    assert_eq!(target(&held), target(&own));
    assert!(matches!(target(&held), Some(Target::Tracepoint { .. })), "{:?}", target(&held));
    held.program_mut("first").unwrap().set_attach_target("nonsense").unwrap_err();
}

/// The caller can set any public field of aya-obj's value.
#[test]
fn values_that_no_file_gives_are_refused_or_harmless() {
    let mut changed = parsed();
    for function in changed.functions.values_mut() {
        for line in &mut function.line_info.line_info {
            line.insn_off = u32::MAX;
        }
        function.section_offset = 8;
        function.address = u64::MAX;
    }
    // Lines outside of a function are dropped; the address has no other use.
    let run = Object::from_aya(changed).unwrap().dry_run(&[]).unwrap();
    assert!(run.programs.iter().all(|program| program.instructions.as_ref().is_ok_and(|code| code.len() == 4)));
    let mut changed = parsed();
    let function = changed.functions.values().next().unwrap().clone();
    changed.functions.insert((usize::MAX, 0), function.clone());
    let error = Object::from_aya(changed).unwrap_err().to_string();
    assert!(error.contains("section"), "{error}");
    let mut changed = parsed();
    changed.functions.clear();
    let run = Object::from_aya(changed).unwrap().dry_run(&[]).unwrap();
    assert_eq!(run.programs.len(), 2);
    for program in &run.programs {
        let error = program.instructions.as_ref().unwrap_err().to_string();
        assert!(error.contains("it has read no such function"), "{error}");
    }
    let mut changed = parsed();
    for program in changed.programs.values_mut() {
        program.section_index = 60_000;
    }
    Object::from_aya(changed).unwrap_err();
    let mut changed = parsed();
    let map = aya_obj::Map::new_from_params(2, 4, 8, 1, 0);
    changed.maps.insert(String::new(), map.clone());
    changed.maps.insert(".data\n".to_owned(), map);
    let error = Object::from_aya(changed).unwrap_err().to_string();
    assert!(error.contains("the name of a map contains a control character"), "{error}");
}

/// Returns an object of two maps and a program for each.
fn two_maps() -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    for name in ["one", "other"] {
        let map = object.map(name, MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));
        let mut asm = Assembler::new();
        asm.load_map(R1, map);
        asm.mov(R0, 0);
        asm.exit();
        object.program("xdp", &format!("of_{name}"), asm);
    }
    object.write().unwrap()
}

#[test]
fn map_that_is_not_created_fails_its_own_programs_alone() {
    let bytes = two_maps();
    let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
    for mut object in [held, Object::parse_with(ObjectReader::AyaObj, &bytes).unwrap()] {
        for (missing, there) in [("one", "other"), ("other", "one")] {
            object.map_mut(missing).unwrap().autocreate = false;
            let run = object.dry_run(&[]).unwrap();
            let of = |name: &str| {
                let program = run.programs.iter().find(|program| program.name == format!("of_{name}")).unwrap();
                program.instructions.as_ref().map(|code| (code[0].src(), code[0].imm)).map_err(ToString::to_string)
            };
            assert_eq!(of(there), Ok((1, 1)), "the only map");
            let error = of(missing).unwrap_err();
            assert!(error.contains(&format!("the map `{missing}`, which is not created")), "{error}");
            object.map_mut(missing).unwrap().autocreate = true;
        }
    }
}

#[test]
fn map_without_a_name_is_not_taken_for_another() {
    let parsed = aya_obj::Object::parse(&objects()["faults/static_map.o"]).unwrap();
    let held = Object::from_aya(parsed).unwrap();
    let run = held.dry_run(&[]).unwrap();
    let error = run.programs[0].instructions.as_ref().unwrap_err().to_string();
    assert!(error.contains("to a map by its section"), "{error}");
}

#[test]
fn sizes_that_the_caller_sets_are_kept() {
    let mut object = ObjectBuilder::new("GPL");
    for name in ["one", "other"] {
        object.map(name, MapDef::new(MapType::HASH).key::<u32>().value::<[[u64; 8]; 4]>().max_entries(1));
    }
    object.map("plain", MapDef::new(MapType::HASH).key::<u32>().value::<u64>().max_entries(1));
    let mut parsed = aya_obj::Object::parse(&object.write().unwrap()).unwrap();
    parsed.maps.get_mut("one").unwrap().set_value_size(1024);
    parsed.maps.get_mut("plain").unwrap().set_value_size(16);
    let held = Object::from_aya(parsed).unwrap();
    let size = |name: &str| held.maps().iter().find(|map| map.name == name).unwrap().value_size;
    assert_eq!([size("one"), size("other"), size("plain")], [1024, 256, 16]);
}

#[test]
fn object_that_is_already_relocated_is_refused() {
    let refused = |parsed: aya_obj::Object, call: &str| {
        let error = Object::from_aya(parsed).unwrap_err().to_string();
        assert!(error.contains("already relocated") && error.contains(call), "{error}");
    };
    for bytes in [bytes(), two_maps()] {
        let mut parsed = aya_obj::Object::parse(&bytes).unwrap();
        let maps = parsed.maps.clone();
        parsed.relocate_maps(maps.iter().map(|(name, map)| (name.as_str(), 55, map)), &HashSet::new()).unwrap();
        refused(parsed, "`relocate_maps`");
    }
    // A load of a function's address, and a call of a function.
    for (slots, is_load) in [(load(1, 0), true), ([call(-1), mov(0, 0)], false)] {
        let mut file = Crafted::new(b"GPL\0");
        let text = file.code(".text", &[mov(0, 1), exit()]);
        let one = file.function("one", text, (0, 2));
        let program = file.code("xdp", &[slots[0], slots[1], exit()]);
        file.function("program", program, (0, 3));
        if is_load {
            file.loads(program, 0, one)
        } else {
            file.calls(program, 0, one)
        }
        let mut parsed = aya_obj::Object::parse(&file.write()).unwrap();
        Object::from_aya(parsed.clone()).unwrap();
        let sections = parsed.functions.keys().map(|(section, _)| *section).collect();
        parsed.relocate_calls(&sections).unwrap();
        // Without types a call does not tell.
        if is_load {
            refused(parsed, "`relocate_calls`");
        }
    }
    let mut count = 0;
    for bytes in objects().values() {
        let Ok(mut parsed) = aya_obj::Object::parse(bytes) else { continue };
        let has_types = parsed.btf_ext.is_some();
        if !has_types || Object::from_aya(parsed.clone()).is_err() {
            continue;
        }
        let lengths = |parsed: &aya_obj::Object| -> Vec<usize> {
            parsed.functions.values().map(|function| function.instructions.len()).collect()
        };
        let before = lengths(&parsed);
        let sections = parsed.functions.keys().map(|(section, _)| *section).collect();
        if parsed.relocate_calls(&sections).is_ok() && lengths(&parsed) != before {
            refused(parsed, "`relocate_calls`");
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}

#[test]
fn names_are_printable() {
    let refused = |parsed: aya_obj::Object, whose: &str| {
        let error = Object::from_aya(parsed).unwrap_err().to_string();
        assert!(error.contains(&format!("the name of a {whose} contains a control character")), "{error:?}");
        assert!(!error.contains(char::is_control), "{error:?}");
    };
    for name in ["two\nlines", "\u{1b}[2J", "nothing\0"] {
        let mut changed = parsed();
        let map = changed.maps["table"].clone();
        changed.maps.insert(name.to_owned(), map);
        refused(changed, "map");
        let mut changed = parsed();
        let program = changed.programs["first"].clone();
        changed.programs.insert(name.to_owned(), program);
        refused(changed, "program");
        let mut changed = parsed();
        changed.functions.values_mut().for_each(|function| function.name = name.to_owned());
        refused(changed, "function");
    }
}
