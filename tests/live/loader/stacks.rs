//! The stack of a program stays its own if another run of the same program preempts it.

use std::thread;

use cutaway::{Object, Uprobe};
use cutaway_programs::prelude::*;

use crate::{
    attaching::call,
    harness::{Test, test},
    requirements::root,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![test!(threads_of_one_program_keep_their_stacks).needs(root)]
}

/// The stack that the program uses, in bytes. Kernels give programs with 64 bytes and more a stack for each CPU.
const STACK: i16 = 256;

/// Returns a program that fills its stack with its thread's id, waits a while, and counts: its runs in `runs[0]`, and
/// in `runs[1]` the runs that found another id on the stack.
fn object() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let runs = object.map("runs", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(2));
    let mut asm = Assembler::new();
    let count = |asm: &mut Assembler, key: i32| {
        let absent = asm.label("absent");
        asm.store(W, R10, -4, key);
        asm.load_map(R1, runs);
        asm.mov(R2, R10);
        asm.add(R2, -4);
        asm.call(Helper::bpf_map_lookup_elem);
        asm.jump_if(Eq, R0, 0, absent);
        asm.mov(R1, 1);
        asm.atomic_add(DW, R0, 0, R1);
        asm.bind(absent);
    };
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.mov(R6, R0);
    for offset in (-STACK..-8).step_by(8) {
        asm.store(DW, R10, offset, R6);
    }
    for _ in 0..200 {
        asm.call(Helper::bpf_ktime_get_ns);
    }
    let done = asm.label("done");
    let foreign = asm.label("foreign");
    for offset in (-STACK..-8).step_by(8) {
        asm.load(DW, R1, R10, offset);
        asm.jump_if(Ne, R1, R6, foreign);
    }
    asm.jump(done);
    asm.bind(foreign);
    count(&mut asm, 1);
    asm.bind(done);
    count(&mut asm, 0);
    asm.mov(R0, 0);
    asm.exit();
    object.program("uprobe", "stay", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

fn threads_of_one_program_keep_their_stacks() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 500;
    let loaded = object().load().unwrap();
    let link =
        Uprobe::new("libc.so.6", "a64l").pid(std::process::id()).attach(loaded.program("stay").unwrap()).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CALLS).for_each(|_| call()));
        }
    });
    drop(link);
    let count = |key: u32| {
        let value = loaded.map("runs").unwrap().lookup(&key.to_ne_bytes()).unwrap().unwrap();
        u64::from_ne_bytes(value.try_into().unwrap())
    };
    assert_eq!((count(0), count(1)), (THREADS * CALLS, 0), "runs, and runs that found another thread's stack");
}
