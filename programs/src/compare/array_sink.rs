//! Timestamps written to an array map, which sends no notification: user space has to poll the map.
//!
//! ```text
//!     context: [ number of timestamps ]
//! ```

use super::names;
use crate::prelude::*;

/// The number of timestamps that the map holds; later ones overwrite the oldest.
pub const ARRAY_SINK_SLOTS: u32 = 1 << 16;

/// The largest number of timestamps of one run.
const MAX_TIMESTAMPS: i32 = 1_000;

/// Returns the object file with the program and its maps. The program must run on one CPU at a time: its count is
/// updated without atomics.
///
/// # Errors
///
/// Only if this crate has a bug, which its tests rule out.
pub fn array_sink() -> Result<Vec<u8>, Error> {
    let mut object = ObjectBuilder::new("Dual MIT/GPL");
    object.source(source!("array_sink.rs"));
    let slots = MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(ARRAY_SINK_SLOTS);
    let slots = object.map(names::SLOTS, slots);
    let next = object.map(names::NEXT, MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));

    let mut asm = Assembler::new();
    let (again, done) = (asm.label("again"), asm.label("done"));
    asm.mov(R6, R1);
    asm.mov(R9, 0);
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, next);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R7, R0);

    asm.bind(again);
    asm.load(DW, R1, R6, 0);
    asm.jump_if(Ge, R9, R1, done);
    asm.load(DW, R1, R7, 0);
    asm.and(R1, ARRAY_SINK_SLOTS.cast_signed() - 1);
    asm.store(W, R10, -4, R1);
    asm.load_map(R1, slots);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R8, R0);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.store(DW, R8, 0, R0);
    // The timestamp is stored before the count.
    asm.load(DW, R1, R7, 0);
    asm.add(R1, 1);
    asm.store(DW, R7, 0, R1);
    asm.add(R9, 1);
    asm.jump_if(Lt, R9, MAX_TIMESTAMPS, again);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tracepoint", names::PROGRAM, asm);
    object.write()
}
