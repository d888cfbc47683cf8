//! Stages a ring for the pictures, with a record of each kind: committed records of several sizes, a discarded one, a
//! busy one, one after it, and one that wraps around the end.
//!
//! Nothing in it is drawn by hand. A program reserves the records in the running kernel, and `cutaway peek` takes a
//! snapshot while one of its runs has reserved a record and not yet submitted it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use cutaway::{Loaded, Object, TestRun};
use cutaway_programs::{btf::Type, prelude::*};

use super::make::Workshop;
use crate::tools::root;

/// The file with the snapshot.
const FILE: &str = "docs/looks/staged.jsonl";

/// Size of the ring in bytes.
const RING: u32 = 4096;

/// Payload sizes in bytes. Each has a program of its own, because the verifier requires a constant size.
const SIZES: [u32; 4] = [40, 232, 488, 1000];

/// The end of a record.
#[derive(Clone, Copy)]
enum Fate {
    Submitted,
    Discarded,
}

/// How long a record stays busy: iterations of a loop that reads the clock.
const LONG: u64 = 1 << 23;

/// Stages the ring and writes a snapshot of it.
pub(super) fn record(workshop: &Workshop) -> Result<(), String> {
    let failed = |error: cutaway::Error| format!("cannot stage the ring: {error}");
    let bytes = object().map_err(|error| format!("cannot assemble the programs: {error}"))?;
    let loaded = Object::parse(&bytes).and_then(|object| object.load()).map_err(failed)?;
    let map = loaded.map("events").map_err(failed)?;
    let mut ring = map.ring().map_err(failed)?;
    // Three records that are read, so that the following ones wrap around the end.
    for number in 0..3 {
        send(&loaded, 1000, number, Fate::Submitted, 0)?;
    }
    for record in &mut ring.batch().map_err(|error| format!("cannot read the ring: {error}"))? {
        assert!(record.len() == 1000);
    }
    send(&loaded, 488, 3, Fate::Submitted, 0)?;
    send(&loaded, 40, 4, Fate::Discarded, 0)?;
    send(&loaded, 1000, 5, Fate::Submitted, 0)?;
    let snapshot = thread::scope(|scope| {
        let before = ring.positions().producer;
        let busy = scope.spawn(|| send(&loaded, 232, 6, Fate::Submitted, LONG));
        let until = Instant::now() + Duration::from_secs(5);
        while ring.positions().producer == before {
            if Instant::now() > until {
                return Err("no record has become busy".to_owned());
            }
            thread::yield_now();
        }
        send(&loaded, 40, 7, Fate::Submitted, 0)?;
        let output = workshop.shell(&format!("cutaway peek --id {} --format json", map.id())).output();
        let output = output.map_err(|error| format!("cannot run cutaway: {error}"))?;
        busy.join().map_err(|_| "the busy program has panicked")??;
        String::from_utf8(output.stdout).map_err(|error| format!("the snapshot is not UTF-8: {error}"))
    })?;
    if !snapshot.contains("\"busy\":1") {
        return Err(format!("the busy record was committed before the snapshot; try again: {snapshot}"));
    }
    fs::write(root().join(FILE), snapshot).map_err(|error| format!("cannot write {FILE}: {error}"))
}

/// Sends one record, which stays busy for `turns` iterations.
fn send(loaded: &Loaded, size: u32, number: u64, fate: Fate, turns: u64) -> Result<(), String> {
    let context = [number, turns, u64::from(matches!(fate, Fate::Discarded))];
    let context = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let run = TestRun { context, ..TestRun::default() };
    let sent = loaded.program(&name(size)).and_then(|program| program.test_run(&run));
    match sent.map_err(|error| format!("cannot send a record of {size} bytes: {error}"))?.value {
        0 => Ok(()),
        _ => Err(format!("the ring had no space for a record of {size} bytes")),
    }
}

fn name(size: u32) -> String {
    format!("send_{size}")
}

/// Assembles the programs. Their context is the record's number, its busy iterations, and whether it is discarded.
fn object() -> Result<Vec<u8>, Error> {
    let mut object = ObjectBuilder::new("Dual MIT/GPL");
    object.source(source!("staged.rs"));
    let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(RING));

    let mut asm = Assembler::new();
    asm.call(Helper::bpf_ktime_get_ns);
    asm.mov(R0, 0);
    asm.exit();
    let signature = Signature::returning(i64::describe());
    let signature = signature.takes("index", u32::describe()).takes("context", Type::pointer(Type::Void));
    let turn = object.function("turn", signature, asm);

    for size in SIZES {
        let mut asm = Assembler::new();
        let (full, discard) = (asm.label("full"), asm.label("discard"));
        asm.mov(R6, R1);
        asm.load_map(R1, events);
        asm.mov(R2, size.cast_signed());
        asm.mov(R3, 0);
        asm.call(Helper::bpf_ringbuf_reserve);
        asm.jump_if(Eq, R0, 0, full);
        asm.mov(R7, R0);
        asm.load(DW, R1, R6, 0);
        asm.store(DW, R7, 0, R1);
        asm.load(DW, R1, R6, 8);
        asm.load_function(R2, turn);
        asm.mov(R3, 0);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_loop);
        asm.load(DW, R3, R6, 16);
        asm.mov(R1, R7);
        asm.mov(R2, 0);
        asm.jump_if(Ne, R3, 0, discard);
        asm.call(Helper::bpf_ringbuf_submit);
        asm.mov(R0, 0);
        asm.exit();
        asm.bind(discard);
        asm.call(Helper::bpf_ringbuf_discard);
        asm.mov(R0, 0);
        asm.exit();
        asm.bind(full);
        asm.mov(R0, 1);
        asm.exit();
        object.program("raw_tracepoint", &name(size), asm);
    }
    object.write()
}
