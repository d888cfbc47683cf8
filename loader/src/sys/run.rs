//! bpf(2): the command that runs a program without an event, `BPF_PROG_TEST_RUN`.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, os::fd::BorrowedFd};

use super::{
    attr::{Pointer, ProgTestRun},
    bpf::{Command, bpf, length, number},
};

/// `BPF_F_TEST_RUN_ON_CPU`
pub(crate) const ON_CPU: u32 = 1;

/// The input and output buffers of a run. The kernel takes an empty slice as "not given".
pub(crate) struct Run<'a> {
    pub(crate) data_in: &'a [u8],
    pub(crate) data_out: &'a mut [u8],
    /// Writable, since for some program types the kernel writes the context back here.
    pub(crate) ctx_in: &'a mut [u8],
    pub(crate) ctx_out: &'a mut [u8],
    pub(crate) repeat: u32,
    /// `BPF_F_TEST_…`
    pub(crate) flags: u32,
    pub(crate) cpu: u32,
    pub(crate) batch_size: u32,
}

/// The results of a run.
pub(crate) struct Ran {
    pub(crate) retval: u32,
    /// The size of the resulting data in bytes, which may exceed the buffer if the call failed with ENOSPC.
    pub(crate) data_len: usize,
    pub(crate) ctx_len: usize,
    pub(crate) duration_ns: u32,
}

/// Runs a program (4.12; with a context 5.2). The results of a failed call are those that the kernel has written before
/// it failed.
pub(crate) fn prog_test_run(program: BorrowedFd<'_>, run: Run<'_>, why: &str) -> (io::Result<()>, Ran) {
    let mut attr = ProgTestRun { prog_fd: number(program), ..Default::default() };
    let sizes = [run.data_in.len(), run.data_out.len(), run.ctx_in.len(), run.ctx_out.len()].map(length);
    let answer = match sizes {
        [Ok(data_size_in), Ok(data_size_out), Ok(ctx_size_in), Ok(ctx_size_out)] => {
            attr = ProgTestRun {
                data_size_in,
                data_size_out,
                data_in: Pointer::to(run.data_in),
                data_out: Pointer::to_mut(run.data_out),
                repeat: run.repeat,
                ctx_size_in,
                ctx_size_out,
                ctx_in: Pointer::to_mut(run.ctx_in),
                ctx_out: Pointer::to_mut(run.ctx_out),
                test_flags: run.flags,
                cpu: run.cpu,
                batch_size: run.batch_size,
                ..attr
            };
            // SAFETY: every address is a slice borrowed for the call with its own length, mutably where the kernel may
            // write.
            unsafe { bpf(Command::PROG_TEST_RUN, &mut attr, why) }.map(drop)
        }
        _ => Err(io::Error::from_raw_os_error(libc::E2BIG)),
    };
    let ran = Ran {
        retval: attr.retval,
        data_len: attr.data_size_out as usize,
        ctx_len: attr.ctx_size_out as usize,
        duration_ns: attr.duration,
    };
    (answer, ran)
}

/// Runs a raw tracepoint's program on one CPU (Linux 5.10) and returns its return value. `arguments` are the words of
/// its context.
pub(crate) fn prog_test_run_on(program: BorrowedFd<'_>, cpu: u32, arguments: &mut [u64], why: &str) -> io::Result<u32> {
    let mut attr = ProgTestRun {
        prog_fd: number(program),
        ctx_size_in: length(size_of_val(arguments))?,
        ctx_in: Pointer::to_mut(arguments),
        test_flags: ON_CPU,
        cpu,
        ..Default::default()
    };
    // SAFETY: the one address is a slice borrowed for the call, with its own length in bytes.
    unsafe { bpf(Command::PROG_TEST_RUN, &mut attr, why) }?;
    Ok(attr.retval)
}
