//! The known faults of aya-obj 0.3.0, one by one. Each object is refused, corrected, or reported as different. None is
//! silently misread.

use cutaway::{DryRun, Instruction, Object, ObjectReader, Pinning, ReaderComparison, compare_readers};
use cutaway_programs::prelude::*;
use object::{SymbolKind, elf};

use crate::crafted::{Crafted, call, exit, load, mov};

pub(crate) const PROGRAM: &str = "tracepoint/syscalls/sys_enter_getpgid";

pub(crate) fn by_aya(bytes: &[u8]) -> Result<Object, cutaway::Error> {
    Object::parse_with(ObjectReader::AyaObj, bytes)
}

/// Returns the linked programs of a dry run, by name.
fn linked(run: &DryRun) -> Vec<(String, Result<Vec<Instruction>, String>)> {
    let mut programs: Vec<_> = run
        .programs
        .iter()
        .map(|program| {
            let instructions = program.instructions.as_ref().map(Clone::clone).map_err(ToString::to_string);
            (program.name.clone(), instructions)
        })
        .collect();
    programs.sort_by(|(one, _), (other, _)| one.cmp(other));
    programs
}

/// Checks that both readers link an object to the same instructions after mending.
pub(crate) fn is_mended(bytes: &[u8]) -> Object {
    let aya = by_aya(bytes).unwrap();
    let own = Object::parse(bytes).unwrap();
    assert_eq!(linked(&aya.dry_run(&[]).unwrap()), linked(&own.dry_run(&[]).unwrap()));
    assert!(aya.dry_run(&[]).unwrap().programs.iter().all(|program| program.instructions.is_ok()));
    assert_eq!(aya.reader(), ObjectReader::AyaObj);
    aya
}

fn different(bytes: &[u8], part: &str) {
    match compare_readers(bytes, &[]).unwrap() {
        ReaderComparison::Different { what } => assert!(what.contains(part), "{what}"),
        other => panic!("{other:?} instead of a difference in {part}"),
    }
}

/// Checks that the object is not given to aya-obj, or that aya-obj refuses it; parsing and comparing have the same
/// reason.
pub(crate) fn refused(bytes: &[u8], part: &str) {
    let error = by_aya(bytes).unwrap_err().to_string();
    assert!(error.contains(part) && !error.contains('\n'), "{error}");
    match compare_readers(bytes, &[]).unwrap() {
        ReaderComparison::Refused { why } | ReaderComparison::Withheld { why } => assert!(why.contains(part), "{why}"),
        other => panic!("{other:?} instead of a refusal for {part}"),
    }
}

#[test]
fn functions_at_one_address_of_two_sections_are_distinct() {
    let mut file = Crafted::new(b"GPL\0");
    let [one, two] = [(".text.a", 1), (".text.b", 2)].map(|(name, value)| {
        let section = file.code(name, &[mov(0, value), exit()]);
        file.function(&format!("returns_{value}"), section, (0, 2))
    });
    let program = file.code(PROGRAM, &[call(-1), call(-1), mov(0, 0), exit()]);
    file.function("program", program, (0, 4));
    file.calls(program, 0, one);
    file.calls(program, 1, two);
    let bytes = file.write();
    different(&bytes, "`program`");
    let run = is_mended(&bytes).dry_run(&[]).unwrap();
    let instructions = run.programs[0].instructions.as_ref().unwrap();
    assert_eq!((instructions.len(), instructions[4].imm, instructions[6].imm), (8, 1, 2));
}

#[test]
fn arrays_of_arrays_have_their_whole_size() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("table", MapDef::new(MapType::HASH).key::<[[u16; 3]; 2]>().value::<[[u64; 8]; 4]>().max_entries(1));
    let bytes = object.write().unwrap();
    different(&bytes, "key size");
    let object = is_mended(&bytes);
    assert_eq!((object.maps()[0].key_size, object.maps()[0].value_size), (12, 256));
    let held = Object::from_aya(cutaway::aya_obj::Object::parse(&bytes).unwrap()).unwrap();
    assert_eq!((held.maps()[0].key_size, held.maps()[0].value_size), (12, 256));
}

