//! Programs that send records by each method, from the assembler: so each call has a Rust line.

use cutaway::Object;
use cutaway_programs::{
    MapDef,
    btf::{Describe, Signature},
    prelude::*,
};

use super::{older_than, ring, root};

/// A program on packets: the kernel runs it many times in one system call.
const SECTION: &str = "tc";

/// How the program `send` sends one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Reserve,
    Output,
    Dynptr,
    PerfStack,
    PerfHeap,
    Subprogram,
    Callback,
}

impl Method {
    pub(super) const ALL: [(&str, Self); 7] = [
        ("reserve", Self::Reserve),
        ("output", Self::Output),
        ("dynptr", Self::Dynptr),
        ("perf_stack", Self::PerfStack),
        ("perf_heap", Self::PerfHeap),
        ("subprogram", Self::Subprogram),
        ("callback", Self::Callback),
    ];

    /// Returns the methods that can send a record of any size: the stack has 512 bytes.
    pub(super) fn of_any_size() -> impl Iterator<Item = (&'static str, Self)> {
        Self::ALL.into_iter().filter(|(_, method)| *method != Self::PerfStack)
    }

    /// Returns the reason why the kernel lacks the method.
    pub(super) fn missing(self) -> Option<String> {
        match self {
            Self::PerfStack | Self::PerfHeap => root().or_else(|| older_than(5, 5, "arrays that can be mapped")),
            Self::Reserve | Self::Output | Self::Subprogram => ring(),
            Self::Dynptr => root().or_else(|| older_than(5, 19, "dynptrs")),
            Self::Callback => root().or_else(|| older_than(5, 17, "bpf_loop")),
        }
    }

    pub(super) fn helper(self) -> Helper {
        match self {
            Self::Reserve | Self::Subprogram | Self::Callback => Helper::bpf_ringbuf_reserve,
            Self::Output => Helper::bpf_ringbuf_output,
            Self::Dynptr => Helper::bpf_ringbuf_reserve_dynptr,
            Self::PerfStack | Self::PerfHeap => Helper::bpf_perf_event_output,
        }
    }

    /// Returns the function with the call.
    pub(super) fn function(self) -> &'static str {
        match self {
            Self::Subprogram => "emit",
            Self::Callback => "turn",
            _ => "send",
        }
    }
}

/// Returns the size of a page: of the ring, and of each perf buffer.
pub(super) fn page() -> u32 {
    rustix::param::page_size() as u32
}

fn ring_map() -> MapDef {
    MapDef::new(MapType::RINGBUF).max_entries(page())
}

fn parse(mut object: ObjectBuilder) -> Object {
    object.source(source!("programs.rs"));
    Object::parse(&object.write().unwrap()).unwrap()
}

/// Returns an object whose program `send` sends one record of this size to the map `events`.
pub(super) fn object(method: Method, size: u32) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = match method {
        Method::PerfStack | Method::PerfHeap => MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4),
        _ => ring_map(),
    };
    let events = object.map("events", events.max_entries(if method.is_ring() { page() } else { 0 }));
    let size = size.cast_signed();
    let mut asm = Assembler::new();
    asm.mov(R6, R1);
    match method {
        Method::Reserve => reserve(&mut asm, events, size),
        Method::Output => {
            heap(&mut asm, &mut object, size);
            asm.mov(R2, R0);
            asm.load_map(R1, events);
            asm.mov(R3, size);
            asm.mov(R4, 0);
            asm.call(Helper::bpf_ringbuf_output);
        }
        Method::Dynptr => {
            asm.load_map(R1, events);
            asm.mov(R2, size);
            asm.mov(R3, 0);
            asm.mov(R4, R10);
            asm.add(R4, -16);
            asm.call(Helper::bpf_ringbuf_reserve_dynptr);
            asm.mov(R1, R10);
            asm.add(R1, -16);
            asm.mov(R2, 0);
            asm.call(Helper::bpf_ringbuf_submit_dynptr);
        }
        Method::PerfStack => {
            asm.store(DW, R10, -8, 7);
            asm.mov(R4, R10);
            asm.add(R4, -8);
            perf(&mut asm, events, size);
        }
        Method::PerfHeap => {
            heap(&mut asm, &mut object, size);
            asm.mov(R4, R0);
            perf(&mut asm, events, size);
        }
        Method::Subprogram => {
            let mut function = Assembler::new();
            reserve(&mut function, events, size);
            finish(&mut function);
            let emit = object.function("emit", Signature::returning(i32::describe()), function);
            asm.call_function(emit);
        }
        Method::Callback => {
            let mut function = Assembler::new();
            reserve(&mut function, events, size);
            finish(&mut function);
            let turn = object.function("turn", Signature::returning(i64::describe()), function);
            asm.mov(R1, 1);
            asm.load_function(R2, turn);
            asm.mov(R3, 0);
            asm.mov(R4, 0);
            asm.call(Helper::bpf_loop);
        }
    }
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

