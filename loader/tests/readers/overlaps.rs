//! Files whose parts overlap, and types with more entries than aya-obj counts: small files that take any amount of
//! memory or time, or on which aya-obj has undefined behavior.

use std::time::{Duration, Instant};

use cutaway::{Object, ReaderComparison, compare_readers};
use object::{SectionKind, SymbolKind, elf};

use crate::{
    corpus::{objects, small_kernel},
    crafted::{Crafted, exit, mov},
    faults::{PROGRAM, refused, section_header},
};

/// Returns a file with one program.
fn with_program() -> Crafted {
    let mut file = Crafted::new(b"GPL\0");
    let program = file.code(PROGRAM, &[mov(0, 0), exit()]);
    file.function("program", program, (0, 2));
    file
}

/// Checks that the file is refused for this reason, and soon.
fn refused_soon(bytes: &[u8], part: &str) {
    let start = Instant::now();
    refused(bytes, part);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

/// Returns the word at `at` bytes.
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

/// Gives each section `NAME0`, `NAME1` … the bytes of the section `whole`.
fn overlap(bytes: &mut [u8], name: &str, count: usize, whole: &str) {
    let place = section_header(bytes, whole.as_bytes()) + 0x18;
    let place: [u8; 16] = *bytes[place..].first_chunk().unwrap();
    for number in 0..count {
        let at = section_header(bytes, format!("{name}{number}").as_bytes()) + 0x18;
        bytes[at..at + 16].copy_from_slice(&place);
    }
}

/// Returns the contents of `.BTF` with these types and names.
fn btf(types: &[u32], names: &[u8]) -> Vec<u8> {
    let magic = if cfg!(target_endian = "little") { 0x0001_eb9f } else { 0xeb9f_0100 };
    let size = types.len() as u32 * 4;
    let header = [magic, 24, 0, size, size, names.len() as u32];
    header.iter().chain(types).flat_map(|word| word.to_ne_bytes()).chain(names.iter().copied()).collect()
}

const ENUM: u32 = 6 << 24;
const STRUCT: u32 = 4 << 24;
const DATASEC: u32 = 15 << 24;
const VARIABLE: u32 = 14 << 24;

/// Returns an enumeration of 65,536 entries, which aya-obj takes for variables of a linkage that its enum does not
/// have.
fn long_enumeration() -> Vec<u8> {
    let entries = [0, VARIABLE, 0, 0xdead_beef].repeat(1 << 15);
    btf(&[&[0, ENUM | 1 << 16, 4][..], &entries].concat(), b"\0")
}

#[test]
fn types_of_more_entries_than_aya_obj_counts_are_refused() {
    let mut file = with_program();
    file.data(".BTF", &long_enumeration());
    refused_soon(&file.write(), "16 bits of the number of entries");
    // One less is a number of 16 bits.
    let mut file = with_program();
    file.data(".BTF", &btf(&[&[0, ENUM | 0xffff, 4][..], &[0, 1].repeat(0xffff)].concat(), b"\0"));
    assert_eq!(compare_readers(&file.write(), &[]).unwrap(), ReaderComparison::Same);
}

#[test]
fn kernels_with_types_of_more_entries_are_refused() {
    let bytes = &objects()["core/fields.o"];
    assert_eq!(compare_readers(bytes, &small_kernel()).unwrap(), ReaderComparison::Same);
    let said = format!("{:?}", compare_readers(bytes, &long_enumeration()).unwrap());
    assert!(said.contains("16 bits of the number of entries"), "{said}");
}

#[test]
fn sections_that_overlap_are_refused() {
    for name in [".data", ".rodata", "maps", ".maps"] {
        let mut file = with_program();
        file.data("whole", &[0; 1 << 20]);
        (0..40).for_each(|number| _ = file.data(&format!("{name}{number}"), &[0; 8]));
        let mut bytes = file.write();
        overlap(&mut bytes, name, 40, "whole");
        refused_soon(&bytes, "overlap");
    }
}

#[test]
fn relocations_that_overlap_are_refused() {
    let mut file = with_program();
    file.data("whole", &[0; 1 << 20]);
    for number in 0..40 {
        let section = file.data(&format!("debug{number}"), &[0; 8]);
        let symbol = file.section_symbol(section);
        file.relocate(section, 0, symbol, elf::R_BPF_64_64);
    }
    let mut bytes = file.write();
    overlap(&mut bytes, ".reldebug", 40, "whole");
    refused_soon(&bytes, "overlap");
}

/// This crate's reader keeps the relocations of code.
#[test]
fn relocations_of_code_that_overlap_are_no_object() {
    let mut file = with_program();
    file.data("whole", &[0; 1 << 20]);
    for number in 0..40 {
        let section = file.code(&format!("code{number}"), &[mov(0, 0), exit()]);
        let symbol = file.section_symbol(section);
        file.relocate(section, 0, symbol, elf::R_BPF_64_64);
    }
    let mut bytes = file.write();
    overlap(&mut bytes, ".relcode", 40, "whole");
    let error = Object::parse(&bytes).unwrap_err().to_string();
    assert!(error.contains("overlap"), "{error}");
}

#[test]
fn text_that_is_no_code_is_refused() {
    let mut file = with_program();
    let text = file.section(".text", SectionKind::Data, &[0; 64]);
    file.symbol("function", SymbolKind::Text, text, (0, 64), true);
    refused_soon(&file.write(), "without its flag");
}

#[test]
fn indirect_functions_are_refused() {
    let mut bytes = with_program().write();
    let symbols = section_header(&bytes, b".symtab") + 0x18;
    let (start, size) = (word(&bytes, symbols) as usize, word(&bytes, symbols + 8) as usize);
    let is_function = |at: &usize| bytes[at + 4] == elf::STB_GLOBAL << 4 | elf::STT_FUNC;
    let at = (start..start + size).step_by(24).find(is_function).unwrap();
    bytes[at + 4] = elf::STB_GLOBAL << 4 | elf::STT_GNU_IFUNC;
    refused_soon(&bytes, "STT_GNU_IFUNC");
}

#[test]
fn long_names_of_sections_are_refused() {
    let names = [b"\0".to_vec(), vec![b'n'; 1 << 16], b"\0".to_vec()].concat();
    let mut file = with_program();
    file.data(".BTF", &btf(&[1, DATASEC, 8].repeat(2000), &names));
    refused_soon(&file.write(), "names of sections");
}

#[test]
fn many_sections_of_maps_are_refused() {
    let mut file = with_program();
    file.data(".BTF", &btf(&[0, STRUCT, 8], b"\0"));
    (0..17).for_each(|number| _ = file.data(&format!(".maps.{number}"), &[0; 8]));
    refused_soon(&file.write(), "sections `.maps");
}

#[test]
fn types_elsewhere_in_their_section_are_refused() {
    let (types, names) = ([0, STRUCT, 8], b"\0");
    let mut bytes = btf(&types, names);
    // Four bytes precede the types.
    bytes.splice(24..24, [0; 4]);
    bytes[8..12].copy_from_slice(&4_u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&16_u32.to_ne_bytes());
    let mut file = with_program();
    file.data(".BTF", &bytes);
    refused_soon(&file.write(), "do not begin at byte 24");
}

/// A part of the header would be read, and with it the position of the relocations alone.
#[test]
fn header_with_a_part_of_the_relocations_is_refused() {
    let mut file = with_program();
    file.data(".BTF", &btf(&[0, STRUCT, 8], b"\0"));
    let magic: u32 = if cfg!(target_endian = "little") { 0x0001_eb9f } else { 0xeb9f_0100 };
    let words = [magic, 31, 0, 0, 0, 0, 0, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    file.data(".BTF.ext", &bytes);
    refused_soon(&file.write(), "header of 31 bytes");
}
