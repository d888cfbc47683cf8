//! The transport [`PerfHeap`](super::Transport::PerfHeap): builds the event in a value of a per-CPU array, the "heap".
//! `bpf_perf_event_output` copies it into the CPU's perf buffer.
//!
//! That escapes the limit of 512 bytes and nothing else: there are still two copies, and overflow is still detected
//! only at output time.
//!
//! The heap has a trap of its own. Since Linux 6.0 a uprobe's program can be preempted by another task that runs the
//! same program on the same CPU. That program would build its event in the same value, on top of the first. So the
//! array has a few values, each with a counter of the programs that claim it. A program takes a value that no other
//! program claims.

use super::{
    Event, Reason,
    losses::Counters,
    return_probe::{EVENT, Layout, SCRATCH, Transmit},
};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("heap.rs");

/// The number of tasks on one CPU that can build an event at the same time.
const SLOTS: u32 = 4;

/// A value of the heap.
#[repr(C)]
struct Slot {
    /// The number of programs that claim this value. The program that reads 1 after its own increment owns it.
    claims: u64,
    event: Event,
}
describe!(Slot { claims, event });

pub(super) struct Heap {
    events: MapRef,
    heap: MapRef,
}

impl Heap {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        object.describe::<Event>();
        let heap = MapDef::new(MapType::PERCPU_ARRAY).key::<u32>().value::<Slot>().max_entries(SLOTS);
        Self { events: perf_event_array(object), heap: object.map("heap", heap) }
    }
}

impl Transmit for Heap {
    const LAYOUT: Layout = Layout::EVENT;

    fn begin(&self, asm: &mut Assembler, losses: &Counters, lost: Label) {
        let found = asm.label("found");
        for slot in 0..SLOTS {
            let next = asm.label("next_slot");
            asm.store(W, R10, SCRATCH, slot.cast_signed());
            asm.load_map(R1, self.heap);
            asm.mov(R2, R10);
            asm.add(R2, i32::from(SCRATCH));
            asm.call(Helper::bpf_map_lookup_elem);
            asm.jump_if(Eq, R0, 0, next);
            // Increment first, then read: of two programs that preempt each other, at most one reads 1.
            asm.mov(R1, 1);
            asm.atomic_add(DW, R0, offset!(Slot, claims), R1);
            asm.load(DW, R1, R0, offset!(Slot, claims));
            asm.mov(EVENT, R0);
            asm.add(EVENT, i32::from(offset!(Slot, event)));
            asm.jump_if(Eq, R1, 1, found);
            release(asm);
            asm.bind(next);
        }
        losses.count(asm, Reason::Refused);
        asm.jump(lost);
        asm.bind(found);
        super::return_probe::zero_fixed_part(asm);
    }

    fn send(&self, asm: &mut Assembler, losses: &Counters) {
        perf_event_output(asm, self.events, Self::LAYOUT.size, losses);
        release(asm);
    }
}

/// Releases the slot that [`EVENT`] is in. Destroys R1.
#[track_caller]
fn release(asm: &mut Assembler) {
    asm.mov(R1, -1);
    asm.atomic_add(DW, EVENT, offset!(Slot, claims) - offset!(Slot, event), R1);
}

/// Adds the map of perf buffers, one slot for each CPU. Its size stays 0: only the loader knows the number of CPUs.
pub(super) fn perf_event_array(object: &mut ObjectBuilder) -> MapRef {
    let definition = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0);
    object.map(super::names::EVENTS, definition)
}

/// Copies the event into this CPU's perf buffer, and counts a failure by its errno. Destroys R0 to R5.
#[track_caller]
pub(super) fn perf_event_output(asm: &mut Assembler, events: MapRef, size: i32, losses: &Counters) {
    const ENOENT: i32 = -2;
    const ENOSPC: i32 = -28;
    const EOPNOTSUPP: i32 = -95;
    let (sent, full, no_buffer) = (asm.label("sent"), asm.label("full"), asm.label("no_buffer"));
    asm.mov(R1, super::return_probe::CONTEXT);
    asm.load_map(R2, events);
    asm.mov(W3, -1); // BPF_F_CURRENT_CPU
    asm.mov(R4, EVENT);
    asm.mov(R5, size);
    asm.call(Helper::bpf_perf_event_output);
    asm.jump_if(Eq, R0, 0, sent);
    asm.jump_if(Eq, R0, ENOSPC, full);
    asm.jump_if(Eq, R0, ENOENT, no_buffer);
    asm.jump_if(Eq, R0, EOPNOTSUPP, no_buffer);
    losses.count(asm, Reason::Refused);
    asm.jump(sent);
    asm.bind(full);
    losses.count(asm, Reason::Full);
    asm.jump(sent);
    asm.bind(no_buffer);
    losses.count(asm, Reason::NoBuffer);
    asm.bind(sent);
}
