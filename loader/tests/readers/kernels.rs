//! BTF of a kernel that the caller gives and that aya-obj must not read.

use std::time::{Duration, Instant};

use cutaway::{Object, ObjectReader, ReaderComparison, compare_readers};

use crate::corpus::{objects, small_kernel};

/// Returns BTF of these words, without names.
fn types(words: &[u32]) -> Vec<u8> {
    let (size, names) = (words.len() as u32 * 4, b"\0");
    let magic = if cfg!(target_endian = "little") { 0x0001_eb9f } else { 0xeb9f_0100 };
    let header = [magic, 24, 0, size, size, names.len() as u32];
    header.iter().chain(words).flat_map(|word| word.to_ne_bytes()).chain(*names).collect()
}

const STRUCT: u32 = 4 << 24;
const PROTOTYPE: u32 = 13 << 24;
const POINTER: u32 = 2 << 24;
const VARIABLE: u32 = 14 << 24;

/// Checks that an object with CO-RE relocations is refused soon for such a kernel.
fn refused(kernel: &[u8], part: &str) {
    let bytes = &objects()["core/fields.o"];
    let start = Instant::now();
    let object = Object::parse_with(ObjectReader::AyaObj, bytes).unwrap();
    let error = object.dry_run(kernel).unwrap_err().to_string();
    assert!(error.contains(part) && !error.contains('\n'), "{error}");
    let comparison = compare_readers(bytes, kernel).unwrap();
    assert!(matches!(&comparison, ReaderComparison::Unlinked { why } if why.contains(part)), "{comparison:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn unknown_linkage_of_a_variable_is_refused() {
    for linkage in [4, 5, u32::MAX] {
        refused(&types(&[0, 1 << 24, 4, 32, 0, VARIABLE, 1, linkage]), "linkage");
    }
    let object = Object::parse_with(ObjectReader::AyaObj, &objects()["core/fields.o"]).unwrap();
    object.dry_run(&types(&[0, 1 << 24, 4, 32, 0, VARIABLE, 1, 3])).unwrap();
}

/// Without types this crate cannot link the object, so aya-obj's instructions are not compared.
#[test]
fn empty_types_do_not_cover_relocations() {
    let comparison = compare_readers(&objects()["core/fields.o"], &[]).unwrap();
    assert!(matches!(comparison, ReaderComparison::Unlinked { .. }), "{comparison:?}");
    assert_eq!(compare_readers(&objects()["kinds/one_ring.o"], &[]).unwrap(), ReaderComparison::Same);
}

#[test]
fn structure_that_contains_itself_is_refused() {
    refused(&types(&[0, STRUCT | 1, 8, 0, 1, 0]), "contains itself");
    // Through another structure.
    refused(&types(&[0, STRUCT | 1, 8, 0, 2, 0, 0, STRUCT | 1, 8, 0, 1, 0]), "contains itself");
}

#[test]
fn prototype_that_takes_itself_is_refused() {
    refused(&types(&[0, PROTOTYPE | 1, 0, 0, 2, 0, POINTER, 1]), "contains itself");
    refused(&types(&[0, PROTOTYPE, 1]), "contains itself");
}

#[test]
fn structures_that_double_on_each_level_are_refused() {
    for kind in [STRUCT, PROTOTYPE] {
        let mut words = vec![0, 1 << 24, 4, 32];
        for level in 0..50 {
            words.extend([0, kind | 2, 0]);
            let inner = level + 1;
            // A member has an offset; a parameter has none.
            let each = if kind == STRUCT { vec![0, inner, 0] } else { vec![0, inner] };
            words.extend([each.clone(), each].concat());
        }
        refused(&types(&words), "too much");
    }
}

#[test]
fn bytes_that_are_not_btf_are_refused() {
    let object = Object::parse_with(ObjectReader::AyaObj, &objects()["core/fields.o"]).unwrap();
    for kernel in [&b"no types"[..], &[0; 64], &small_kernel()[..100]] {
        object.dry_run(kernel).unwrap_err();
    }
}
