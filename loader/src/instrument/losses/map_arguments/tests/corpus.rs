//! Compares the analysis with a straight-line scan of compiled objects.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{super::references::References, *};
use crate::instrument::code::{Flow, flow};

/// Finds the maps of calls whose map is loaded and moved since the last target of a jump.
fn scan(object: &Object) -> Vec<((Start, usize), Option<usize>)> {
    let references = References::of(object);
    let mut found = Vec::new();
    for (start, function) in object.function_table().iter() {
        let code: Vec<_> = by_slot(&function.instructions).collect();
        let targets = code.iter().filter_map(|(slot, insn)| match flow(*slot, *insn) {
            Flow::Jump(target) | Flow::Branch(target) => usize::try_from(target).ok(),
            _ => None,
        });
        let targets: HashSet<_> = targets.collect();
        let mut maps = [None; 16];
        for (slot, insn) in code {
            if targets.contains(&slot) {
                maps = [None; 16];
            }
            let dst = usize::from(insn.dst());
            match insn.code {
                opcode::LD_IMM64 => maps[dst] = references.map(*start, slot),
                0xbf => maps[dst] = maps[usize::from(insn.src())],
                opcode::JMP_CALL => {
                    let helper = Helper::from_id(insn.imm).filter(|_| insn.src() == 0);
                    if let Some(register) = helper.and_then(map_register) {
                        found.push(((*start, slot), maps[usize::from(register)]));
                    }
                    maps[..6].fill(None);
                }
                _ if matches!(insn.class(), opcode::ALU | opcode::ALU64 | opcode::LDX) => maps[dst] = None,
                _ if matches!(insn.class(), opcode::LD | opcode::STX) => maps = [None; 16],
                _ => {}
            }
        }
    }
    found
}

/// Returns the paths of all files in a directory and below it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn straight_line_scan_of_the_corpus_agrees() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let (mut calls, mut known, mut scanned) = (0, 0, 0);
    for path in files(&corpus).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "o")) {
        let Ok(object) = Object::parse(&fs::read(&path).unwrap()) else { continue };
        let (maps, expected) = (maps_as_written(&object), scan(&object));
        assert_eq!(maps.len(), expected.len(), "{}", path.display());
        for ((call, map), (scanned_call, expected)) in maps.iter().zip(expected) {
            assert_eq!(*call, scanned_call, "{}", path.display());
            assert!(expected.is_none() || expected == *map, "{} {call:?}: {map:?}, {expected:?}", path.display());
            calls += 1;
            known += usize::from(map.is_some());
            scanned += usize::from(expected.is_some());
        }
    }
    assert!(known >= scanned && known > 60, "{calls} calls, {known} with a known map, {scanned} by the scan");
}
