//! Running a program without an event: `BPF_PROG_TEST_RUN`.
//!
//! For a program of the kind `syscall` it is the only way to run. For those on packets it is a test: the packet is given, and
//! the verdict and what became of the packet come back. (`net/bpf/test_run.c`, `kernel/bpf/syscall.c`.)

use std::{os::fd::AsFd, time::Duration};

use crate::{Error, Program, ProgramType, sys::run};

/// What a program is run on. Linux 4.12; with a context 5.2, programs of the kind `syscall` 5.14.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The packet, for kinds that work on one; the kernel wants at least an Ethernet header of 14 bytes.
    pub data: Vec<u8>,
    /// The program's argument as the kernel wants it from user space (`struct __sk_buff`, `struct xdp_md`, or for `syscall`
    /// programs whatever they read); empty for none.
    pub context: Vec<u8>,
    /// How often to run it; 0 and 1 mean once.
    pub repeat: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The program's answer, that of the last run.
    pub value: u32,
    /// What became of the packet.
    pub data: Vec<u8>,
    /// What became of the context.
    pub context: Vec<u8>,
    /// What a run took, on average.
    pub duration: Duration,
}

impl Program {
    /// Runs the program now.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] if the kernel refuses: ENOTSUPP or EINVAL if programs of this kind cannot be run so, EINVAL if the
    /// data or the context does not suit.
    pub fn test_run(&self, run: &Run) -> Result<Outcome, Error> {
        /// Programs may make a packet longer; more than this they cannot.
        const ROOM: usize = 4096;
        let kind = self.spec().section.program_type;
        let packets = !run.data.is_empty();
        let mut data = vec![0; if packets { run.data.len() + ROOM } else { 0 }];
        let mut context = run.context.clone();
        // These two get their context back where they gave it; the others want a second place for it.
        let in_place = matches!(kind, ProgramType::SYSCALL | ProgramType::RAW_TRACEPOINT);
        let mut context_out = vec![0; if in_place { 0 } else { context.len() }];
        let request = run::Run {
            data_in: &run.data,
            data_out: &mut data,
            ctx_in: &mut context,
            ctx_out: &mut context_out,
            repeat: run.repeat,
        };
        let ran =
            run::prog_test_run(self.as_fd(), request, "runs the program on what it is given").map_err(|error| {
                let plain = Error::kernel(format!("run the program `{}` ({kind})", self.name()), &error);
                match error.raw_os_error() {
                    Some(libc::EINVAL) => {
                        plain.advise("does the kernel run this kind of program, on data and a context of these sizes?")
                    }
                    _ => plain,
                }
            })?;
        data.truncate(if packets { ran.data_len } else { 0 });
        Ok(Outcome {
            value: ran.retval,
            data,
            context: if in_place { context } else { context_out },
            duration: Duration::from_nanos(ran.duration_ns.into()),
        })
    }
}