/// Returns an object with one map in the old form, whose description has `size` bytes.
fn legacy(pinning: u32, size: usize) -> Vec<u8> {
    let mut file = Crafted::new(b"GPL\0");
    let words = [2, 4, 8, 16, 0, 0, pinning, 0];
    let words: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    let section = file.data("maps", &words);
    file.symbol("map", SymbolKind::Data, section, (0, size as u64), true);
    file.write()
}

#[test]
fn pinning_of_an_old_map_is_0_or_1() {
    for size in [25, 26, 27, 28, 32] {
        refused(&legacy(2, size), "`map`");
        is_mended(&legacy(0, size));
    }
    refused(&legacy(0x0100_0000, 28), "`map`");
    for size in [20, 24] {
        assert_eq!(is_mended(&legacy(7, size)).maps()[0].pinning, Pinning::None, "the bytes are not described");
    }
    assert_eq!(is_mended(&legacy(1, 28)).maps()[0].pinning, Pinning::ByName);
}

#[test]
fn sections_that_only_aya_takes_for_maps_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    let section = file.data("mapsandmore", &[9; 28]);
    file.symbol("map", SymbolKind::Data, section, (0, 28), true);
    refused(&file.write(), "`map`");
    let mut file = Crafted::new(b"GPL\0");
    let words: Vec<u8> = [2, 4, 8, 1, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
    let section = file.data("maps.old", &words);
    file.symbol("map", SymbolKind::Data, section, (0, 20), true);
    different(&file.write(), "`map`");
    assert!(by_aya(&file.write()).unwrap_err().to_string().contains("`map`"));
}

#[test]
fn license_that_is_missing_is_not_gpl() {
    let mut file = Crafted::without_license();
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("program", program, (0, 2));
    let bytes = file.write();
    different(&bytes, "license");
    assert_eq!(is_mended(&bytes).license(), c"");
}

#[test]
fn static_functions_are_not_programs() {
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[call(1), exit(), mov(0, 0), exit()]);
    file.symbol("helps", SymbolKind::Text, program, (16, 16), false);
    file.function("program", program, (0, 2));
    let bytes = file.write();
    different(&bytes, "`helps`");
    let object = is_mended(&bytes);
    assert_eq!(object.programs().iter().map(|program| program.name.as_str()).collect::<Vec<_>>(), ["program"]);
    assert_eq!(object.dry_run(&[]).unwrap().programs[0].instructions.as_ref().unwrap().len(), 4);
}

#[test]
fn second_name_of_a_program_is_not_a_second_program() {
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("one", program, (0, 2));
    file.function("two", program, (0, 2));
    different(&file.write(), "for a program");
    assert_eq!(is_mended(&file.write()).programs().len(), 1);
}

#[test]
fn program_that_calls_a_program_contains_it() {
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[call(2), call(3), exit(), call(1), exit(), mov(0, 0), exit()]);
    for (name, range) in [("a", (0, 3)), ("b", (3, 2)), ("c", (5, 2))] {
        file.function(name, program, range);
    }
    let bytes = file.write();
    assert_eq!(compare_readers(&bytes, &[]).unwrap(), ReaderComparison::Same);
    let run = is_mended(&bytes).dry_run(&[]).unwrap();
    let lengths: Vec<_> = run.programs.iter().map(|program| program.instructions.as_ref().unwrap().len()).collect();
    assert_eq!(lengths, [7, 4, 2]);
}

#[test]
fn program_that_calls_itself_is_not_linked_twice() {
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[call(-1), exit()]);
    file.function("again", program, (0, 2));
    let bytes = file.write();
    different(&bytes, "`again`");
    let run = by_aya(&bytes).unwrap().dry_run(&[]).unwrap();
    let error = run.programs[0].instructions.as_ref().unwrap_err().to_string();
    assert!(error.contains("`again`") && error.contains("own reader"), "{error}");
}

#[test]
fn distance_from_a_function_is_not_ignored() {
    let mut file = Crafted::new(b"GPL\0");
    let text = file.code(".text", &[mov(0, 1), exit(), mov(0, 2), exit()]);
    let one = file.function("one", text, (0, 2));
    file.function("two", text, (2, 2));
    let program = file.code(PROGRAM, &[call(1), exit()]);
    file.function("program", program, (0, 2));
    file.calls(program, 0, one);
    let bytes = file.write();
    different(&bytes, "`program`");
    let run = by_aya(&bytes).unwrap().dry_run(&[]).unwrap();
    assert!(run.programs[0].instructions.as_ref().unwrap_err().to_string().contains("own reader"));
}

