//! Runs a program without an event: `BPF_PROG_TEST_RUN`.
//!
//! This is the only method to run a program of the type `syscall`. For a program on packets it is a test: the caller
//! passes a packet, and gets the verdict and the resulting packet (`net/bpf/test_run.c`, `kernel/bpf/syscall.c`).

use std::{io, os::fd::AsFd, time::Duration};

use cutaway_sys::errno::ENOTSUPP;

use crate::{Error, Pod, Program, ProgramType, object::bytes_of, sys::run};

/// The input of a test run. Linux 4.12; with a context 5.2, programs of the type `syscall` 5.14.
///
/// `Send` and `Sync`.
///
/// Needs this crate's feature `test-run`.
#[doc(alias("bpf_test_run_opts", "BPF_PROG_TEST_RUN", "RunOptions"))]
#[derive(Debug, Clone, Default)]
pub struct TestRun {
    /// The packet, for program types that work on one; the kernel requires at least an Ethernet header of 14 bytes, for
    /// netfilter programs an IP header of 20 bytes.
    #[doc(alias = "data_in")]
    pub data: Vec<u8>,
    /// The program's argument in the form that the kernel takes from user space (`struct __sk_buff`, `struct xdp_md`,
    /// or for `syscall` programs any bytes that they read); empty for none.
    #[doc(alias = "ctx_in")]
    pub context: Vec<u8>,
    /// The number of runs; 0 and 1 mean one. More than one works for programs on packets, and for the types
    /// `sk_lookup`, `flow_dissector` and `netfilter`.
    pub repeat: u32,
    /// The CPU on which the program runs, from 0. For raw tracepoints (Linux 5.10); the kernel runs other types on the
    /// caller's CPU.
    #[doc(alias = "BPF_F_TEST_RUN_ON_CPU")]
    pub cpu: Option<u32>,
    /// Flags of the kernel, `BPF_F_TEST_…`: [`TestRun::LIVE_FRAMES`], [`TestRun::CHECKSUM_COMPLETE`], or 0.
    /// [`TestRun::cpu`] sets its own flag.
    pub flags: u32,
    /// The number of live frames that the kernel passes on at once: at most 256; 0 means 64. Only with
    /// [`TestRun::LIVE_FRAMES`].
    pub batch_size: u32,
}

/// The result of a test run.
#[doc(alias = "bpf_test_run_opts")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestRunResult {
    /// The program's return value in the last run; 0 after a run with live frames, whose return values the kernel acts
    /// on.
    pub value: u32,
    /// The resulting packet; for `flow_dissector` programs the `struct bpf_flow_keys` that they have filled. Empty
    /// after a run with live frames.
    pub data: Vec<u8>,
    /// The resulting context, in the kernel's size of the structure. Empty if none was passed, or if the kernel returns
    /// none.
    pub context: Vec<u8>,
    /// The average duration of a run; `None` for types for which the kernel does not measure it: `syscall`, `raw_tp`,
    /// `fentry` and its relatives, `struct_ops`.
    pub duration: Option<Duration>,
}

impl TestRun {
    /// Passes the packets on as if they had arrived on the interface of the context: an `xdp` program's return value
    /// has its effect (`BPF_F_TEST_XDP_LIVE_FRAMES`, Linux 5.18). The kernel returns neither packet nor context.
    #[doc(alias("BPF_F_TEST_XDP_LIVE_FRAMES", "XDP_LIVE_FRAMES"))]
    pub const LIVE_FRAMES: u32 = 1 << 1;
    /// Sets the checksum of the packet, as a network device does that computes it (`BPF_F_TEST_SKB_CHECKSUM_COMPLETE`,
    /// Linux 6.13). For programs on a `struct __sk_buff`.
    #[doc(alias = "BPF_F_TEST_SKB_CHECKSUM_COMPLETE")]
    pub const CHECKSUM_COMPLETE: u32 = 1 << 2;

    /// Returns a run without any input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the context to the bytes of `value`, a structure as the kernel's headers define it or as the program reads
    /// it ([`pod!`](crate::pod)).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let loaded = cutaway::Object::parse(&[])?.load()?;
    /// use cutaway::TestRun;
    ///
    /// cutaway::pod! {
    ///     #[repr(C)]
    ///     pub struct Request {
    ///         pub size: u64,
    ///         pub answer: u64,
    ///     }
    /// }
    ///
    /// let double = loaded.program("double")?; // SEC("syscall")
    /// let result = double.test_run(&TestRun::new().context_of(&Request { size: 21, answer: 0 }))?;
    /// let answer = result.context_as::<Request>().map(|request| request.answer);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn context_of<T: Pod>(mut self, value: &T) -> Self {
        self.context = bytes_of(value);
        self
    }

    /// Returns whether the packets are passed on.
    fn is_live(&self) -> bool {
        self.flags & Self::LIVE_FRAMES != 0
    }
}

