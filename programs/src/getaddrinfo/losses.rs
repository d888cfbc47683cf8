//! Counts the events that could not be sent.
//!
//! The kernel does not count a ring's failed reservations, and reports a full perf buffer only when it has space again.
//! The program knows the loss and its reason at once. So it counts, for each CPU, in the one value of a per-CPU array.

use crate::{Assembler, FunctionRef, prelude::*};

pub(super) const SOURCE: crate::Source = source!("losses.rs");

/// The events that were not sent on one CPU, by reason. The value of the map [`LOSSES`](super::names::LOSSES).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// The buffer had no space: `bpf_ringbuf_reserve` returned null, or `bpf_perf_event_output` returned ENOSPC. A perf
    /// buffer also reports these as `PERF_RECORD_LOST`.
    pub full: u64,
    /// No perf buffer is open for this CPU (ENOENT, EOPNOTSUPP): the CPU came online after the reader started.
    pub no_buffer: u64,
    /// `bpf_perf_event_output` failed with another errno, or no heap slot was free.
    pub refused: u64,
    /// A return without the call's entry: the map `calls` refused the entry, or newer entries replaced it.
    pub no_entry: u64,
    /// A process that was not followed, with all its calls and children: the set was full.
    pub not_followed: u64,
}
describe!(Losses { full, no_buffer, refused, no_entry, not_followed });

/// The reason why an event was not sent.
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
    /// Returns the offset in bytes of the reason's counter in [`Losses`].
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
    /// Decodes the value of one CPU; `None` if it has another length.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let words: [u64; 5] = <[[u8; 8]; 5]>::try_from(words).ok()?.map(u64::from_ne_bytes);
        let [full, no_buffer, refused, no_entry, not_followed] = words;
        rest.is_empty().then_some(Self { full, no_buffer, refused, no_entry, not_followed })
    }

    /// Returns the sum of all but [`Losses::full`]: the losses that no buffer can report.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        self.no_buffer + self.refused + self.no_entry + self.not_followed
    }
}

/// The map of counters, and the function that increments them.
pub(super) struct Counters {
    count: FunctionRef,
}

impl Counters {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        let definition = MapDef::new(MapType::PERCPU_ARRAY).key::<u32>().value::<Losses>().max_entries(1);
        let losses = object.map(super::names::LOSSES, definition);

        // count(R1: the counter, as an offset in bytes into `Losses`)
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
        asm.jump_if(Gt, R6, size!(Losses) - 8, done); // cannot happen, but the verifier requires the check
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
