//! Counting what could not be sent.
//!
//! The kernel counts no failed reservations of a ring, and tells of a full perf buffer only when there is room again.
//! The program itself knows at once, and why; so it counts, for each CPU, in the one value of a per-CPU array.

use crate::{Assembler, FunctionRef, prelude::*};

pub(super) const SOURCE: crate::Source = source!("losses.rs");

/// Events that were not sent on one CPU, by reason. The value of the map [`LOSSES`](super::names::LOSSES).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// The buffer had no room: `bpf_ringbuf_reserve` gave null, or `bpf_perf_event_output` said ENOSPC. A perf buffer
    /// reports these, too, as LOST records.
    pub full: u64,
    /// No perf buffer is open for this CPU (ENOENT, EOPNOTSUPP): it came online after the reader had started.
    pub no_buffer: u64,
    /// Any other refusal of `bpf_perf_event_output`, or no free heap.
    pub refused: u64,
    /// A call's return without its entry: the map `calls` had not taken it, or newer ones had pushed it out.
    pub no_entry: u64,
    /// A process that was not followed, with all its calls and children: the set was full.
    pub not_followed: u64,
}
describe!(Losses { full, no_buffer, refused, no_entry, not_followed });

/// Why an event was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// [`Losses::full`]
    Full,
    /// [`Losses::no_buffer`]
    NoBuffer,
    /// [`Losses::refused`]
    Refused,
    /// [`Losses::no_entry`]
    NoEntry,
    /// [`Losses::not_followed`]
    NotFollowed,
}

impl Reason {
    /// Where the reason's counter is in [`Losses`], in bytes.
    fn offset(self) -> i32 {
        i32::from(match self {
            Self::Full => offset!(Losses, full),
            Self::NoBuffer => offset!(Losses, no_buffer),
            Self::Refused => offset!(Losses, refused),
            Self::NoEntry => offset!(Losses, no_entry),
            Self::NotFollowed => offset!(Losses, not_followed),
        })
    }
}

impl Losses {
    /// Reads the value of one CPU; `None` if it has another length.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let words: [u64; 5] = <[[u8; 8]; 5]>::try_from(words).ok()?.map(u64::from_ne_bytes);
        let [full, no_buffer, refused, no_entry, not_followed] = words;
        rest.is_empty().then_some(Self { full, no_buffer, refused, no_entry, not_followed })
    }

    /// All but [`Losses::full`]: what no buffer can know of.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.no_buffer + self.refused + self.no_entry + self.not_followed
    }
}

/// The map and the function that counts into it.
pub(super) struct Counters {
    count: FunctionRef,
}

impl Counters {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        let definition = MapDef::new(MapType::PERCPU_ARRAY).key::<u32>().value::<Losses>().max_entries(1);
        let losses = object.map(super::names::LOSSES, definition);

        // count(R1: which counter, as an offset into `Losses`)
        let mut asm = Assembler::new();
        let done = asm.label("done");
        const KEY: i16 = -4;
        asm.mov(R6, R1);
        asm.store(W, R10, KEY, 0);
        asm.load_map(R1, losses);
        asm.mov(R2, R10);
        asm.add(R2, i32::from(KEY));
        asm.call(Helper::bpf_map_lookup_elem);
        asm.jump_if(Eq, R0, 0, done);
        asm.jump_if(Gt, R6, size!(Losses) - 8, done); // never; but the verifier wants to see it
        asm.add(R0, R6);
        asm.mov(R1, 1);
        asm.atomic_add(DW, R0, 0, R1); // another program may interrupt this one on its CPU
        asm.bind(done);
        asm.mov(R0, 0);
        asm.exit();
        let signature = Signature::returning(i32::describe()).takes("counter", u64::describe());
        Self { count: object.function("count_loss", signature, asm) }
    }

    /// Counts one loss. Destroys R0 to R5.
    #[track_caller]
    pub(super) fn count(&self, asm: &mut Assembler, reason: Reason) {
        asm.mov(R1, reason.offset());
        asm.call_function(self.count);
    }
}
