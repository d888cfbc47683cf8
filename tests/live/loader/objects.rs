//! Broken objects: for every truncation and every flipped bit the result is an error or a description, never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cutaway::{Error, Object, TestRun};
use cutaway_programs::{getaddrinfo::Transport, prelude::*};

use crate::{
    harness::{Test, test},
    many_core,
    requirements::root,
    transports::{self, transports},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(every_truncation_is_an_error, transports()).collect();
    tests.extend(test!(no_flipped_bit_makes_parsing_panic, transports()));
    tests.extend(test!(no_flipped_bit_makes_loading_panic, transports(), transports::missing));
    tests.push(test!(file_that_is_no_object_is_an_error));
    tests.push(test!(many_relocations_are_loaded).since(5, 4, "BTF of the kernel").needs(root));
    tests.push(test!(many_zeroes_are_loaded).since(5, 14, "programs of the type SYSCALL").needs(root));
    tests
}

/// The object has more relocations than an earlier limit against broken objects allowed. The kernel has no such
/// members: all are 0.
fn many_relocations_are_loaded() {
    let object = Object::parse(&many_core::object(170, 350)).unwrap();
    let loaded = object.load().unwrap();
    assert_eq!(loaded.programs().count(), 170);
}

/// The object has more bytes of `.bss` than an earlier limit allowed, and a value is set at their end.
fn many_zeroes_are_loaded() {
    const SIZE: usize = 70_000_000;
    let mut object = ObjectBuilder::new("GPL");
    let zeroes = object.variable(".bss", "zeroes", Variable::zeroed::<[u8; SIZE]>());
    let last = object.variable(".bss", "last", Variable::zeroed::<u64>());
    let mut asm = Assembler::new();
    asm.load_address(R1, zeroes, 0);
    asm.load_address(R2, last, 0);
    asm.load(DW, R0, R2, 0);
    asm.store(DW, R1, 0, R0);
    asm.mov(R0, 0);
    asm.exit();
    object.program("syscall", "copies", asm);
    let mut object = Object::parse(&object.write().unwrap()).unwrap();
    object.set_variable("last", &7_u64).unwrap();
    let loaded = object.load().unwrap();
    let map = loaded.map(".bss").unwrap();
    assert_eq!(map.value_size(), 70_000_008);
    assert_eq!(loaded.variable("last").unwrap().read::<u64>().unwrap(), 7);
    let program = loaded.program("copies").unwrap();
    program.test_run(&TestRun::default()).unwrap();
    assert!(loaded.variable("zeroes").unwrap().bytes().unwrap().starts_with(&7_u64.to_ne_bytes()));
}

/// Parses the object. A panic is reported with the change that was made to the object.
fn parse(bytes: &[u8], what: impl Fn() -> String) -> Result<Object, Error> {
    let answer = catch_unwind(|| Object::parse(bytes)).unwrap_or_else(|_| panic!("parsing panics {}", what()));
    if let Err(error) = &answer {
        assert!(matches!(error, Error::Object { .. }), "{}: {error:?}", what());
        let line = error.to_string();
        assert!(line.starts_with("cannot read the object: ") && !line.contains('\n'), "{}: {line:?}", what());
    }
    answer
}

/// An ELF file ends with its section header table, so each truncation removes something that is required.
fn every_truncation_is_an_error(transport: Transport) {
    let bytes = transport.object().unwrap();
    for length in 0..bytes.len() {
        let answer = parse(&bytes[..length], || format!("the first {length} of {} bytes", bytes.len()));
        assert!(answer.is_err(), "the first {length} of {} bytes are parsed as an object", bytes.len());
    }
    parse(&bytes, || "all of it".to_owned()).unwrap();
}

/// Returns every `step`th byte with one bit to flip, in turn, and every byte of the ELF header with each bit.
fn flips(bytes: &[u8], step: usize) -> impl Iterator<Item = (usize, u32)> + use<> {
    const ELF_HEADER: usize = 64;
    let header = (0..ELF_HEADER).flat_map(|offset| (0..8).map(move |bit| (offset, bit)));
    header.chain((ELF_HEADER..bytes.len()).step_by(step).map(move |offset| (offset, (offset / step % 8) as u32)))
}

fn flip(bytes: &[u8], (offset, bit): (usize, u32)) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[offset] ^= 1 << bit;
    flipped
}

fn no_flipped_bit_makes_parsing_panic(transport: Transport) {
    let bytes = transport.object().unwrap();
    let mut refused = 0;
    for position in flips(&bytes, 5) {
        let answer = parse(&flip(&bytes, position), || format!("with byte and bit {position:?} flipped"));
        refused += u32::from(answer.is_err());
    }
    assert!(refused > 0, "no change was detected");
}

/// The time for loading an object's mutants; an emulated machine does not finish all of them.
const LOADING: Duration = Duration::from_secs(2);

/// Loads the mutants that parse; any result of the kernel is accepted. The maps stay unchanged, because a flipped size
/// could request all the memory.
fn no_flipped_bit_makes_loading_panic(transport: Transport) {
    let bytes = transport.object().unwrap();
    let sizes = |object: &Object| -> Vec<_> {
        object
            .maps()
            .iter()
            .map(|map| (map.map_type, map.key_size, map.value_size, map.max_entries, map.map_flags))
            .collect()
    };
    let sound = sizes(&Object::parse(&bytes).unwrap());
    let (mut accepted, mut refused) = (0, 0);
    let end = Instant::now() + LOADING;
    for position in spread(flips(&bytes, 101).collect()) {
        let Ok(object) = Object::parse(&flip(&bytes, position)) else { continue };
        if sizes(&object) != sound {
            continue;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| object.load()));
        match answer.unwrap_or_else(|_| panic!("loading panics with byte and bit {position:?} flipped")) {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        if Instant::now() > end && accepted > 0 && refused > 0 {
            return;
        }
    }
    assert!(accepted > 10 && refused > 10, "{accepted} accepted, {refused} refused");
}

/// Returns all elements in another order, in which every prefix is spread over the whole.
fn spread<T: Copy>(all: Vec<T>) -> impl Iterator<Item = T> {
    /// A prime, larger than the number of elements.
    const STRIDE: usize = 1_000_003;
    assert!(all.len() < STRIDE);
    (0..all.len()).map(move |step| all[step * STRIDE % all.len()])
}

fn file_that_is_no_object_is_an_error() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let text = b"#!/bin/sh\necho no object\n".to_vec();
    let mut magic = b"\x7fELF".to_vec();
    magic.resize(4096, 0xff);
    for (what, bytes) in
        [("nothing", vec![]), ("zeroes", vec![0; 4096]), ("text", text), ("magic", magic), ("itself", own)]
    {
        let error = parse(&bytes, || what.to_owned()).unwrap_err();
        assert!(error.to_string().len() > 30, "{what}: {error}");
    }
}
