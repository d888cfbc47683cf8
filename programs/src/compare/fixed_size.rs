//! Records of one size, one after the other, built and sent by one of four transports.
//!
//! ```text
//!     context: [ number of records | ring: flags | ring: flags of the last record ]
//!
//!     for each:  space     the stack | a per-CPU value | a reservation: a full ring refuses here
//!                work      write the words of the record
//!                send      perf_event_output | ringbuf_output | ringbuf_submit: a full perf buffer refuses here
//!
//!     return the number of records refused, and the number of records written
//! ```

use super::{Transport, names};
use crate::prelude::*;

/// The parameters of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedSize {
    /// The transport of the records.
    pub transport: Transport,
    /// The size of a record in bytes, at least 8.
    pub size: u32,
    /// The most records of one run, at most 1,000: the verifier walks through each of them.
    pub most: u32,
    /// The part of a record that the program writes.
    pub work: Work,
    /// Whether the first word is the time, in nanoseconds of `CLOCK_MONOTONIC`. Otherwise it is the record's index in
    /// its run, from 0.
    pub timed: bool,
}

/// The part of a record that the program writes before sending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Every word. The record's size is at most 32,760 bytes, as each word is an instruction.
    Words,
    /// The first word, and the last one if the record has at least two.
    Ends,
}

/// The result of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendCount {
    /// Records that were written, whether in the ring or outside it.
    pub worked: u32,
    /// Records that the buffer refused.
    pub refused: u32,
}

impl SendCount {
    /// Decodes the run's return value.
    #[must_use]
    pub fn read(value: u32) -> Self {
        Self { worked: value >> WORKED, refused: value & ((1 << WORKED) - 1) }
    }
}

/// The shift of the tally's upper half, which counts the records written.
const WORKED: u32 = 16;

/// Registers that survive helper calls.
const CONTEXT: R6 = R6;
const TALLY: R7 = R7;
const EVENT: R8 = R8;
const NUMBER: R9 = R9;

/// The offsets of the context's words in bytes.
const COUNT: i16 = 0;
const FLAGS: i16 = 8;
const LAST_FLAGS: i16 = 16;

impl FixedSize {
    /// Returns the object file with the program and its buffer, whose size user space sets.
    ///
    /// # Errors
    ///
    /// If the record is too large for its [`Work`]: the offset of a word has 16 bits.
    pub fn object(&self) -> Result<Vec<u8>, Error> {
        let mut object = ObjectBuilder::new("Dual MIT/GPL");
        object.source(source!("fixed_size.rs"));
        let transport = Sender::new(&mut object, self);

        let mut asm = Assembler::new();
        let (next, refused, sent, done) =
            (asm.label("next"), asm.label("refused"), asm.label("sent"), asm.label("done"));
        asm.mov(CONTEXT, R1);
        asm.mov(TALLY, 0);
        asm.mov(NUMBER, 0);
        asm.bind(next);
        asm.load(DW, R1, CONTEXT, COUNT);
        asm.jump_if(Ge, NUMBER, R1, done);
        transport.allocate(&mut asm, refused, done);
        asm.add(TALLY, 1 << WORKED);
        self.write_record(&mut asm);
        transport.send(&mut asm);
        if self.transport == Transport::Reserve {
            asm.jump(sent);
            asm.bind(refused);
            asm.add(TALLY, 1);
        } else {
            // An error is negative, so its sign bit is the count. As in `flags`, there is no jump.
            asm.rsh(R0, 63);
            asm.add(TALLY, R0);
            asm.bind(refused);
        }
        asm.bind(sent);
        asm.add(NUMBER, 1);
        asm.jump_if(Lt, NUMBER, self.most.cast_signed(), next);
        asm.bind(done);
        asm.mov(R0, TALLY);
        asm.exit();
        object.program("raw_tracepoint", names::PROGRAM, asm);
        object.write()
    }

    /// Writes the record's content.
    fn write_record(&self, asm: &mut Assembler) {
        if self.timed {
            asm.call(Helper::bpf_ktime_get_ns);
            asm.store(DW, EVENT, 0, R0);
        } else {
            asm.store(DW, EVENT, 0, NUMBER);
        }
        match self.work {
            Work::Words => {
                let size = i16::try_from(self.size).unwrap_or(i16::MAX);
                for offset in (8..size - 7).step_by(8) {
                    asm.store(DW, EVENT, offset, NUMBER);
                }
                for offset in size / 8 * 8..size {
                    asm.store(B, EVENT, offset, 0);
                }
            }
            Work::Ends if self.size >= 16 => {
                asm.mov(R1, EVENT);
                asm.add(R1, self.size.cast_signed() - 8);
                asm.store(DW, R1, 0, NUMBER);
            }
            Work::Ends => {}
        }
    }
}

