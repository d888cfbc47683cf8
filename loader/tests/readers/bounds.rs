//! Objects on which aya-obj 0.3.0 has undefined behavior, overflows the stack, or takes an unbounded amount of time or
//! memory. They are refused soon.

use std::time::{Duration, Instant};

use cutaway::{Object, compare_readers};
use cutaway_programs::getaddrinfo::Transport;
use object::{SectionKind, SymbolKind};

use crate::{
    corpus::objects,
    crafted::{Crafted, call, exit, load, mov},
    faults::{PROGRAM, by_aya, is_mended, refused, section_header, types},
};

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
fn unknown_linkage_of_a_variable_is_refused() {
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
    // The first type begins four words later, at the start of another type or not: one reader misreads the types.
    let btf = types(&mut bytes);
    let word = |at: usize, btf: &[u8]| u32::from_ne_bytes(*btf[at..].first_chunk().unwrap());
    let (types_size, names) = (word(12, btf), word(16, btf));
    assert_eq!((word(4, btf), word(8, btf), types_size), (24, 0, names));
    btf[16..20].copy_from_slice(&(names + 1).to_ne_bytes());
    let names_size = word(20, btf) - 1;
    btf[20..24].copy_from_slice(&names_size.to_ne_bytes());
    by_aya(&bytes).unwrap_err();
}

/// Checks that the object is refused soon.
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
    let mut bytes = objects()["core/fields.o"].clone();
    // The names get longer: all relocations share one long access string.
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

/// The names of symbols and of types share the same bytes.
#[test]
fn long_names_are_refused() {
    let mut file = Crafted::new(b"GPL\0");
    let section = file.data(".data", &[0; 16]);
    let name = "n".repeat(4000);
    for _ in 0..20_000 {
        file.symbol(&name, SymbolKind::Data, section, (0, 8), true);
    }
    refused_soon(&file.write(), "names");
    let mut file = Crafted::new(b"GPL\0");
    let function = [1_u32, 12 << 24, 1];
    let words = [0, 13 << 24, 0].into_iter().chain(function.into_iter().cycle().take(3 * 30_000));
    let names = [&b"\0"[..], &vec![b'n'; 1 << 20], b"\0"].concat();
    let size = 4 * 3 * 30_001;
    let magic = if cfg!(target_endian = "little") { 0x0001_eb9f } else { 0xeb9f_0100 };
    let header = [magic, 24, 0, size, size, names.len() as u32];
    let types = header.into_iter().chain(words).flat_map(u32::to_ne_bytes);
    let types: Vec<u8> = types.chain(names).collect();
    file.data(".BTF", &types);
    refused_soon(&file.write(), "names");
}