impl TestRunResult {
    /// Returns the resulting context as a structure. The kernel's structure may be longer: it has grown with versions.
    /// `None` if it is shorter, or if its bytes are no value of the type.
    #[must_use]
    pub fn context_as<T: Pod>(&self) -> Option<T> {
        self.context.get(..T::SIZE).and_then(T::read_from)
    }
}

impl Program {
    /// Runs the program now (`kernel/bpf/syscall.c`, `net/bpf/test_run.c`).
    ///
    /// A signal interrupts a run with a `repeat` count above 1. It is then started again, up to ten times; the runs
    /// before the signal have taken place, and are in the program's own counts. A run with live frames is not started
    /// again: it would pass more packets on than `repeat`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if programs of this type take no packet, no context, no CPU or not these flags, or can run
    /// only once per call. [`Error::Syscall`] if the kernel refuses:
    ///
    /// - ENOTSUPP or EINVAL if programs of this type cannot be test-run;
    /// - EINVAL if the data or the context does not fit;
    /// - E2BIG if the kernel has no such CPU or flag: CPUs need Linux 5.10;
    /// - EINTR if signals interrupted the run too often, or once with live frames;
    /// - ENOSPC if the program has extended the packet by more than 64 KiB.
    #[doc(alias("bpf_prog_test_run_opts", "BPF_PROG_TEST_RUN", "BPF_PROG_RUN"))]
    pub fn test_run(&self, run: &TestRun) -> Result<TestRunResult, Error> {
        let kind = self.spec().section.program_type;
        let attempt = || format!("run the program `{}` ({kind})", self.name());
        let takes = Takes::of(kind);
        if let Some(why) = takes.objection(run) {
            return Err(Error::Invalid { operation: attempt(), why: why.to_owned() });
        }
        let (answer, result) = takes.run_retrying(self, run);
        answer.map(|()| result).map_err(|error| {
            let plain = Error::kernel(attempt(), &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) if run.is_live() => {
                    plain.advise("live frames need Linux 5.18, and their batches have at most 256 packets")
                }
                Some(libc::EINVAL | libc::EFAULT) => plain.advise(takes.advice()),
                Some(libc::E2BIG) if run.flags != 0 || run.cpu.is_some() || run.batch_size != 0 => {
                    plain.advise("CPUs need Linux 5.10, live frames 5.18, and their batches have at most 256 packets")
                }
                Some(libc::ENXIO) => plain.advise("there is no such CPU, or it is offline"),
                Some(libc::EINTR) if run.is_live() => {
                    plain.advise("a signal interrupted it after some packets were passed on: block the signals")
                }
                Some(libc::EINTR) => plain
                    .advise("signals interrupted it ten times: repeat less often in one call, or block the signals"),
                Some(libc::ENOSPC) => plain.advise("the program has extended the packet by more than 64 KiB"),
                Some(ENOTSUPP) => plain.advise("the kernel cannot run programs of this type without an event"),
                _ => plain,
            }
        })
    }
}

/// The input that the kernel takes for programs of a type.
struct Takes {
    kind: ProgramType,
    /// The kernel runs them once, and refuses or ignores a repeat count; it then measures no duration, either.
    once: bool,
    packet: bool,
    context: bool,
    /// The kernel writes the context back to the input buffer, if at all; for other types it uses a second buffer.
    in_place: bool,
    /// The flags that it takes.
    flags: u32,
}

impl Takes {
    fn of(kind: ProgramType) -> Self {
        use ProgramType as T;
        let any = Self { kind, once: false, packet: true, context: true, in_place: false, flags: 0 };
        match kind {
            // A repeat count or a packet, even an empty one, yields EINVAL.
            T::SYSCALL | T::RAW_TRACEPOINT | T::RAW_TRACEPOINT_WRITABLE => {
                Self { once: true, packet: false, in_place: true, ..any }
            }
            // The kernel calls its own test functions that such programs are attached to, and ignores all input.
            T::TRACING => Self { once: true, packet: false, context: false, in_place: true, ..any },
            // The arguments are the context.
            T::STRUCT_OPS => Self { once: true, packet: false, in_place: true, ..any },
            T::SK_LOOKUP => Self { packet: false, ..any },
            T::XDP => Self { flags: TestRun::LIVE_FRAMES, ..any },
            T::SOCKET_FILTER
            | T::SCHED_CLS
            | T::SCHED_ACT
            | T::CGROUP_SKB
            | T::LWT_IN
            | T::LWT_OUT
            | T::LWT_XMIT
            | T::LWT_SEG6LOCAL
            | T::SK_SKB => Self { flags: TestRun::CHECKSUM_COMPLETE, ..any },
            _ => any,
        }
    }

    fn run_retrying(&self, program: &Program, run: &TestRun) -> (io::Result<()>, TestRunResult) {
        const TIMES: u32 = 10;
        let mut times = 1;
        loop {
            let (answer, result) = self.run(program, run);
            match &answer {
                // Live frames that were passed on cannot be taken back: the caller decides.
                Err(error) if error.raw_os_error() == Some(libc::EINTR) && times < TIMES && !run.is_live() => {
                    times += 1;
                }
                _ => return (answer, result),
            }
        }
    }