/// A transport with its maps.
struct Sender {
    transport: Transport,
    size: i32,
    events: MapRef,
    /// The map with the per-CPU value, for the transports that build the record in one.
    heap: Option<MapRef>,
}

impl Sender {
    fn new(object: &mut ObjectBuilder, parameters: &FixedSize) -> Self {
        let events = object.map(names::EVENTS, buffer(parameters.transport));
        let heap = matches!(parameters.transport, Transport::Heap | Transport::Output).then(|| {
            let value = MapDef::new(MapType::PERCPU_ARRAY).key_size(4).value_size(parameters.size);
            object.map("heap", value.max_entries(1))
        });
        Self { transport: parameters.transport, size: parameters.size.cast_signed(), events, heap }
    }

    /// Sets [`EVENT`] to the address where the record is built. Jumps to `refused` if the ring has no space.
    fn allocate(&self, asm: &mut Assembler, refused: Label, done: Label) {
        match (self.transport, self.heap) {
            (Transport::Reserve, _) => {
                asm.load_map(R1, self.events);
                asm.mov(R2, self.size);
                asm.mov(R3, 0);
                asm.call(Helper::bpf_ringbuf_reserve);
                asm.jump_if(Eq, R0, 0, refused);
                asm.mov(EVENT, R0);
            }
            (_, Some(heap)) => {
                asm.store(W, R10, -4, 0);
                asm.load_map(R1, heap);
                asm.mov(R2, R10);
                asm.add(R2, -4);
                asm.call(Helper::bpf_map_lookup_elem);
                asm.jump_if(Eq, R0, 0, done); // cannot happen, but the verifier requires the check
                asm.mov(EVENT, R0);
            }
            (_, None) => {
                asm.mov(EVENT, R10);
                asm.add(EVENT, -self.size);
            }
        }
    }

    /// Sends the record. Afterwards R0 is negative if that failed; after a reservation it cannot fail.
    fn send(&self, asm: &mut Assembler) {
        match self.transport {
            Transport::Stack | Transport::Heap => {
                asm.mov(R1, CONTEXT);
                asm.load_map(R2, self.events);
                asm.mov(W3, -1); // BPF_F_CURRENT_CPU
                asm.mov(R4, EVENT);
                asm.mov(R5, self.size);
                asm.call(Helper::bpf_perf_event_output);
            }
            Transport::Reserve => {
                flags(asm);
                asm.mov(R1, EVENT);
                asm.call(Helper::bpf_ringbuf_submit);
            }
            Transport::Output => {
                flags(asm);
                asm.mov(R4, R2);
                asm.load_map(R1, self.events);
                asm.mov(R2, EVENT);
                asm.mov(R3, self.size);
                asm.call(Helper::bpf_ringbuf_output);
            }
        }
    }
}

/// Sets `R2` to the wake-up flags of this record. Destroys R3 and R4.
///
/// There is no jump: in a loop as short as this one, the verifier (5.10) keeps few states to compare others with. Two
/// paths for each record would soon exceed its limit of a million instructions.
fn flags(asm: &mut Assembler) {
    // R3 = 0 for the last record, 1 for the others.
    asm.load(DW, R3, CONTEXT, COUNT);
    asm.sub(R3, NUMBER);
    asm.sub(R3, 1);
    asm.mov(R4, R3);
    asm.neg(R4);
    asm.or(R3, R4);
    asm.rsh(R3, 63);
    // R2 = last + R3 * (flags - last)
    asm.load(DW, R4, CONTEXT, LAST_FLAGS);
    asm.load(DW, R2, CONTEXT, FLAGS);
    asm.sub(R2, R4);
    asm.mul(R2, R3);
    asm.add(R2, R4);
}

/// Returns the definition of the map that a transport sends through. User space sets its size.
pub(super) fn buffer(transport: Transport) -> MapDef {
    if transport.is_ring() {
        MapDef::new(MapType::RINGBUF).max_entries(256 * 1024)
    } else {
        MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_and_size_builds_an_object() {
        for transport in Transport::ALL {
            for (size, work) in [(8, Work::Words), (13, Work::Words), (16_384, Work::Words), (1 << 20, Work::Ends)] {
                let parameters = FixedSize { transport, size, most: 4, work, timed: size == 8 };
                assert_eq!(parameters.object().unwrap()[..4], *b"\x7fELF", "{parameters:?}");
            }
        }
    }

    #[test]
    fn return_value_holds_two_counts() {
        assert_eq!(SendCount::read(0x0003_0002), SendCount { worked: 3, refused: 2 });
    }
}
