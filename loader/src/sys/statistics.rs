//! bpf(2): the commands for run statistics of programs, `BPF_ENABLE_STATS` and a part of a program's info.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::{
    attr::{EnableStats, ObjGetInfo, Pointer, ProgStatistics},
    bpf::{Command, bpf, bpf_fd, number},
};

/// Enables statistics until the fd is closed (5.8).
pub(crate) fn enable(why: &str) -> io::Result<OwnedFd> {
    /// `BPF_STATS_RUN_TIME`
    const RUN_TIME: u32 = 0;
    // SAFETY: `EnableStats` holds no address; the answer is a new fd.
    unsafe { bpf_fd(Command::ENABLE_STATS, &mut EnableStats { stats_type: RUN_TIME }, why) }
}

/// Returns the kernel's information about a program, including its statistics.
pub(crate) fn prog_statistics(program: BorrowedFd<'_>, why: &str) -> io::Result<ProgStatistics> {
    let mut info = [ProgStatistics::default()];
    let mut attr = ObjGetInfo {
        bpf_fd: number(program),
        info_len: size_of::<ProgStatistics>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes, the size of `info`, which is plain integers. It takes the
    // lists that `info` can ask for by address and length from there, too: all zero, none is asked for.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(info)
}
