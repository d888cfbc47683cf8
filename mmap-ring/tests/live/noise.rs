//! Records that cannot be taken for one another: every byte of one follows from its number, so a reader knows all of
//! them without being told.
//!
//! ```text
//!  length and place   by a multiplicative hash of the head
//!  bytes 0 to 8       the head, little-endian: number << 8 | producer
//!  bytes 8 to end     pattern[place + 8 ..], where `pattern` is noise that both sides have
//! ```
//!
//! A producer is a program that puts the head into its own copy of the pattern, lets `bpf_ringbuf_output` copy the
//! record out of it, and mends the pattern: one copy for a record, and one comparison of long runs of bytes for the
//! reader. Records shorter than eight bytes show as much of the head as there is room for. Those of length 0 cannot say
//! whose they are; they are counted.

use std::os::fd::{AsFd, OwnedFd};

use crate::PAGE;
use crate::kernel::insn::{
    add, add_imm, and_imm, call, exit, jeq_imm, jge, jlt_imm, jne_imm, load, load_imm64, lsh_imm, map, mov, mov_imm,
    mul, mul_imm, or, rsh_imm, store, store_u32, to_le,
};
use crate::kernel::{self, LOOKUP, MOST, OUTPUT, create_map, load_program, update_map};

/// More than one for each CPU of a small machine, so that some are interrupted with a record reserved.
pub(crate) const PRODUCERS: u64 = 3;
/// The longest record.
const LONGEST: u64 = 4000;
/// The last place in the pattern where a record begins; all are multiples of eight below.
const LAST_PLACE: u64 = 0x1ff8;
/// How long the pattern is.
const PATTERN: usize = 3 * PAGE as usize;
/// The hash's factor: 2 to the 64th over the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const _: () = assert!((LAST_PLACE + LONGEST) as usize <= PATTERN && LAST_PLACE < PATTERN as u64 - 8);

/// Length and place of the record with this head: what the program calculates too.
fn shape(head: u64) -> (usize, usize) {
    let hash = head.wrapping_mul(FACTOR);
    let length = ((hash >> 32) * (LONGEST + 1)) >> 32;
    (length as usize, (hash >> 8 & LAST_PLACE) as usize)
}

/// Noise, by xorshift64*.
fn pattern() -> Vec<u8> {
    let mut state = FACTOR;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    (0..PATTERN / 8).flat_map(|_| next().to_ne_bytes()).collect()
}

/// What a reader has seen.
pub(crate) struct Received {
    pattern: Vec<u8>,
    /// What no number reaches.
    limit: u64,
    /// Of each producer, the first number that may come next.
    due: [u64; PRODUCERS as usize],
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Records without a byte, which belong to anybody.
    pub(crate) empty: u64,
}

impl Received {
    pub(crate) fn new(limit: u64) -> Self {
        Self { pattern: pattern(), limit, due: [0; PRODUCERS as usize], received: 0, bytes: 0, empty: 0 }
    }

    /// Checks all of a record, and that it is not older than what came before it from the same producer.
    pub(crate) fn record(&mut self, record: &[u8]) {
        self.received += 1;
        self.bytes += record.len() as u64;
        let Some((producer, _)) = record.split_first() else {
            self.empty += 1;
            return;
        };
        let due = &mut self.due[usize::from(*producer)];
        let number = match record.first_chunk() {
            Some(head) => u64::from_le_bytes(*head) >> 8,
            // The first one from the due one on that looks like it, and nearly always the due one itself.
            None => (*due..self.limit)
                .find(|number| {
                    let head = number << 8 | u64::from(*producer);
                    shape(head).0 == record.len() && head.to_le_bytes().starts_with(record)
                })
                .expect("a number that makes such a short record"),
        };
        assert!(number >= *due, "producer {producer}: {number} came after {}", *due - 1);
        *due = number + 1;
        let (length, place) = shape(number << 8 | u64::from(*producer));
        assert_eq!(record.len(), length, "length of {number} of producer {producer}");
        if let (Some(rest), Some(expected)) = (record.get(8..), self.pattern.get(place + 8..place + length)) {
            assert!(rest == expected, "bytes of {number} of producer {producer}");
        }
    }
}

/// How many records of a producer's first `sent` have no byte.
pub(crate) fn empty_of(producer: u64, sent: u64) -> u64 {
    (0..sent).filter(|number| shape(number << 8 | producer).0 == 0).count() as u64
}

/// The program, and a copy of the pattern for each producer.
pub(crate) struct Program {
    program: OwnedFd,
    _patterns: OwnedFd,
}

impl Program {
    pub(crate) fn new(ring: &impl AsFd) -> Self {
        let pattern = pattern();
        let patterns = create_map(kernel::MAP_TYPE_ARRAY, 4, PATTERN as u32, PRODUCERS as u32, 0).expect("an array");
        for producer in 0..PRODUCERS {
            update_map(patterns.as_fd(), producer as u32, &pattern);
        }
        let [patterns_low, patterns_high] = map(patterns.as_fd());
        let [ring_low, ring_high] = map(ring.as_fd());
        let [factor_low, factor_high] = load_imm64(1, FACTOR);
        // The context: u64 count, number of the first record, producer. r6 is the context, r7 the pattern, r8 the head,
        // r9 how many were sent, which is the result.
        let program = load_program(&[
            mov(6, 1),
            mov_imm(9, 0),
            load(1, 6, 16),
            store_u32(10, -4, 1),
            mov(2, 10),
            add_imm(2, -4),
            patterns_low,
            patterns_high,
            call(LOOKUP),
            jeq_imm(0, 0, 34),
            mov(7, 0),
            // The loop: the head,
            load(1, 6, 0),
            jge(9, 1, 31),
            load(8, 6, 8),
            add(8, 9),
            lsh_imm(8, 8),
            load(1, 6, 16),
            or(8, 1),
            // its length in r3 and its place in r2,
            factor_low,
            factor_high,
            mul(1, 8),
            mov(3, 1),
            rsh_imm(3, 32),
            mul_imm(3, LONGEST as i32 + 1),
            rsh_imm(3, 32),
            rsh_imm(1, 8),
            and_imm(1, LAST_PLACE as i32),
            mov(2, 7),
            add(2, 1),
            // the head in its place, and what it covers on the stack,
            load(1, 2, 0),
            store(10, -16, 2),
            store(10, -24, 1),
            to_le(8),
            store(2, 0, 8),
            ring_low,
            ring_high,
            mov_imm(4, 0),
            call(OUTPUT),
            // and the pattern as it was.
            load(2, 10, -16),
            load(1, 10, -24),
            store(2, 0, 1),
            jne_imm(0, 0, 2),
            add_imm(9, 1),
            jlt_imm(9, MOST as i32, -33),
            mov(0, 9),
            exit(),
        ]);
        Self { program, _patterns: patterns }
    }

    /// Sends `count` records of `producer`, the first one of number `first`, or as many as go in. Answers how many did.
    pub(crate) fn send(&self, producer: u64, first: u64, count: u64) -> u64 {
        kernel::run(&self.program, &[count, first, producer])
    }
}
