//! The transport [`Ring`](super::Transport::Ring): reserves space inside the ring, builds the event there, submits it.
//!
//! Nothing is copied. If there is no space, the program knows before the work begins. After a reservation, submitting
//! cannot fail.

use super::{
    Event, Reason,
    losses::Counters,
    return_probe::{EVENT, Layout, Transmit},
};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("ring.rs");

pub(super) struct Ring {
    events: MapRef,
}

impl Ring {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        object.describe::<Event>();
        let definition = MapDef::new(MapType::RINGBUF).max_entries(256 * 1024);
        Self { events: object.map(super::names::EVENTS, definition) }
    }
}

impl Transmit for Ring {
    const LAYOUT: Layout = Layout::EVENT;

    fn begin(&self, asm: &mut Assembler, losses: &Counters, lost: Label) {
        let reserved = asm.label("reserved");
        asm.load_map(R1, self.events);
        asm.mov(R2, Self::LAYOUT.size);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_ringbuf_reserve);
        asm.mov(EVENT, R0);
        asm.jump_if(Ne, EVENT, 0, reserved);
        losses.count(asm, Reason::Full);
        asm.jump(lost);
        asm.bind(reserved);
        super::return_probe::zero_fixed_part(asm);
    }

    fn send(&self, asm: &mut Assembler, _: &Counters) {
        asm.mov(R1, EVENT);
        asm.mov(R2, 0); // wake the reader if it is waiting for this record
        asm.call(Helper::bpf_ringbuf_submit);
    }
}
