//! A record of any length, copied from bytes that user space has written to a map.
//!
//! ```text
//!     context: [ bytes of the record, 1 to MAX_RECORD | offset of its first byte, 0 to 255 | ring: flags ]
//! ```
//!
//! A reservation has a constant size, known to the verifier. A record whose length is known only at run time goes
//! through `bpf_ringbuf_output`, or through a dynptr (5.19).

use super::{Transport, fixed_size::buffer, names};
use crate::prelude::*;

/// The longest record in bytes.
pub const MAX_RECORD: u32 = 4096;

/// The number of offsets at which a record can begin.
const STARTS: u32 = 256;

/// Returns the object file with the program, its buffer, and a map for the bytes. User space has to write the bytes,
/// [`MAX_RECORD`] and 256 more. The program sends through perf buffers unless `transport` is one of the ring's.
///
/// # Errors
///
/// Only if this crate has a bug, which its tests rule out.
pub fn variable_size(transport: Transport) -> Result<Vec<u8>, Error> {
    let mut object = ObjectBuilder::new("Dual MIT/GPL");
    object.source(source!("variable_size.rs"));
    let events = object.map(names::EVENTS, buffer(transport));
    let bytes = MapDef::new(MapType::ARRAY).key_size(4).value_size(MAX_RECORD + STARTS).max_entries(1);
    let bytes = object.map(names::BYTES, bytes);

    let mut asm = Assembler::new();
    let (out, too_long) = (asm.label("out"), asm.label("too_long"));
    asm.mov(R6, R1);
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, bytes);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, too_long); // cannot happen, but the verifier requires the check
    asm.load(DW, R8, R6, 8);
    asm.and(R8, STARTS.cast_signed() - 1);
    asm.add(R8, R0);
    asm.load(DW, R7, R6, 0);
    asm.jump_if(Gt, R7, MAX_RECORD.cast_signed(), too_long);
    asm.jump_if(Eq, R7, 0, too_long);
    if transport.is_ring() {
        asm.load_map(R1, events);
        asm.mov(R2, R8);
        asm.mov(R3, R7);
        asm.load(DW, R4, R6, 16);
        asm.call(Helper::bpf_ringbuf_output);
    } else {
        asm.mov(R1, R6);
        asm.load_map(R2, events);
        asm.mov(W3, -1); // BPF_F_CURRENT_CPU
        asm.mov(R4, R8);
        asm.mov(R5, R7);
        asm.call(Helper::bpf_perf_event_output);
    }
    asm.jump(out);
    asm.bind(too_long);
    asm.mov(R0, -7); // E2BIG
    asm.bind(out);
    asm.exit();
    object.program("raw_tracepoint", names::PROGRAM, asm);
    object.write()
}
