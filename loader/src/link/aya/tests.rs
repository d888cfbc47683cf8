use super::*;
use crate::{
    btf::visitor::Types,
    link::ObjectLinker,
    object::ObjectReader,
    resolve::resolve,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Links all programs; returns their instructions, `func_info`, `line_info` and functions.
#[expect(clippy::type_complexity, reason = "four lists")]
fn linked(object: &Object) -> Vec<(Vec<[u8; 8]>, Vec<(u32, u32)>, Vec<[u32; 4]>, Vec<(Start, usize)>)> {
    let resolved = resolve(object, Types::Given(&[])).unwrap();
    let mut linker = ObjectLinker::new(object, &resolved, object.maps().iter().zip(1..));
    let programs = object.programs().iter().map(|program| {
        let Linked { instructions, func_info, line_info, functions } = linker.link(program).unwrap();
        let instructions = instructions.iter().map(|insn| insn.to_bytes()).collect();
        let func_info = func_info.iter().map(|bpf_func_info { insn_off, type_id }| (*insn_off, *type_id)).collect();
        let line_info = line_info.iter().map(|bpf_line_info { insn_off, file_name_off, line_off, line_col }| {
            [*insn_off, *file_name_off, *line_off, *line_col]
        });
        (instructions, func_info, line_info.collect(), functions)
    });
    programs.collect()
}

fn compare(bytes: &[u8]) -> usize {
    let own = linked(&Object::parse(bytes).unwrap());
    assert_eq!(linked(&Object::parse_with(ObjectReader::AyaObj, bytes).unwrap()), own);
    own.iter().map(|(_, _, lines, _)| lines.len()).sum()
}

const FILES: [&str; 5] =
    ["kinds/callbacks.o", "kinds/halves.o", "kinds/freplace.o", "faults/static_programs.o", "events/arrays.o"];

#[test]
fn infos_of_functions_and_lines_are_those_of_this_crate() {
    for name in FILES {
        assert!(compare(&file(name)) > 3, "{name}");
    }
}

/// aya-obj counts a function's lines from the first one, which need not be at the function's first instruction.
#[test]
fn first_line_of_a_function_may_be_at_a_later_instruction() {
    for name in FILES {
        let mut bytes = file(name);
        let object = Object::parse(&bytes).unwrap();
        let starts: Vec<u64> = object.function_table().iter().map(|((_, start), _)| *start).collect();
        let ext = object.elf().contents(".BTF.ext");
        let at = bytes.windows(ext.len()).position(|part| part == ext).unwrap();
        let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
        let (start, size) = (word(ext, 4) + word(ext, 16), word(ext, 20));
        let (mut record, end, mut moved) = (at + start + 4, at + start + size, 0);
        while record < end {
            for _ in 0..word(&bytes, record + 4) {
                record += 16;
                let offset = word(&bytes, record - 8) as u64;
                if starts.contains(&offset) {
                    bytes[record - 8..record - 4].copy_from_slice(&(offset as u32 + 8).to_ne_bytes());
                    moved += 1;
                }
            }
            record += 8;
        }
        assert!(moved > 0, "{name}");
        compare(&bytes);
    }
}

/// A section's lines may come in several blocks: aya-obj keeps the last.
#[test]
fn lines_in_several_blocks_are_kept() {
    let mut bytes = file("kinds/callbacks.o");
    let ext = Object::parse(&bytes).unwrap().elf().contents(".BTF.ext").to_vec();
    let at = bytes.windows(ext.len()).position(|part| part == ext).unwrap();
    let word = |at: usize| u32::from_ne_bytes(*ext[at..].first_chunk().unwrap()) as usize;
    let (start, size) = (word(4) + word(16), word(20));
    // Three records of 16 bytes end a block: the first and the last of them get blocks of their own, whose headers
    // take the bytes of the second.
    let (mut block, end) = (start + 4, start + size);
    let mut split = 0;
    while block < end {
        let (name, count) = (word(block), word(block + 4));
        if count > 3 {
            let header: Vec<u8> = [name as u32, 1].into_iter().flat_map(u32::to_ne_bytes).collect();
            let last = block + 8 + (count - 3) * 16;
            let blocks = [&header, &ext[last..last + 16], &header, &ext[last + 32..last + 48]].concat();
            bytes[at + last..at + last + 48].copy_from_slice(&blocks);
            bytes[at + block + 4..at + block + 8].copy_from_slice(&(count as u32 - 3).to_ne_bytes());
            split += 1;
        }
        block += 8 + count * 16;
    }
    assert!(split > 0);
    assert!(compare(&bytes) > 3);
}