#[test]
fn functions_are_found_through_their_section() {
    let mut file = Crafted::new(b"GPL\0");
    let text = file.code(".text", &[mov(0, 1), exit(), mov(0, 2), exit()]);
    file.symbol("one", SymbolKind::Text, text, (0, 16), false);
    file.symbol("two", SymbolKind::Text, text, (16, 16), false);
    let [first, second] = load(1, 16);
    let program = file.code(PROGRAM, &[call(1), first, second, exit()]);
    file.function("program", program, (0, 4));
    let section = file.section_symbol(text);
    file.calls(program, 0, section);
    file.loads(program, 1, section);
    let bytes = file.write();
    assert_eq!(compare_readers(&bytes, &[]).unwrap(), ReaderComparison::Same);
    assert_eq!(is_mended(&bytes).dry_run(&[]).unwrap().programs[0].subprogs.len(), 2);
    // A load with a relocation in the form of a call's: aya-obj computes another address.
    let mut file = Crafted::new(b"GPL\0");
    let text = file.code(".text", &[mov(0, 1), mov(0, 1), exit(), mov(0, 2), exit()]);
    file.symbol("one", SymbolKind::Text, text, (0, 24), false);
    file.symbol("two", SymbolKind::Text, text, (24, 16), false);
    let [first, second] = load(1, 2);
    let program = file.code(PROGRAM, &[first, second, exit()]);
    file.function("program", program, (0, 3));
    let section = file.section_symbol(text);
    file.relocate(program, 0, section, elf::R_BPF_64_32);
    let run = by_aya(&file.write()).unwrap().dry_run(&[]).unwrap();
    run.programs[0].instructions.as_ref().unwrap_err();
}

#[test]
fn reference_to_an_undescribed_map_is_refused() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("one", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));
    let other = object.map("other", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));
    let mut asm = Assembler::new();
    asm.load_map(R1, other);
    asm.mov(R0, 0);
    asm.exit();
    object.program(PROGRAM, "program", asm);
    let mut bytes = object.write().unwrap();
    is_mended(&bytes);
    // The symbol `other` gets another name, `othes`, which is not the name of a map in the BTF.
    let at = bytes.windows(6).rposition(|part| part == b"other\0").unwrap();
    let first = bytes.windows(6).position(|part| part == b"other\0").unwrap();
    for at in [first, at] {
        bytes[at + 4] = b's';
        // This crate's reader finds no type for the one name, and no map for the other.
        let error = by_aya(&bytes).unwrap_err().to_string();
        assert!(error.contains("oth"), "{error}");
        bytes[at + 4] = b'r';
    }
}

#[test]
fn references_to_labels_do_not_panic() {
    let mut file = Crafted::new(b"GPL\0");
    let text = file.code(".text", &[mov(0, 1), exit()]);
    file.symbol("one", SymbolKind::Text, text, (0, 16), false);
    let label = file.symbol("label", SymbolKind::Unknown, text, (0, 0), true);
    let program = file.code(PROGRAM, &[call(-1), exit()]);
    file.function("program", program, (0, 2));
    file.calls(program, 0, label);
    let run = by_aya(&file.write()).unwrap().dry_run(&[]).unwrap();
    let error = run.programs[0].instructions.as_ref().unwrap_err().to_string();
    assert!(error.contains("aya-obj cannot link the program `program`: it panics ("), "{error}");
}

/// Returns an object whose program refers to a variable of eight bytes in a section.
fn with_variable(name: &str, add: impl FnOnce(&mut Crafted) -> object::write::SectionId) -> Vec<u8> {
    let mut file = Crafted::new(b"GPL\0");
    let section = add(&mut file);
    let variable = file.symbol("variable", SymbolKind::Data, section, (8, 8), true);
    let [first, second] = load(1, 0);
    let program = file.code(PROGRAM, &[first, second, mov(0, 0), exit()]);
    file.function("program", program, (0, 4));
    file.loads(program, 0, variable);
    let bytes = file.write();
    assert!(Object::parse(&bytes).unwrap().maps()[0].name == name);
    bytes
}

