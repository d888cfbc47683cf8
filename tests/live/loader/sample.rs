//! A small object for the tests: maps of several kinds, variables, and a program that counts its runs.

use cutaway::{Loaded, Object};
use cutaway_programs::prelude::*;

pub(crate) mod names {
    pub(crate) const PROGRAM: &str = "count";
    pub(crate) const RUNS: &str = "runs";
    pub(crate) const STEP: &str = "step";
    pub(crate) const OFFSET: &str = "offset";
}

/// Returns the object, with the program in this section. Each run adds the constant `step` (1) and the variable
/// `offset` (0) to the first value of the array `runs`.
pub(crate) fn object(section: &str) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let runs = object.map(names::RUNS, MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(4));
    object.map("hash", MapDef::new(MapType::HASH).key::<u32>().value::<[u8; 12]>().max_entries(8));
    object.map("per_cpu", MapDef::new(MapType::PERCPU_HASH).key::<u32>().value::<[u8; 12]>().max_entries(8));
    let step = object.variable(".rodata", names::STEP, Variable::new(1_u64));
    let offset = object.variable(".bss", names::OFFSET, Variable::zeroed::<u64>());

    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, runs);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.load_address(R1, step, 0);
    asm.load(DW, R1, R1, 0);
    asm.load_address(R2, offset, 0);
    asm.load(DW, R2, R2, 0);
    asm.add(R1, R2);
    asm.atomic_add(DW, R0, 0, R1);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, names::PROGRAM, asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Returns the program's count.
pub(crate) fn runs(loaded: &Loaded) -> u64 {
    let value = loaded.map(names::RUNS).unwrap().lookup(&0_u32.to_ne_bytes()).unwrap().unwrap();
    u64::from_ne_bytes(value.try_into().unwrap())
}