impl Method {
    fn is_ring(self) -> bool {
        !matches!(self, Self::PerfStack | Self::PerfHeap)
    }
}

fn finish(asm: &mut Assembler) {
    asm.mov(R0, 0);
    asm.exit();
}

/// Reserves a record and submits it.
pub(super) fn reserve(asm: &mut Assembler, ring: MapRef, size: i32) {
    asm.load_map(R1, ring);
    reserve_in(asm, size);
}

/// Reserves a record in the ring in R1, and submits it.
fn reserve_in(asm: &mut Assembler, size: i32) {
    let full = asm.label("full");
    asm.mov(R2, size);
    asm.mov(R3, 0);
    asm.call(Helper::bpf_ringbuf_reserve);
    asm.jump_if(Eq, R0, 0, full);
    asm.store(DW, R0, 0, 7);
    asm.mov(R1, R0);
    asm.mov(R2, 0);
    asm.call(Helper::bpf_ringbuf_submit);
    asm.bind(full);
}

/// Sends the bytes at R4. The context is in R6.
fn perf(asm: &mut Assembler, events: MapRef, size: i32) {
    asm.mov(R1, R6);
    asm.load_map(R2, events);
    asm.mov(W3, -1); // BPF_F_CURRENT_CPU
    asm.mov(R5, size);
    asm.call(Helper::bpf_perf_event_output);
}

/// Loads the address of a map's value of this size into R0. Without it the program ends.
fn heap(asm: &mut Assembler, object: &mut ObjectBuilder, size: i32) {
    let value = MapDef::new(MapType::ARRAY).key_size(4).value_size(size.cast_unsigned()).max_entries(1);
    let heap = object.map("heap", value);
    let found = asm.label("found");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, heap);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Ne, R0, 0, found);
    finish(asm);
    asm.bind(found);
}

/// Returns an object whose programs `one` and `two` call the static function `emit`, which sends to `events`.
pub(super) fn sharing() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map());
    let mut function = Assembler::new();
    reserve(&mut function, events, 8);
    finish(&mut function);
    let emit = object.function("emit", Signature::returning(i32::describe()), function);
    // The second has `emit` at another slot.
    for (name, before) in [("one", 0), ("two", 5)] {
        let mut asm = Assembler::new();
        (0..before).for_each(|number| asm.mov(R0, number));
        asm.call_function(emit);
        finish(&mut asm);
        object.program(SECTION, name, asm);
    }
    parse(object)
}

/// Returns an object whose program `send` sends to the ring `first`, to `second`, and once more to `first`.
pub(super) fn several() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let first = object.map("first", ring_map());
    let second = object.map("second", ring_map());
    let mut asm = Assembler::new();
    reserve(&mut asm, first, 8);
    reserve(&mut asm, second, 8);
    asm.store(DW, R10, -8, 7);
    asm.load_map(R1, first);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.mov(R3, 8);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_ringbuf_output);
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object whose program `send` sends to the ring that it finds in the array `rings`, and to `known`.
pub(super) fn chosen_at_run_time() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let rings = MapDef::new(MapType::ARRAY_OF_MAPS).key_size(4).value_size(4).max_entries(1).holding(ring_map());
    let rings = object.map("rings", rings);
    let known = object.map("known", ring_map());
    let mut asm = Assembler::new();
    let absent = asm.label("absent");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, rings);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, absent);
    asm.mov(R1, R0);
    reserve_in(&mut asm, 8);
    asm.bind(absent);
    reserve(&mut asm, known, 8);
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object whose program runs for each packet that a device sends, and passes its `struct sk_buff` to
/// `bpf_skb_output`. It counts its runs in the variable `attempts`.
pub(super) fn skb_output() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0);
    let events = object.map("events", events);
    let attempts = object.variable(".bss", "attempts", Variable::zeroed::<u64>());
    let mut asm = Assembler::new();
    asm.load(DW, R6, R1, 0);
    asm.load_address(R1, attempts, 0);
    asm.mov(R2, 1);
    asm.atomic_add(DW, R1, 0, R2);
    asm.store(DW, R10, -8, 7);
    asm.mov(R1, R6);
    asm.load_map(R2, events);
    asm.mov(W3, -1); // BPF_F_CURRENT_CPU
    asm.mov(R4, R10);
    asm.add(R4, -8);
    asm.mov(R5, 8);
    asm.call(Helper::bpf_skb_output);
    finish(&mut asm);
    object.program("tp_btf/net_dev_queue", "send", asm);
    parse(object)
}

