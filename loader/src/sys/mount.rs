//! File systems of the kernel's, opened without being mounted: fsopen(2), fsconfig(2), fsmount(2) (Linux 5.2).
//!
//! The kernel's tracefs, debugfs and cgroup2 have one instance each. A mount of it that is attached nowhere is a directory
//! fd: files can be read through it, no other process sees it, and closing it is all that unmounting takes.
//! (`fs/fsopen.c`, `fs/namespace.c`, `fsmount`.)
#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use log::kv;

/// `FSCONFIG_CMD_CREATE`
const CMD_CREATE: libc::c_long = 6;
/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`
const CLOEXEC: libc::c_long = 1;

/// Opens the root directory of the file system `kind` (e.g. `tracefs`) by a mount of its own, attached nowhere.
///
/// Needs `CAP_SYS_ADMIN`. `ENOSYS` before Linux 5.2, `ENODEV` if the kernel has no such file system.
pub(crate) fn private(kind: &CStr, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string that is borrowed for the call.
    let value = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) };
    let answer = super::answer(value);
    let name = kind.to_string_lossy();
    let arguments: [(&str, kv::Value<'_>); 2] = [("fsname", name.as_ref().into()), ("flags", "FSOPEN_CLOEXEC".into())];
    super::report("fsopen", &arguments.as_slice(), &answer, why);
    let context = owned(answer?)?;

    let none = ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    let value = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CMD_CREATE, none, none, 0_i32) };
    let answer = super::answer(value);
    let arguments: [(&str, kv::Value<'_>); 2] =
        [("fd", context.as_raw_fd().into()), ("cmd", "FSCONFIG_CMD_CREATE".into())];
    super::report("fsconfig", &arguments.as_slice(), &answer, "finds the kernel's one instance of the file system");
    answer?;

    // SAFETY: takes numbers alone.
    let value = unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0_u32) };
    let answer = super::answer(value);
    let arguments: [(&str, kv::Value<'_>); 3] =
        [("fd", context.as_raw_fd().into()), ("flags", "FSMOUNT_CLOEXEC".into()), ("attr_flags", 0.into())];
    super::report("fsmount", &arguments.as_slice(), &answer, "makes it a directory that no other process sees");
    owned(answer?)
}

/// Opens the file at `path` below `folder` for reading.
pub(crate) fn open_below(folder: BorrowedFd<'_>, path: &CStr, why: &str) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string that is borrowed for the call.
    let value = unsafe { libc::openat(folder.as_raw_fd(), path.as_ptr(), flags) };
    let answer = super::answer(i64::from(value));
    let name = path.to_string_lossy();
    let arguments: [(&str, kv::Value<'_>); 3] = [
        ("dirfd", folder.as_fd().as_raw_fd().into()),
        ("pathname", name.as_ref().into()),
        ("flags", "O_RDONLY|O_CLOEXEC".into()),
    ];
    super::report("openat", &arguments.as_slice(), &answer, why);
    owned(answer?).map(File::from)
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this fd for the caller, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
