//! Values decoded by types built word by word.

use super::{Builder, FLAG};
use crate::btf::{Btf, Kind, Value};

/// Returns the `Display` of the value of type `id`.
fn shown(built: &Builder, id: u32, bytes: &[u8]) -> String {
    let section = built.bytes();
    Btf::parse(&section).unwrap().value(id, bytes).to_string()
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn integers_are_as_wide_and_signed_as_their_type() {
    let mut built = Builder::new();
    built
        .int("int", 4, 1)
        .int("unsigned int", 4, 0)
        .int("__int128", 16, 1)
        .int("_Bool", 1, 4)
        .int("unsigned char", 1, 0)
        .ty("", Kind::Ptr, 0, 0, &[])
        .ty("float", Kind::Float, 0, 4, &[]);
    let ones = [0xff; 16];
    let texts: Vec<_> = (1..=6).map(|id| shown(&built, id, &ones)).collect();
    assert_eq!(texts, ["-1", "4294967295", "-1", "true", "255", "0xffffffffffffffff"]);
    assert_eq!(shown(&built, 6, &[0; 8]), "null");
    assert_eq!(shown(&built, 7, &1.5_f32.to_ne_bytes()), "1.5");
    assert_eq!(shown(&built, 1, &[0; 3]), "?", "the bytes end before it");
    assert_eq!(shown(&built, 0, &ones), "?", "void");
    assert_eq!(shown(&built, 99, &ones), "?", "no such type");
}

#[test]
fn enumerations_show_names_and_flags_show_several() {
    let mut built = Builder::new();
    let names = ["A", "B", "C"].map(|name| built.name(name));
    let [a, b, c] = names;
    built
        .ty("order", Kind::Enum, 3, 4, &[a, 0, b, 1, c, 2])
        .ty("bits", Kind::Enum, 3, 4, &[a, 1, b, 2, c, 4])
        .ty("signed", Kind::Enum, FLAG | 1, 1, &[a, u32::MAX])
        .ty("wide", Kind::Enum64, 1, 8, &[a, 5, 1]);
    for (id, word, text) in [
        (1, 1, "B"),
        (1, 3, "3"),
        (2, 4, "C"),
        (2, 5, "A|C"),
        (2, 0x12, "B|0x10"),
        (2, 0x10, "16"),
        (2, 0, "0"),
        (3, 0xff, "A"),
        (3, 0xfe, "-2"),
    ] {
        assert_eq!(shown(&built, id, &u32::to_le_bytes(word)), text, "type {id}, {word:#x}");
    }
    assert_eq!(shown(&built, 4, &0x1_0000_0005_u64.to_ne_bytes()), "A");
}

#[test]
fn arrays_of_characters_are_text_and_arrays_of_bytes_are_bytes() {
    let mut built = Builder::new();
    built
        .int("char", 1, 1) // 1
        .int("unsigned char", 1, 0) // 2
        .int("short", 2, 1) // 3
        .ty("", Kind::Array, 0, 0, &[1, 3, 8]) // 4
        .ty("", Kind::Array, 0, 0, &[2, 3, 4]) // 5
        .ty("", Kind::Array, 0, 0, &[3, 3, 2]) // 6
        .ty("", Kind::Array, 0, 0, &[6, 3, 2]) // 7
        .ty("", Kind::Array, 0, 0, &[3, 3, 0]); // 8: flexible
    assert_eq!(shown(&built, 4, b"bash\0xyz"), "\"bash\"");
    assert_eq!(shown(&built, 4, b"a\x1b[2J\"\n\0"), r#""a\u{1b}[2J\"\n""#, "control characters are escaped");
    assert_eq!(shown(&built, 4, b"abcdefgh"), "\"abcdefgh\"", "no NUL");
    assert_eq!(shown(&built, 5, &[1, 2, 0xab, 4]), "0102ab04");
    let shorts: Vec<u8> = [1_i16, -2, 3, 4].iter().flat_map(|short| short.to_ne_bytes()).collect();
    assert_eq!(shown(&built, 6, &shorts), "[1, -2]");
    assert_eq!(shown(&built, 7, &shorts), "[[1, -2], [3, 4]]");
    assert_eq!(shown(&built, 8, &shorts), "[1, -2, 3, 4]");
    assert_eq!(shown(&built, 7, &shorts[..6]), "[[1, -2], [3, ?]]");
}

#[test]
fn structures_nest_and_unnamed_ones_are_flattened() {
    let mut built = Builder::new();
    let [pid, at, x, y, bits, more] = ["pid", "at", "x", "y", "bits", "more"].map(|name| built.name(name));
    built
        .int("int", 4, 1) // 1
        .int("unsigned int", 4, 0) // 2
        .ty("point", Kind::Struct, 2, 8, &[x, 1, 0, y, 1, 32]) // 3
        .ty("", Kind::Union, 2, 4, &[x, 2, 0, y, 1, 0]) // 4
        .ty("s", Kind::Struct, 3, 16, &[pid, 1, 0, at, 3, 32, 0, 4, 96]) // 5
        .ty("b", Kind::Struct, FLAG | 2, 4, &[bits, 2, 3 << 24 | 2, more, 1, 5 << 24 | 5]); // 6
    assert_eq!(
        shown(&built, 5, &bytes(&[7, 1, u32::MAX, u32::MAX])),
        "{pid: 7, at: {x: 1, y: -1}, x: 4294967295, y: -1}"
    );
    assert_eq!(shown(&built, 5, &bytes(&[7, 1])), "{pid: 7, at: {x: 1, y: ?}, x: ?, y: ?}");
    if cfg!(target_endian = "little") {
        // bits 2..5 are 0b101, bits 5..10 are 0b11111
        assert_eq!(shown(&built, 6, &bytes(&[0b11_1111_0111])), "{bits: 5, more: -1}");
    }
}

/// Returns the `Display`, and whether the type ends with a flexible array.
fn both(built: &Builder, id: u32, bytes: &[u8]) -> (String, bool) {
    let section = built.bytes();
    (shown(built, id, bytes), Btf::parse(&section).unwrap().ends_flexibly(id))
}

#[test]
fn only_the_last_member_is_flexible() {
    let mut built = Builder::new();
    let [n, none, rest, inner, end] = ["n", "none", "rest", "inner", "end"].map(|name| built.name(name));
    built
        .int("int", 4, 1) // 1
        .int("char", 1, 1) // 2
        .ty("", Kind::Array, 0, 0, &[1, 1, 0]) // 3: int[0]
        .ty("", Kind::Array, 0, 0, &[2, 1, 0]) // 4: char[0]
        .ty("mid", Kind::Struct, 3, 8, &[n, 1, 0, none, 3, 32, end, 1, 32]) // 5
        .ty("last", Kind::Struct, 2, 4, &[n, 1, 0, rest, 3, 32]) // 6
        .ty("two", Kind::Struct, 3, 4, &[n, 1, 0, none, 4, 32, rest, 4, 32]) // 7
        .ty("around", Kind::Struct, 2, 8, &[inner, 6, 0, end, 1, 32]) // 8: what ends flexibly is not last
        .ty("behind", Kind::Struct, 2, 8, &[n, 1, 0, inner, 6, 32]) // 9: it is
        .ty("either", Kind::Union, 2, 4, &[rest, 3, 0, end, 1, 0]) // 10
        .ty("union last", Kind::Struct, 2, 4, &[n, 1, 0, 0, 10, 32]) // 11: not the union's last member
        .ty("union first", Kind::Struct, 2, 8, &[0, 10, 0, n, 1, 32]) // 12
        .ty("", Kind::Array, 0, 0, &[6, 1, 2]) // 13: last[2]
        .ty("padded", Kind::Struct, 3, 8, &[n, 1, 0, end, 2, 32, rest, 4, 40]) // 14: 3 bytes of padding
        .ty("alias", Kind::Typedef, 0, 9, &[]); // 15
    let words = bytes(&[7, 1, 2, 3]);
    for (id, text, flexible) in [
        (3, "[7, 1, 2, 3]", true),
        (5, "{n: 7, none: [], end: 1}", false),
        (6, "{n: 7, rest: [1, 2, 3]}", true),
        (8, "{inner: {n: 7, rest: []}, end: 1}", false),
        (9, "{n: 7, inner: {n: 1, rest: [2, 3]}}", true),
        (10, "{rest: [7, 1, 2, 3], end: 7}", true),
        (11, "{n: 7, rest: [1, 2, 3], end: 1}", true),
        (12, "{rest: [], end: 7, n: 1}", false),
        (13, "[{n: 7, rest: []}, {n: 1, rest: []}]", false),
        (15, "{n: 7, inner: {n: 1, rest: [2, 3]}}", true),
    ] {
        assert_eq!(both(&built, id, &words), (text.to_owned(), flexible), "type {id}");
    }
    assert_eq!(both(&built, 7, b"\x07\0\0\0ab\0"), ("{n: 7, none: \"\", rest: \"ab\"}".to_owned(), true));
    assert_eq!(both(&built, 14, b"\x07\0\0\0!rest"), ("{n: 7, end: \"!\", rest: \"rest\"}".to_owned(), true));
    // The record ends at the array's start, or before.
    assert_eq!(shown(&built, 6, &words[..4]), "{n: 7, rest: []}");
    assert_eq!(shown(&built, 5, &words[..4]), "{n: 7, none: [], end: ?}");
}

#[test]
fn arrays_of_empty_types_have_their_declared_length() {
    let mut built = Builder::new();
    let [n, none] = ["n", "none"].map(|name| built.name(name));
    built
        .int("int", 4, 1) // 1
        .ty("empty", Kind::Struct, 0, 0, &[]) // 2
        .ty("", Kind::Array, 0, 0, &[2, 1, 3]) // 3: empty[3]
        .ty("", Kind::Array, 0, 0, &[2, 1, 0]) // 4: empty[0]
        .ty("", Kind::Array, 0, 0, &[1, 1, 0]) // 5: int[0]
        .ty("", Kind::Array, 0, 0, &[5, 1, 2]) // 6: int[2][0]
        .ty("", Kind::Array, 0, 0, &[5, 1, 0]) // 7: int[0][0]
        .ty("s", Kind::Struct, 2, 4, &[n, 1, 0, none, 4, 32]); // 8
    for (id, text) in [(3, "[{}, {}, {}]"), (4, "[]"), (6, "[[], []]"), (7, "[]"), (8, "{n: 7, none: []}")] {
        assert_eq!(both(&built, id, &bytes(&[7, 1])), (text.to_owned(), false), "type {id}");
    }
}

#[test]
fn circular_types_end() {
    let mut built = Builder::new();
    let inner = built.name("inner");
    built
        .int("int", 4, 1) // 1
        .ty("self", Kind::Struct, 1, 8, &[inner, 2, 0]) // 2: contains itself
        .ty("hidden", Kind::Struct, 2, 8, &[0, 3, 0, 0, 3, 0]) // 3: the same without a name, twice
        .ty("empty", Kind::Struct, 0, 0, &[]) // 4
        .ty("", Kind::Array, 0, 0, &[4, 1, u32::MAX]) // 5
        .ty("outside", Kind::Struct, 1, 4, &[inner, 1, u32::MAX]); // 6
    let section = built.bytes();
    let btf = Btf::parse(&section).unwrap();
    assert!(btf.value(2, &[0; 8]).to_string().ends_with(&format!("…{}", "}".repeat(65))));
    assert_eq!(btf.value(3, &[0; 8]).to_string(), "{…}");
    let Value::Array(values) = btf.value(5, &[]) else { panic!("an array") };
    assert!(values.len() <= 1 << 16);
    assert_eq!(btf.value(6, &[0; 8]).to_string(), "{inner: ?}");
    assert_eq!([2, 3, 4, 5, 6, 99].map(|id| btf.ends_flexibly(id)), [false; 6]);
    // A union with itself as two members: it would branch at every level.
    let mut built = Builder::new();
    built.ty("u", Kind::Union, 2, 8, &[0, 1, 0, 0, 1, 0]);
    assert!(!Btf::parse(&built.bytes()).unwrap().ends_flexibly(1));
}