/// The records that the program of [`many_turns`] sends in a run.
pub(super) const TURNS: u64 = 10_000;

/// Returns an object whose program `send` uses as many maps as the kernel allows (`MAX_USED_MAPS`, 64).
pub(super) fn most_maps() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map());
    let mut asm = Assembler::new();
    for number in 1..64 {
        let map = MapDef::new(MapType::ARRAY).key_size(4).value_size(4).max_entries(1);
        let map = object.map(&format!("map{number}"), map);
        asm.load_map(R1, map);
    }
    reserve(&mut asm, events, 8);
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object whose program `send` sends in a loop and ignores the results. The verifier follows each turn of
/// the loop, with one state. A condition on each result is a state to come back to, and it keeps at most 8192 of them
/// (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub(super) fn many_turns() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map());
    let mut asm = Assembler::new();
    let turn = asm.label("turn");
    asm.mov(R6, 0);
    asm.bind(turn);
    asm.store(DW, R10, -8, 7);
    asm.load_map(R1, events);
    asm.mov(R2, R10);
    asm.add(R2, -8);
    asm.mov(R3, 8);
    asm.mov(R4, 0);
    asm.call(Helper::bpf_ringbuf_output);
    asm.add(R6, 1);
    asm.jump_if(Lt, R6, TURNS as i32, turn);
    asm.mov(R0, R6);
    asm.exit();
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object whose program `send` and its function `deep` fill the stack of 512 bytes that they share. One
/// block of `deep` uses all registers, so a mark there needs stack.
pub(super) fn full_stack() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map());
    let mut function = Assembler::new();
    let (first, second) = (function.label("first"), function.label("second"));
    function.call(Helper::bpf_get_prandom_u32);
    function.store(DW, R10, -256, R0);
    macro_rules! copies {
        ($($register:ident),+) => { $(function.mov($register, R0);)+ };
    }
    copies!(R1, R2, R3, R4, R5, R6, R7, R8, R9);
    function.jump_if(Eq, R0, 7, first);
    function.bind(first);
    function.jump_if(Eq, R0, R1, second);
    function.bind(second);
    macro_rules! sum {
        ($($register:ident),+) => { $(function.add(R0, $register);)+ };
    }
    sum!(R1, R2, R3, R4, R5, R6, R7, R8, R9);
    function.exit();
    let deep = object.function("deep", Signature::returning(i32::describe()), function);
    let mut asm = Assembler::new();
    asm.store(DW, R10, -256, 0);
    asm.call_function(deep);
    reserve(&mut asm, events, 8);
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object whose program `good` sends, and whose program `bad` the verifier refuses: it sends and then reads
/// an uninitialized register.
pub(super) fn good_and_bad() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map());
    let mut asm = Assembler::new();
    reserve(&mut asm, events, 8);
    finish(&mut asm);
    object.program(SECTION, "good", asm);
    let mut asm = Assembler::new();
    reserve(&mut asm, events, 8);
    asm.mov(R0, R9);
    asm.exit();
    object.program(SECTION, "bad", asm);
    parse(object)
}

/// Returns an object whose program `send` sends to the ring `events`, which is pinned by name.
pub(super) fn pinned() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let events = object.map("events", ring_map().pinned_by_name());
    let mut asm = Assembler::new();
    reserve(&mut asm, events, 8);
    finish(&mut asm);
    object.program(SECTION, "send", asm);
    parse(object)
}

/// Returns an object with a ring to which its program sends nothing.
pub(super) fn silent() -> Object {
    let mut object = ObjectBuilder::new("GPL");
    object.map("events", ring_map());
    let mut asm = Assembler::new();
    finish(&mut asm);
    object.program(SECTION, "idle", asm);
    parse(object)
}
