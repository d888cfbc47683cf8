//! Records of one size, one after the other, in one of four ways.
//!
//! ```text
//!     context: [ how many | ring: flags | ring: flags of the last one ]
//!
//!     for each:  room      the stack | a per-CPU value | a reservation: here a full ring says no
//!                work      write the words of the record
//!                send      perf_event_output | ringbuf_output | ringbuf_submit: here a full perf buffer says no
//!     return how many were refused, and how many were worked on
//! ```

use super::{Transport, names};
use crate::prelude::*;

/// What the program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedSize {
    /// How records are built and sent.
    pub transport: Transport,
    /// Bytes of a record, at least 8.
    pub size: u32,
    /// The most records of one run, at most 1,000: the verifier walks through each of them.
    pub most: u32,
    /// What is written into a record.
    pub work: Work,
    /// Whether the first word is the time, in nanoseconds of `CLOCK_MONOTONIC`; otherwise it is the record's number in
    /// its run, from 0.
    pub timed: bool,
}

/// What a program writes into a record before it sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Every word. For records of up to 32,760 bytes, each word being an instruction.
    Words,
    /// The first word, and the last one if there is room for two.
    Ends,
}

/// What one run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendCount {
    /// Records that were written, wherever that was.
    pub worked: u32,
    /// Records that were not sent.
    pub refused: u32,
}

impl SendCount {
    /// From the run's return value.
    #[must_use]
    pub fn read(value: u32) -> Self {
        Self { worked: value >> WORKED, refused: value & ((1 << WORKED) - 1) }
    }
}

/// The tally's upper half counts what was worked on.
const WORKED: u32 = 16;

/// What survives calls of helpers.
const CONTEXT: R6 = R6;
const TALLY: R7 = R7;
const EVENT: R8 = R8;
const NUMBER: R9 = R9;

/// The context's words.
const COUNT: i16 = 0;
const FLAGS: i16 = 8;
const LAST_FLAGS: i16 = 16;

impl FixedSize {
    /// The object file with the program and its buffer, whose size user space sets.
    ///
    /// # Errors
    ///
    /// If the size does not suit the work: a word's offset has 16 bits.
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
        transport.room(&mut asm, refused, done);
        asm.add(TALLY, 1 << WORKED);
        self.work(&mut asm);
        transport.send(&mut asm);
        if self.transport == Transport::Reserve {
            asm.jump(sent);
            asm.bind(refused);
            asm.add(TALLY, 1);
        } else {
            // An error is negative. As in `flags`, without a jump.
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

    /// Writes the record.
    fn work(&self, asm: &mut Assembler) {
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
    /// For the ways that build the record in a value of a map.
    heap: Option<MapRef>,
}

impl Sender {
    fn new(object: &mut ObjectBuilder, burst: &FixedSize) -> Self {
        let events = object.map(names::EVENTS, buffer(burst.transport));
        let heap = matches!(burst.transport, Transport::Heap | Transport::Output).then(|| {
            let value = MapDef::new(MapType::PERCPU_ARRAY).key_size(4).value_size(burst.size);
            object.map("heap", value.max_entries(1))
        });
        Self { transport: burst.transport, size: burst.size.cast_signed(), events, heap }
    }

    /// Makes [`EVENT`] the address where the record is built; goes to `refused` if the buffer says that there is none.
    fn room(&self, asm: &mut Assembler, refused: Label, done: Label) {
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
                asm.jump_if(Eq, R0, 0, done); // never; but the verifier wants to see it
                asm.mov(EVENT, R0);
            }
            (_, None) => {
                asm.mov(EVENT, R10);
                asm.add(EVENT, -self.size);
            }
        }
    }

    /// Sends the record. R0 is negative then if that failed, which after a reservation it cannot.
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

/// `R2 = the wake-up flags of this record`. Destroys R3 and R4.
///
/// Without a jump: in a loop as short as this one the verifier (5.10) keeps few states to compare others with, and two
/// paths for each record would be a million soon.
fn flags(asm: &mut Assembler) {
    // R3 = 0 for the last record, 1 for others.
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

/// The map that a transport sends through; its size is user space's business.
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
    fn every_way_and_size_is_an_object() {
        for transport in Transport::ALL {
            for (size, work) in [(8, Work::Words), (13, Work::Words), (16_384, Work::Words), (1 << 20, Work::Ends)] {
                let burst = FixedSize { transport, size, most: 4, work, timed: size == 8 };
                assert_eq!(burst.object().unwrap()[..4], *b"\x7fELF", "{burst:?}");
            }
        }
    }

    #[test]
    fn a_tally_is_two_halves() {
        assert_eq!(SendCount::read(0x0003_0002), SendCount { worked: 3, refused: 2 });
    }
}
