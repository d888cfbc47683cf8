//! Hostile BTF: what no compiler writes makes no panic, no wrong layout and no long run.

use std::time::{Duration, Instant};

use super::{
    Options,
    collect::Collector,
    generate,
    model::{Def, Field, Role, Shape, Ty},
    naming::Scope,
};
use crate::btf::Btf;

/// Kinds as in the word `info`.
const INT: u32 = 1 << 24;
const ARRAY: u32 = 3 << 24;
const STRUCT: u32 = 4 << 24;
const UNION: u32 = 5 << 24;
const FLAG: u32 = 1 << 31;

/// Returns BTF of these types: words, with names as offsets into `\0m\0n\0u32\0S\0`.
fn btf(words: &[u32]) -> Vec<u8> {
    let strings = b"\0m\0n\0u32\0S\0";
    let types = words.len() as u32 * 4;
    let header = [0x0001_eb9f, 24, 0, types, types, strings.len() as u32];
    // The first word holds three fields of 16, 8 and 8 bits.
    let first = if cfg!(target_endian = "big") { 0xeb9f_0100 } else { header[0] };
    let words = std::iter::once(first).chain(header.into_iter().skip(1)).chain(words.iter().copied());
    words.flat_map(u32::to_ne_bytes).chain(strings.iter().copied()).collect()
}

const M: u32 = 1;
const N: u32 = 3;
const U32: u32 = 5;
const S: u32 = 9;
/// Type 1: `u32`.
const INTEGER: [u32; 4] = [U32, INT, 4, 32];

/// Returns the definition of type `id`.
fn def(words: &[u32], id: u32) -> Result<Def, String> {
    let bytes = btf(words);
    let btf = Btf::parse(&bytes).unwrap();
    let mut collector = Collector::new(&btf, Scope::of_types());
    match collector.ty(id, "hint").map_err(|error| error.to_string())? {
        Some(Ty::Def(index)) => Ok(collector.defs.0[index].clone()),
        other => Err(format!("{other:?}")),
    }
}

fn fields(def: &Def) -> &[Field] {
    match &def.shape {
        Shape::Struct(fields) => &fields.fields,
        _ => &[],
    }
}

/// Returns the number of accessors and of notes.
fn others(def: &Def) -> (usize, usize) {
    match &def.shape {
        Shape::Struct(fields) => (fields.accessors.len(), fields.notes.len()),
        Shape::Bytes { accessors, notes, .. } => (accessors.len(), notes.len()),
        Shape::Enum(_) => (0, 0),
    }
}

fn with_struct(rest: &[u32]) -> Vec<u32> {
    [&INTEGER[..], rest].concat()
}

#[test]
fn structure_that_contains_itself_becomes_bytes() {
    let def = def(&[S, STRUCT | 1, 8, M, 1, 0], 1).unwrap();
    assert!(matches!(fields(&def), [Field { ty: Ty::Bytes(8), .. }]), "{def:?}");
}

#[test]
fn members_that_overlap_become_storage() {
    let def = def(&with_struct(&[S, STRUCT | 2, 6, M, 1, 0, N, 1, 16]), 2).unwrap();
    assert!(matches!(fields(&def), [Field { ty: Ty::Bytes(6), role: Role::Storage, .. }]), "{def:?}");
    assert_eq!((def.size, others(&def)), (6, (2, 0)));
}

#[test]
fn member_beyond_the_end_is_named_and_omitted() {
    let def = def(&with_struct(&[S, STRUCT | 2, 4, M, 1, 0, N, 1, 8]), 2).unwrap();
    assert_eq!((fields(&def).len(), others(&def)), (1, (0, 1)), "{def:?}");
}

#[test]
fn members_at_odd_bits_and_too_wide_bit_fields_are_omitted() {
    let odd = def(&with_struct(&[S, STRUCT | 1, 8, M, 1, 3]), 2).unwrap();
    assert_eq!(others(&odd), (0, 1), "{odd:?}");
    // 40 bits of a type of 32.
    let wide = def(&with_struct(&[S, STRUCT | FLAG | 1, 8, M, 1, 40 << 24]), 2).unwrap();
    assert_eq!(others(&wide), (0, 1), "{wide:?}");
}