    fn run(&self, program: &Program, run: &TestRun) -> (io::Result<()>, TestRunResult) {
        /// Bytes by which a program may extend a packet. If the result does not fit, the call fails after the run.
        const MORE: usize = 64 << 10;
        /// More than any structure for a context has. An odd size, to see whether the kernel has written its own there.
        const CONTEXT: usize = 4097;
        let live = run.is_live();
        let packets = !run.data.is_empty() && !live;
        let returns_context = !run.context.is_empty() && !self.in_place && !live;
        let mut data = vec![0; if packets { run.data.len() + MORE } else { 0 }];
        let mut context = run.context.clone();
        let mut context_out = vec![0; if returns_context { CONTEXT.max(run.context.len() | 1) } else { 0 }];
        let (capacity, room) = (context_out.len(), data.len());
        let request = run::Run {
            data_in: &run.data,
            data_out: &mut data,
            ctx_in: &mut context,
            ctx_out: &mut context_out,
            repeat: if self.once { 0 } else { run.repeat },
            flags: run.flags | if run.cpu.is_some() { run::ON_CPU } else { 0 },
            cpu: run.cpu.unwrap_or(0),
            batch_size: run.batch_size,
        };
        let why = "runs the program on the given input";
        let (answer, ran) = run::prog_test_run(program.as_fd(), request, why);
        data.truncate(ran.data_len.min(room));
        context_out.truncate(if ran.ctx_len == capacity { 0 } else { ran.ctx_len });
        let result = TestRunResult {
            value: ran.retval,
            data,
            context: if self.in_place { context } else { context_out },
            duration: (!self.once).then(|| Duration::from_nanos(ran.duration_ns.into())),
        };
        (answer, result)
    }

    fn objection(&self, run: &TestRun) -> Option<&'static str> {
        if self.once && run.repeat > 1 {
            return Some("the kernel runs programs of this type once per call: make several calls");
        }
        if !self.packet && !run.data.is_empty() {
            return Some(if self.context {
                "programs of this type take a context, and no packet"
            } else {
                "the kernel calls its own test functions for programs of this type, with its own arguments"
            });
        }
        if !self.context && !run.context.is_empty() {
            return Some("the kernel calls its own test functions for programs of this type, with its own arguments");
        }
        let on_cpu = matches!(self.kind, ProgramType::RAW_TRACEPOINT | ProgramType::RAW_TRACEPOINT_WRITABLE);
        if run.cpu.is_some() && !on_cpu {
            return Some("the kernel chooses no CPU for programs of this type: call it from a thread on that CPU");
        }
        if run.flags & run::ON_CPU != 0 {
            return Some("the flag BPF_F_TEST_RUN_ON_CPU is set by the field `cpu`");
        }
        if run.flags & TestRun::LIVE_FRAMES & !self.flags != 0 {
            return Some("only XDP programs run on live frames");
        }
        if run.flags & TestRun::CHECKSUM_COMPLETE & !self.flags != 0 {
            return Some("only programs on a `struct __sk_buff` take a packet with a checksum");
        }
        if run.batch_size != 0 && run.flags & TestRun::LIVE_FRAMES == 0 {
            return Some("a batch size belongs to live frames: set the flag `TestRun::LIVE_FRAMES`");
        }
        if self.kind == ProgramType::SK_LOOKUP && run.context.is_empty() {
            return Some("programs of this type need a context: a `struct bpf_sk_lookup`");
        }
        None
    }

    /// Returns the advice after EINVAL.
    fn advice(&self) -> &'static str {
        match self.kind {
            ProgramType::TRACING => {
                "the kernel runs only programs of the sections fentry, fexit and fmod_ret without an event, on its test functions \
                 bpf_fentry_test1 to 8 and bpf_modify_return_test"
            }
            ProgramType::SYSCALL | ProgramType::RAW_TRACEPOINT => {
                "does the context cover all that the program reads, in at most 65535 bytes (12 words for raw_tp)?"
            }
            _ => "does the kernel run programs of this type, on data and a context of these sizes?",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_that_a_type_does_not_take_is_refused() {
        use ProgramType as T;
        let packet = TestRun { data: vec![0; 14], ..TestRun::default() };
        let context = TestRun { context: vec![0; 8], ..TestRun::default() };
        let once = TestRun { repeat: 1, ..TestRun::default() };
        let twice = TestRun { repeat: 2, ..TestRun::default() };
        for (kind, takes) in [
            // A packet, a context, once, twice.
            (T::SYSCALL, [false, true, true, false]),
            (T::RAW_TRACEPOINT, [false, true, true, false]),
            (T::TRACING, [false, false, true, false]),
            (T::STRUCT_OPS, [false, true, true, false]),
            (T::SK_LOOKUP, [false, true, false, false]),
            (T::SCHED_CLS, [true, true, true, true]),
            (T::XDP, [true, true, true, true]),
        ] {
            let found = [&packet, &context, &once, &twice].map(|run| Takes::of(kind).objection(run).is_none());
            assert_eq!(found, takes, "{kind}");
        }
    }
}