#[test]
fn data_without_contents_is_data() {
    for name in [".data", ".rodata", ".data.more"] {
        let bytes = with_variable(name, |file| file.zeroes(name, 16));
        different(&bytes, "`program`");
        is_mended(&bytes);
    }
    assert_eq!(
        compare_readers(&with_variable(".bss", |file| file.zeroes(".bss", 16)), &[]).unwrap(),
        ReaderComparison::Same
    );
}

#[test]
fn contents_of_a_section_named_bss_are_kept() {
    let bytes = with_variable(".bss", |file| file.data(".bss", &[7; 16]));
    different(&bytes, "contents");
    is_mended(&bytes);
}

#[test]
fn maps_of_one_name_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    for name in [".data", ".data"] {
        let section = file.data(name, &[1; 16]);
        file.symbol("variable", SymbolKind::Data, section, (0, 8), false);
    }
    refused(&file.write(), "`.data`");
}

#[test]
fn code_that_cannot_run_hides_no_program() {
    // Executable and not allocated: this crate finds a program there, aya-obj does not.
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("program", program, (0, 2));
    let mut bytes = file.write();
    let at = section_header(&bytes, PROGRAM.as_bytes());
    bytes[at + 8] &= !(elf::SHF_ALLOC as u8);
    different(&bytes, "`program`");
    assert!(by_aya(&bytes).unwrap_err().to_string().contains("`program`"));
}

/// Returns the offset of a section's header in the file.
pub(crate) fn section_header(bytes: &[u8], name: &[u8]) -> usize {
    let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_ne_bytes(*bytes[at..].first_chunk().unwrap()));
    let (table, count, names) = (word(0x28), half(0x3c), half(0x3e));
    let names = word(table + names * 64 + 0x18);
    let at = |index: usize| names + u32::from_ne_bytes(*bytes[table + index * 64..].first_chunk().unwrap()) as usize;
    let index = (0..count).find(|&index| bytes[at(index)..].starts_with(&[name, b"\0"].concat())).unwrap();
    table + index * 64
}

/// Returns the section `.BTF` of an object, to be changed.
pub(crate) fn types(bytes: &mut [u8]) -> &mut [u8] {
    let header = section_header(bytes, b".BTF");
    let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let (start, size) = (word(header + 0x18), word(header + 0x20));
    &mut bytes[start..start + size]
}

/// aya-obj keeps one of the symbols at an address, in no fixed order.
#[test]
fn function_with_two_sizes_is_never_another_one() {
    for sizes in [[2, 4], [4, 2]] {
        let mut file = Crafted::new(b"GPL\0");
        let program = file.code(PROGRAM, &[mov(0, 0), exit(), mov(0, 1), exit()]);
        for (name, size) in [("one", sizes[0]), ("other", sizes[1])] {
            file.function(name, program, (0, size));
        }
        let bytes = file.write();
        let own = Object::parse(&bytes).unwrap().dry_run(&[]).unwrap();
        match by_aya(&bytes) {
            Ok(object) => assert_eq!(linked(&object.dry_run(&[]).unwrap()), linked(&own)),
            Err(error) => assert!(error.to_string().contains("aya-obj "), "{error}"),
        }
    }
}

/// aya-obj ignores code that is not allocated, as in `code_that_cannot_run_hides_no_program`.
#[test]
fn function_that_aya_does_not_find_is_named() {
    let mut file = Crafted::new(b"GPL\0");
    let text = file.code("more", &[mov(0, 1), exit()]);
    let one = file.symbol("one", SymbolKind::Text, text, (0, 16), true);
    let program = file.code(PROGRAM, &[call(-1), exit()]);
    file.function("program", program, (0, 2));
    file.calls(program, 0, one);
    let mut bytes = file.write();
    let at = section_header(&bytes, b"more");
    bytes[at + 8] &= !(elf::SHF_ALLOC as u8);
    let error = by_aya(&bytes).unwrap_err().to_string();
    assert!(error.contains("does not find its function `one`") && error.contains("own reader"), "{error}");
}

/// aya-obj takes the version that means any kernel for no version.
#[test]
fn kernel_version_is_the_files() {
    let mut file = Crafted::new(b"GPL\0");
    file.data("version", &0xffff_fffe_u32.to_ne_bytes());
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("program", program, (0, 2));
    let bytes = file.write();
    different(&bytes, "kernel version");
    assert!(format!("{:?}", is_mended(&bytes)).contains("kernel_version: 4294967294,"));
}
