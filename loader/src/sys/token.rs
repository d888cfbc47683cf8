//! bpf(2): the commands of BPF tokens (Linux 6.9).
//!
//! (`kernel/bpf/token.c`, `kernel/bpf/inode.c`.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2), and calls fstatfs(2)")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use cutaway_sys::{report, report::outcome};

use super::{
    attr::{ObjGetInfo, Pointer, TokenCreate, TokenInfo},
    bpf::{Command, bpf, bpf_fd, number},
};

/// Creates a token from the root directory of a BPF file system.
pub(crate) fn create(bpffs: BorrowedFd<'_>, why: &str) -> io::Result<OwnedFd> {
    let mut attr = TokenCreate { flags: 0, bpffs_fd: number(bpffs) };
    // SAFETY: `TokenCreate` holds no address, and the command returns a new fd.
    unsafe { bpf_fd(Command::TOKEN_CREATE, &mut attr, why) }
}

/// Returns the kernel's information about a token (Linux 6.17; before, EINVAL).
pub(crate) fn info(token: BorrowedFd<'_>, why: &str) -> io::Result<TokenInfo> {
    let mut info = [TokenInfo::default()];
    let mut attr =
        ObjGetInfo { bpf_fd: number(token), info_len: size_of::<TokenInfo>() as u32, info: Pointer::to_mut(&mut info) };
    // SAFETY: the kernel writes at most `info_len` bytes, the size of `info`, which is plain integers.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(info)
}

/// Returns whether an open directory is in a BPF file system.
pub(crate) fn is_bpffs(directory: BorrowedFd<'_>) -> io::Result<bool> {
    const BPF_FS_MAGIC: libc::c_long = 0xcafe_4a11;
    let mut status = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `status` is writable and as large as the call wants it; the fd is open.
    let value = unsafe { libc::fstatfs(directory.as_raw_fd(), status.as_mut_ptr()) };
    // SAFETY: zeroes are a valid `statfs`, and the kernel has written over them no more than valid values.
    let status = unsafe { status.assume_init() };
    let answer = if value == 0 { Ok(status.f_type as libc::c_long) } else { Err(io::Error::last_os_error()) };
    report!("fstatfs", &outcome(&answer, |&magic| magic),
        "only a BPF file system gives tokens"; "fd" = directory.as_raw_fd());
    answer.map(|magic| magic == BPF_FS_MAGIC)
}
