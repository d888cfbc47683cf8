//! Runs a program without an event: `BPF_PROG_TEST_RUN`.
//!
//! This is the only method to run a program of the type `syscall`. For a program on packets it is a test: the caller
//! passes a packet, and gets the verdict and the resulting packet (`net/bpf/test_run.c`, `kernel/bpf/syscall.c`).

use std::{os::fd::AsFd, time::Duration};

use crate::{Error, Program, ProgramType, sys::run};

/// The input of a test run. Linux 4.12; with a context 5.2, programs of the type `syscall` 5.14.
#[doc(alias("bpf_test_run_opts", "BPF_PROG_TEST_RUN", "RunOptions"))]
#[derive(Debug, Clone, Default)]
pub struct TestRun {
    /// The packet, for program types that work on one; the kernel requires at least an Ethernet header of 14 bytes.
    pub data: Vec<u8>,
    /// The program's argument in the form that the kernel takes from user space (`struct __sk_buff`, `struct xdp_md`,
    /// or for `syscall` programs any bytes that they read); empty for none.
    pub context: Vec<u8>,
    /// The number of runs; 0 and 1 mean one. More than one works for programs on packets, and for the types
    /// `sk_lookup`, `flow_dissector` and `netfilter`.
    pub repeat: u32,
}

/// The result of a test run.
#[doc(alias = "bpf_test_run_opts")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestRunResult {
    /// The program's return value in the last run.
    pub value: u32,
    /// The resulting packet.
    pub data: Vec<u8>,
    /// The resulting context.
    pub context: Vec<u8>,
    /// The average duration of a run; `None` for types for which the kernel does not measure it: `syscall`, `raw_tp`,
    /// `fentry` and its relatives, `struct_ops`.
    pub duration: Option<Duration>,
}

impl Program {
    /// Runs the program now (`kernel/bpf/syscall.c`, `net/bpf/test_run.c`).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if programs of this type take no packet, take no context, or can run only once per call;
    /// [`Error::Syscall`] if the kernel refuses: ENOTSUPP or EINVAL if programs of this type cannot be test-run, EINVAL
    /// if the data or the context does not fit.
    #[doc(alias("bpf_prog_test_run_opts", "BPF_PROG_TEST_RUN", "BPF_PROG_RUN"))]
    pub fn test_run(&self, run: &TestRun) -> Result<TestRunResult, Error> {
        /// The maximum number of bytes by which a program may extend a packet.
        const ROOM: usize = 4096;
        let kind = self.spec().section.program_type;
        let attempt = || format!("run the program `{}` ({kind})", self.name());
        let takes = Takes::of(kind);
        if let Some(why) = takes.objection(run) {
            return Err(Error::Invalid { operation: attempt(), why: why.to_owned() });
        }
        let packets = !run.data.is_empty();
        let mut data = vec![0; if packets { run.data.len() + ROOM } else { 0 }];
        let mut context = run.context.clone();
        let mut context_out = vec![0; if takes.in_place { 0 } else { context.len() }];
        let request = run::Run {
            data_in: &run.data,
            data_out: &mut data,
            ctx_in: &mut context,
            ctx_out: &mut context_out,
            repeat: if takes.once { 0 } else { run.repeat },
        };
        let ran =
            run::prog_test_run(self.as_fd(), request, "runs the program on the given input").map_err(|error| {
                let plain = Error::kernel(attempt(), &error);
                match error.raw_os_error() {
                    Some(libc::EINVAL | libc::EFAULT) => plain.advise(takes.advice()),
                    Some(524) => plain.advise("the kernel cannot run programs of this type without an event"),
                    _ => plain,
                }
            })?;
        data.truncate(if packets { ran.data_len } else { 0 });
        Ok(TestRunResult {
            value: ran.retval,
            data,
            context: if takes.in_place { context } else { context_out },
            duration: (!takes.once).then(|| Duration::from_nanos(ran.duration_ns.into())),
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
}

impl Takes {
    fn of(kind: ProgramType) -> Self {
        use ProgramType as T;
        let any = Self { kind, once: false, packet: true, context: true, in_place: false };
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
            _ => any,
        }
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
