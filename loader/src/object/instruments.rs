//! What the caller asks to be inserted into the programs when they are loaded.

use super::Object;

/// The insertions that the caller asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Instruments {
    pub(crate) losses: bool,
    pub(crate) coverage: bool,
    pub(crate) no_ops: bool,
}

impl Object {
    /// Makes loading insert instructions that count the records that a buffer refused: a full ring refuses records and
    /// counts nothing itself. [`Loaded::losses`](crate::Loaded::losses) returns the counts, for each map and for each
    /// call in the source.
    ///
    /// Counted are failed calls of `bpf_ringbuf_reserve`, `bpf_ringbuf_output`, `bpf_ringbuf_reserve_dynptr`,
    /// `bpf_perf_event_output`, `bpf_skb_output` and `bpf_xdp_output`. A failure is not always a full buffer: the
    /// record can be larger than the buffer, or a perf event array can have no buffer for the CPU. While no call fails,
    /// the cost is one conditional jump for each call.
    ///
    /// A ring that overwrites its oldest records (`BPF_F_RB_OVERWRITE`, Linux 6.19) loses them without a failed call. So
    /// its losses are unknown.
    ///
    /// If the verifier refuses a program with these instructions, the program is loaded without them, and its losses
    /// are unknown, with the verifier's reason. The counters are in an array map `cutaway_losses`, which is not one of
    /// [`Loaded::maps`](crate::Loaded::maps). An object without such calls is loaded as it is. Linux 5.5.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut object = cutaway::Object::parse(&std::fs::read("probes.o")?)?;
    /// object.count_losses();
    /// let loaded = object.load()?;
    /// let _links = loaded.attach()?;
    /// // …
    /// for map in loaded.losses().ok_or("not counted")?.maps()? {
    ///     match map.exact() {
    ///         Some(lost) => println!("{}: {lost} records lost", map.map),
    ///         None => println!("{}: unknown", map.map),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_losses(&mut self) -> &mut Self {
        self.instruments.losses = true;
        self
    }

    /// Makes loading insert instructions that mark each basic block that runs: a run of instructions without a jump
    /// into or out of its middle. [`Loaded::coverage`](crate::Loaded::coverage) returns the source lines that have run.
    ///
    /// A mark is one store of a byte. It needs a register that the program does not use at that point, or eight free
    /// bytes of stack. Without either, the block is not marked, and its lines are not measured unless the blocks
    /// around it tell whether it ran. If the verifier refuses a program with the marks, the program is loaded without
    /// them, and its lines are not measured. [`Coverage::not_measured`](crate::Coverage::not_measured) has the reasons.
    ///
    /// The marks are in an array map `cutaway_cover`, which is not one of [`Loaded::maps`](crate::Loaded::maps).
    /// Linux 5.5.
    pub fn cover(&mut self) -> &mut Self {
        self.instruments.coverage = true;
        self
    }

    /// Makes loading insert an instruction without effect, `goto +0`, before each instruction, and nothing else. Tests
    /// use it: a program does the same with these instructions as without.
    #[doc(hidden)]
    pub fn insert_no_ops(&mut self) -> &mut Self {
        self.instruments.no_ops = true;
        self
    }
}
