//! bpf(2): the command that runs a program without an event, `BPF_PROG_TEST_RUN`.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, os::fd::BorrowedFd};

use super::{
    attr::{Pointer, ProgTestRun, ProgTestRunOn},
    bpf::{Command, bpf, length, number},
};

/// The input and output buffers of a run. The kernel takes an empty slice as "not given".
pub(crate) struct Run<'a> {
    pub(crate) data_in: &'a [u8],
    pub(crate) data_out: &'a mut [u8],
    /// Writable, since for some program types the kernel writes the context back here.
    pub(crate) ctx_in: &'a mut [u8],
    pub(crate) ctx_out: &'a mut [u8],
    pub(crate) repeat: u32,
}

/// The results of a run.
pub(crate) struct Ran {
    pub(crate) retval: u32,
    pub(crate) data_len: usize,
    pub(crate) duration_ns: u32,
}

/// Runs a program (4.12; with a context 5.2).
pub(crate) fn prog_test_run(program: BorrowedFd<'_>, run: Run<'_>, why: &str) -> io::Result<Ran> {
    let mut attr = ProgTestRun {
        prog_fd: number(program),
        data_size_in: length(run.data_in.len())?,
        data_size_out: length(run.data_out.len())?,
        data_in: Pointer::to(run.data_in),
        data_out: Pointer::to_mut(run.data_out),
        repeat: run.repeat,
        ctx_size_in: length(run.ctx_in.len())?,
        ctx_size_out: length(run.ctx_out.len())?,
        ctx_in: Pointer::to_mut(run.ctx_in),
        ctx_out: Pointer::to_mut(run.ctx_out),
        ..Default::default()
    };
    // SAFETY: every address is a slice borrowed for the call with its own length, mutably where the kernel may write.
    unsafe { bpf(Command::PROG_TEST_RUN, &mut attr, why) }?;
    Ok(Ran { retval: attr.retval, data_len: attr.data_size_out as usize, duration_ns: attr.duration })
}

/// Runs a raw tracepoint's program on one CPU (Linux 5.10) and returns its return value. `arguments` are the words of
/// its context.
pub(crate) fn prog_test_run_on(program: BorrowedFd<'_>, cpu: u32, arguments: &mut [u64], why: &str) -> io::Result<u32> {
    /// `BPF_F_TEST_RUN_ON_CPU`
    const ON_CPU: u32 = 1;
    let mut attr = ProgTestRunOn {
        prog_fd: number(program),
        ctx_size_in: length(size_of_val(arguments))?,
        ctx_in: Pointer::to_mut(arguments),
        flags: ON_CPU,
        cpu,
        ..Default::default()
    };
    // SAFETY: the one address is a slice borrowed for the call, with its own length in bytes.
    unsafe { bpf(Command::PROG_TEST_RUN, &mut attr, why) }?;
    Ok(attr.retval)
}
