//! The transport [`PerfStack`](super::Transport::PerfStack): builds the event on the BPF stack. `bpf_perf_event_output`
//! copies it into the CPU's perf buffer.
//!
//! The stack has 512 bytes for everything, and the verifier requires every byte that is sent to be initialized. So the
//! event is small, long names are truncated, and all of it is zeroed first. A full buffer is detected only at output
//! time, when all the work is done.

use super::{
    heap::perf_event_output,
    losses::Counters,
    return_probe::{EVENT, Layout, NOW, SCRATCH, Transmit},
};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("stack.rs");

pub(super) struct Stack {
    events: MapRef,
}

impl Stack {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        object.describe::<super::StackEvent>();
        Self { events: super::heap::perf_event_array(object) }
    }
}

impl Transmit for Stack {
    const LAYOUT: Layout = Layout::STACK_EVENT;

    fn begin(&self, asm: &mut Assembler, _: &Counters, _: Label) {
        const START: i16 = SCRATCH - Stack::LAYOUT.size as i16;
        // R1 = 0, but the verifier does not know that. If it knew the event's first state byte by byte, it would follow
        // each change through every iteration of the list. On Linux 5.10 that takes a quarter of a million instructions
        // instead of 21,000.
        asm.mov(R1, NOW);
        asm.sub(R1, NOW);
        for offset in (START..SCRATCH).step_by(8) {
            asm.store(DW, R10, offset, R1);
        }
        asm.mov(EVENT, R10);
        asm.add(EVENT, i32::from(START));
    }

    fn send(&self, asm: &mut Assembler, losses: &Counters) {
        perf_event_output(asm, self.events, Self::LAYOUT.size, losses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_and_scratch_leave_room_for_a_function_call() {
        // The chain of calls has 512 bytes in all; each frame is rounded up to 32.
        let frame = Stack::LAYOUT.size - i32::from(SCRATCH);
        assert!((frame + 31) / 32 * 32 + 32 <= 512, "{frame}");
    }
}
