//! The entry probe: keeps the arguments and the time for the return probe.
//!
//! `getaddrinfo(node, service, hints, res)` takes four pointers. On return they are no longer in registers, and nothing
//! else identifies the call that returns. So the probe keeps them in a map, with the time.
//!
//! The key is the thread *and* the stack frame. A resolver module may itself call `getaddrinfo`, and a call left by
//! `longjmp` never returns; neither must be mistaken for the other call.

use super::{follow::Followed, registers::REGISTERS};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("entry.rs");

/// The key: identifies a call.
#[repr(C)]
pub(super) struct Key {
    pub(super) pid_tgid: u64,
    /// The value of the stack pointer when the call has returned.
    pub(super) frame: u64,
}
describe!(Key { pid_tgid, frame });

/// The value: the time of the call, and pointers into the caller's memory.
#[repr(C)]
pub(super) struct Arguments {
    pub(super) start_ns: u64,
    pub(super) node: u64,
    pub(super) service: u64,
    pub(super) res: u64,
}
describe!(Arguments { start_ns, node, service, res });

/// Adds the program, and the map that it fills.
pub(super) fn program(object: &mut ObjectBuilder, followed: &Followed) -> MapRef {
    // A thread killed inside a call leaves its entry in the map. An LRU map drops the least recently used entries to
    // make space.
    let definition = MapDef::new(MapType::LRU_HASH).key::<Key>().value::<Arguments>().max_entries(16_384);
    let calls = object.map("calls", definition);

    const KEY: i16 = -size_i16::<Key>();
    const ARGUMENTS: i16 = KEY - size_i16::<Arguments>();
    const PROCESS: i16 = ARGUMENTS - 8;

    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.mov(R6, R1);
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.store(DW, R10, KEY + offset!(Key, pid_tgid), R0);

    followed.jump_unless_followed(&mut asm, PROCESS, done);

    asm.load(DW, R1, R6, REGISTERS.stack_pointer);
    asm.add(R1, REGISTERS.popped);
    asm.store(DW, R10, KEY + offset!(Key, frame), R1);
    let [node, service, _hints, res] = REGISTERS.arguments;
    asm.load(DW, R1, R6, node);
    asm.store(DW, R10, ARGUMENTS + offset!(Arguments, node), R1);
    asm.load(DW, R1, R6, service);
    asm.store(DW, R10, ARGUMENTS + offset!(Arguments, service), R1);
    asm.load(DW, R1, R6, res);
    asm.store(DW, R10, ARGUMENTS + offset!(Arguments, res), R1);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.store(DW, R10, ARGUMENTS + offset!(Arguments, start_ns), R0);

    asm.load_map(R1, calls);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.mov(R3, R10);
    asm.add(R3, i32::from(ARGUMENTS));
    asm.mov(R4, 0); // BPF_ANY
    asm.call(Helper::bpf_map_update_elem);
    asm.jump_if(Eq, R0, 0, done);
    // The return probe then finds no entry and counts that. Delete the entry, so that an older call of the same frame
    // is not found instead.
    asm.load_map(R1, calls);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.call(Helper::bpf_map_delete_elem);

    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program(&format!("uprobe/{}:{}", super::LIBRARY, super::FUNCTION), super::names::ENTRY, asm);
    calls
}

/// Returns the size of a type in bytes, as an instruction's offset takes it.
const fn size_i16<T>() -> i16 {
    assert!(size_of::<T>() <= 512, "the BPF stack has 512 bytes");
    size_of::<T>() as i16
}
