//! An object with one of every item, for the tests.

use cutaway_programs::{btf::Type, prelude::*};

/// The event that the programs send and store.
#[repr(C)]
pub(crate) struct Event {
    pub(crate) time_ns: u64,
    pub(crate) pid_tgid: u64,
    pub(crate) comm: [u8; 16],
}
cutaway_programs::describe!(Event { time_ns, pid_tgid, comm: char });

/// Returns the object.
pub(crate) fn object() -> ObjectBuilder {
    let mut object = ObjectBuilder::new("GPL");
    object.source(source!("mod.rs"));
    object.describe::<Event>();

    let events = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(65_536));
    let heap = MapDef::new(MapType::PERCPU_ARRAY).key::<u32>().value::<Event>();
    let heap = object.map("heap", heap.max_entries(1));
    let output = MapDef::new(MapType::PERF_EVENT_ARRAY);
    object.map("output", output.key_size(4).value_size(4).max_entries(0));
    let inner = MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(2);
    let outer = MapDef::new(MapType::ARRAY_OF_MAPS).key::<u32>().max_entries(3).holding(inner);
    object.map("outer", outer);
    let target = object.variable(".rodata", "target_pid", Variable::new(7u32));
    object.variable(".rodata", "greeting", Variable::new(*b"hello\0\0\0"));
    let lost = object.variable(".bss", "lost", Variable::zeroed::<[u64; 4]>());

    // Counts a lost event: lost[1] += 1.
    let mut asm = Assembler::new();
    asm.load_address(R1, lost, 8);
    asm.mov(R2, 1);
    asm.atomic_add(DW, R1, 0, R2);
    asm.mov(R0, 0);
    asm.exit();
    let count_lost = object.function("count_lost", Signature::returning(i32::describe()), asm);

    // Called back by bpf_loop: counts as well.
    let mut asm = Assembler::new();
    asm.load_address(R1, lost, 16);
    asm.mov(R0, 1);
    asm.atomic_fetch_add(DW, R1, 0, R0);
    asm.mov(R0, 0); // continue the loop
    asm.exit();
    let signature = Signature::returning(i64::describe());
    let signature = signature.takes("index", u32::describe()).takes("context", Type::pointer(Type::Void));
    let count_turn = object.function("count_turn", signature, asm);

    // Returns twice its argument.
    let mut asm = Assembler::new();
    asm.mov(R0, R1);
    asm.lsh(R0, 1);
    asm.exit();
    let signature = Signature::returning(u64::describe()).takes("number", u64::describe());
    let double = object.global_function("double_it", signature, asm);

    object.program("raw_tracepoint/sys_enter", "send", send(events, target, count_lost));
    object.program("raw_tracepoint/sys_enter", "keep", keep(heap, double));
    object.program("raw_tracepoint/sys_exit", "repeat", repeat(count_turn));
    object
}

/// Sends an event through the ring.
fn send(events: MapRef, target: VariableRef, count_lost: FunctionRef) -> Assembler {
    let mut asm = Assembler::new();
    let (full, out) = (asm.label("full"), asm.label("out"));
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.mov(R7, R0);
    asm.load_address(R1, target, 0);
    asm.load(W, R1, R1, 0);
    asm.jump_if(Eq, W1, W7, out); // not for the target itself
    asm.load_map(R1, events);
    asm.mov(R2, size!(Event));
    asm.mov(R3, 0);
    asm.call(Helper::bpf_ringbuf_reserve);
    asm.jump_if(Eq, R0, 0, full);
    asm.mov(R6, R0); // the reservation survives calls here
    asm.store(DW, R6, offset!(Event, pid_tgid), R7);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.store(DW, R6, offset!(Event, time_ns), R0);
    asm.mov(R1, R6);
    asm.add(R1, offset!(Event, comm));
    asm.mov(R2, 16);
    asm.call(Helper::bpf_get_current_comm);
    asm.mov(R1, R6);
    asm.mov(R2, 0);
    asm.call(Helper::bpf_ringbuf_submit);
    asm.jump(out);
    asm.bind(full);
    asm.call_function(count_lost);
    asm.bind(out);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

/// Writes the time, doubled, to the heap.
fn keep(heap: MapRef, double: FunctionRef) -> Assembler {
    let mut asm = Assembler::new();
    let out = asm.label("out");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, heap);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, out);
    asm.mov(R6, R0);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.mov(R1, R0);
    asm.call_function(double);
    asm.store(DW, R6, offset!(Event, time_ns), R0);
    asm.bind(out);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

/// Makes bpf_loop call back four times.
fn repeat(count_turn: FunctionRef) -> Assembler {
    let mut asm = Assembler::new();
    asm.mov(R1, 4);
    asm.load_function(R2, count_turn);
    asm.mov(R3, 0);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_loop);
    asm.mov(R0, 0);
    asm.exit();
    asm
}
