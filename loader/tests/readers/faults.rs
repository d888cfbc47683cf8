//! The known faults of aya-obj 0.3.0, one by one: each object is refused, corrected, or told to be different. None is
//! silently misread.

use std::time::{Duration, Instant};

use cutaway::{DryRun, Instruction, Object, ObjectReader, Pinning, ReaderComparison, compare_readers};
use cutaway_programs::{getaddrinfo::Transport, prelude::*};
use object::{SectionKind, SymbolKind, elf};

use crate::crafted::{Crafted, call, exit, load, mov};

const PROGRAM: &str = "tracepoint/syscalls/sys_enter_getpgid";

fn by_aya(bytes: &[u8]) -> Result<Object, cutaway::Error> {
    Object::parse_with(ObjectReader::AyaObj, bytes)
}

/// The linked programs of both readers, by name.
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

/// Both readers must link an object to the same, after mending.
fn is_mended(bytes: &[u8]) -> Object {
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

/// The object is not given to aya-obj, or aya-obj refuses it, and both ways of asking say so.
fn refused(bytes: &[u8], part: &str) {
    let error = by_aya(bytes).unwrap_err().to_string();
    assert!(error.contains(part) && !error.contains('\n'), "{error}");
    match compare_readers(bytes, &[]).unwrap() {
        ReaderComparison::Refused { why } => assert!(why.contains(part), "{why}"),
        other => panic!("{other:?} instead of a refusal for {part}"),
    }
}

#[test]
fn functions_at_one_address_of_two_sections_are_told_apart() {
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

/// An object with one map in the old form, `size` bytes of which are described.
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
fn zeroes_are_bounded() {
    for (names, size) in [(&[".bss"][..], 1 << 40), (&[".bss.a", ".bss.b"], 200 << 20), (&[".bssx"], u64::MAX >> 1)] {
        let mut file = Crafted::new(b"GPL\0");
        for name in names {
            file.zeroes(name, size);
        }
        let bytes = file.write();
        if Object::parse(&bytes).is_ok() {
            refused(&bytes, ".bss");
        } else {
            by_aya(&bytes).unwrap_err();
        }
    }
    let mut file = Crafted::new(b"GPL\0");
    let section = file.zeroes(".bss", 64 << 20);
    file.symbol("zeroes", SymbolKind::Data, section, (0, 64 << 20), true);
    assert_eq!(is_mended(&file.write()).maps()[0].value_size, 64 << 20);
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
fn static_functions_are_no_programs() {
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
fn second_name_of_a_program_is_no_second_program() {
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
    // A load whose relocation is of the form of a call: aya-obj computes another address.
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
fn references_to_what_is_no_map_are_not_taken_for_another_map() {
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
    // The symbol `other` gets another name, `othes`, and so is no map of the types.
    let at = bytes.windows(6).rposition(|part| part == b"other\0").unwrap();
    let first = bytes.windows(6).position(|part| part == b"other\0").unwrap();
    for at in [first, at] {
        bytes[at + 4] = b's';
        if let Ok(object) = by_aya(&bytes) {
            let run = object.dry_run(&[]).unwrap();
            run.programs[0].instructions.as_ref().unwrap_err();
        }
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
    let Ok(object) = by_aya(&file.write()) else { return };
    if let Ok(run) = object.dry_run(&[]) {
        run.programs[0].instructions.as_ref().unwrap_err();
    }
}

/// An object whose program refers to a variable of eight bytes in a section.
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
    // Executable and not allocated: this crate finds a program there, aya-obj none.
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("program", program, (0, 2));
    let mut bytes = file.write();
    let at = section_header(&bytes, PROGRAM.as_bytes());
    bytes[at + 8] &= !(elf::SHF_ALLOC as u8);
    different(&bytes, "`program`");
    assert!(by_aya(&bytes).unwrap_err().to_string().contains("`program`"));
}

/// Where the header of a section is in the file.
fn section_header(bytes: &[u8], name: &[u8]) -> usize {
    let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_ne_bytes(*bytes[at..].first_chunk().unwrap()));
    let (table, count, names) = (word(0x28), half(0x3c), half(0x3e));
    let names = word(table + names * 64 + 0x18);
    let at = |index: usize| names + u32::from_ne_bytes(*bytes[table + index * 64..].first_chunk().unwrap()) as usize;
    let index = (0..count).find(|&index| bytes[at(index)..].starts_with(&[name, b"\0"].concat())).unwrap();
    table + index * 64
}

/// The section `.BTF` of an object, to be changed.
fn types(bytes: &mut [u8]) -> &mut [u8] {
    let header = section_header(bytes, b".BTF");
    let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let (start, size) = (word(header + 0x18), word(header + 0x20));
    &mut bytes[start..start + size]
}

#[test]
fn linkage_of_a_variable_is_one_that_there_is() {
    let object = Transport::Ring.object().unwrap();
    let mut found = 0;
    for linkage in [3, 4, 9, u32::MAX] {
        let mut bytes = object.clone();
        let btf = types(&mut bytes);
        let (words, _) = btf.as_chunks_mut::<4>();
        // A variable: its kind, its type, its linkage.
        let at = words.windows(3).position(|words| u32::from_ne_bytes(words[0]) == 14 << 24).unwrap();
        words[at + 2] = linkage.to_ne_bytes();
        found += 1;
        assert!(by_aya(&bytes).unwrap_err().to_string().contains("linkage"));
        compare_readers(&bytes, &[]).unwrap_err();
    }
    assert_eq!(found, 4);
}

#[test]
fn types_elsewhere_in_their_section_are_refused() {
    let object = Transport::Ring.object().unwrap();
    let mut bytes = object.clone();
    // The first type begins four words later, where another one begins or not: the types are misread by one reader.
    let btf = types(&mut bytes);
    let word = |at: usize, btf: &[u8]| u32::from_ne_bytes(*btf[at..].first_chunk().unwrap());
    let (types_size, names) = (word(12, btf), word(16, btf));
    assert_eq!((word(4, btf), word(8, btf), types_size), (24, 0, names));
    btf[16..20].copy_from_slice(&(names + 1).to_ne_bytes());
    let names_size = word(20, btf) - 1;
    btf[20..24].copy_from_slice(&names_size.to_ne_bytes());
    by_aya(&bytes).unwrap_err();
}

/// Refused, and soon.
fn refused_soon(bytes: &[u8], part: &str) {
    let start = Instant::now();
    let error = by_aya(bytes).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn many_names_of_one_function_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    let code = vec![mov(0, 0); 32_768];
    let program = file.code(PROGRAM, &code);
    for number in 0..10_000 {
        file.function(&format!("f{number}"), program, (0, code.len() as u64));
    }
    refused_soon(&file.write(), "instructions");
}

#[test]
fn many_sections_with_many_symbols_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    let mut last = None;
    for _ in 0..12_000 {
        last = Some(file.section(".text", SectionKind::Text, &[]));
    }
    for number in 0..25_000 {
        file.symbol(&format!("s{number}"), SymbolKind::Unknown, last.unwrap(), (0, 0), true);
    }
    refused_soon(&file.write(), ".text");
}

#[test]
fn many_references_from_many_functions_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    let section = file.data(".data", &[0; 16]);
    let variable = file.symbol("variable", SymbolKind::Data, section, (0, 8), true);
    let mut code = Vec::new();
    for _ in 0..17_000 {
        code.extend(load(1, 0));
    }
    let program = file.code(PROGRAM, &code);
    for number in 0..17_000 {
        file.function(&format!("f{number}"), program, (number * 2, 2));
        file.loads(program, number * 2, variable);
    }
    refused_soon(&file.write(), "references");
}

#[test]
fn chain_of_calls_does_not_overflow_the_stack() {
    const COUNT: u64 = 30_000;
    let mut file = Crafted::new(b"GPL\0");
    let code: Vec<_> = (0..COUNT).flat_map(|_| [call(1), exit()]).chain([mov(0, 0), exit()]).collect();
    let program = file.code(PROGRAM, &code);
    for number in 0..=COUNT {
        file.symbol(&format!("f{number}"), SymbolKind::Text, program, (number * 16, 16), number == 0);
    }
    let run = by_aya(&file.write()).unwrap().dry_run(&[]).unwrap();
    assert_eq!(run.programs[0].instructions.as_ref().unwrap().len() as u64, COUNT * 2 + 2);
}

#[test]
fn long_accesses_are_refused() {
    let mut bytes = crate::corpus::objects()["core/fields.o"].clone();
    // The names get longer: those of all relocations are one access without an end in sight.
    let header = section_header(&bytes, b".BTF");
    let word = |bytes: &[u8], at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let (start, size) = (word(&bytes, header + 0x18), word(&bytes, header + 0x20));
    let mut btf = bytes[start..start + size].to_vec();
    let names = u32::from_ne_bytes(*btf[20..].first_chunk().unwrap());
    btf.extend("0:0".bytes().chain(":0".repeat(4000).bytes()).chain([0]));
    let longer = btf.len() as u32 - size as u32 + names;
    btf[20..24].copy_from_slice(&longer.to_ne_bytes());
    let (place, new_size) = (bytes.len() as u64, btf.len() as u64);
    bytes.extend(btf);
    bytes[header + 0x18..header + 0x20].copy_from_slice(&place.to_ne_bytes());
    bytes[header + 0x20..header + 0x28].copy_from_slice(&new_size.to_ne_bytes());
    by_aya(&bytes).unwrap();
    // The first relocation's access.
    let header = section_header(&bytes, b".BTF.ext");
    let start = word(&bytes, header + 0x18);
    let half = |bytes: &[u8], at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let relocations = start + half(&bytes, start + 4) + half(&bytes, start + 24);
    let access = relocations + 4 + 8 + 8;
    bytes[access..access + 4].copy_from_slice(&names.to_ne_bytes());
    refused_soon(&bytes, "access");
}

#[test]
fn many_programs_that_share_their_code_are_linked_soon() {
    const COUNT: u64 = 6000;
    let mut file = Crafted::new(b"GPL\0");
    let code = [vec![mov(0, 0); 100_000], vec![exit()]].concat();
    let text = file.code(".text", &code);
    let shared = file.function("shared", text, (0, code.len() as u64));
    let callers: Vec<_> = (0..COUNT).flat_map(|_| [call(-1), exit()]).collect();
    let program = file.code(PROGRAM, &callers);
    for number in 0..COUNT {
        file.function(&format!("p{number}"), program, (number * 2, 2));
        file.calls(program, number * 2, shared);
    }
    let start = Instant::now();
    let run = by_aya(&file.write()).unwrap().dry_run(&[]).unwrap();
    assert_eq!(run.programs.len() as u64, COUNT);
    run.programs.last().unwrap().instructions.as_ref().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