#[test]
fn size_that_members_do_not_explain_is_padded() {
    let def = def(&with_struct(&[S, STRUCT | 1, 0x1_0003, M, 1, 0]), 2).unwrap();
    let roles: Vec<_> = fields(&def).iter().map(|field| (field.offset, &field.role)).collect();
    assert!(matches!(roles[..], [(0, Role::Member { .. }), (4, Role::Padding)]), "{roles:?}");
}

#[test]
fn huge_types_have_no_definition() {
    for words in [
        with_struct(&[S, STRUCT | 1, u32::MAX, M, 1, 0]),
        with_struct(&[0, ARRAY, 0, 1, 1, u32::MAX]),
        with_struct(&[0, ARRAY, 0, 1, 1, 1 << 20]),
        // An array of itself.
        with_struct(&[0, ARRAY, 0, 2, 1, 1]),
    ] {
        assert_eq!(def(&words, 2).unwrap_err(), "None");
    }
}

/// Structures of two structures of two …: 2 to the power of 40 members, if all were visited.
#[test]
fn work_is_bounded() {
    for (kind, named) in [(STRUCT, 0), (UNION, 0), (STRUCT, M), (UNION, M)] {
        let mut words = INTEGER.to_vec();
        for level in 0..40 {
            words.extend([0, kind | 2, 4, named, level + 1, 0, named, level + 1, 0]);
        }
        let begun = Instant::now();
        let found = def(&words, 41);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(found.is_ok_and(|def| def.size == 4), "{kind:#x} {named}");
    }
}

/// Damages the types of real objects, and generates their modules.
#[test]
fn damaged_objects_do_not_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut accepted = 0;
    for name in ["bindgen/layouts.o", "bindgen/typed.o", "core/target.o", "events/wide.o"] {
        let path = format!("{}/../tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let object = std::fs::read(path).unwrap();
        let magic: &[u8] = &0xeb9f_u16.to_ne_bytes();
        let start = object.windows(4).position(|word| word.starts_with(magic) && word[2] == 1).unwrap();
        for _ in 0..if cfg!(miri) { 1 } else { 400 } {
            let mut damaged = object.clone();
            for _ in 0..=random(8) {
                let at = start + 24 + random(object.len().min(start + 12_000) - start - 24);
                damaged[at] = match random(3) {
                    0 => 0,
                    1 => damaged[at] ^ 1 << random(8),
                    _ => random(256) as u8,
                };
            }
            accepted += usize::from(generate(&damaged, &Options::new("damaged")).is_ok());
        }
    }
    assert!(cfg!(miri) || accepted > 100, "{accepted}");
}

/// A path that the module contains in changed form would name another file.
#[test]
#[cfg(unix)]
fn path_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let path = format!("{}/../tests/corpus/bindgen/layouts.o", env!("CARGO_MANIFEST_DIR"));
    let odd = std::ffi::OsStr::from_bytes(b"/tmp/\xff.o");
    let error = generate(&std::fs::read(path).unwrap(), &Options::new("x").include(odd)).unwrap_err().to_string();
    assert!(error.contains("its path is not UTF-8"), "{error}");
}

#[test]
fn unknown_and_sizeless_types_are_refused_by_name() {
    let path = format!("{}/../tests/corpus/bindgen/layouts.o", env!("CARGO_MANIFEST_DIR"));
    let object = std::fs::read(path).unwrap();
    let generated = |name: &str| generate(&object, &Options::new("layouts").types_only(true).type_name(name));
    let text = generated("untagged_t").unwrap();
    assert!(text.contains("pub struct UntaggedT") && !text.contains("OBJECT"), "{text}");
    assert!(generated("enum byte").is_ok() && generated("struct forward").is_err());
    let error = generated("struct nothing").unwrap_err().to_string();
    assert!(error.contains("no type `struct nothing`"), "{error}");
    for unnamed in ["", "struct ", "union  ", "enum "] {
        assert!(generated(unnamed).unwrap_err().to_string().contains("no type"), "{unnamed:?} is no name");
    }
    assert!(generate(b"not an object", &Options::new("x")).is_err());
}
