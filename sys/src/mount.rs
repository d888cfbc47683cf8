//! Opens the kernel's own file systems without a visible mount: fsopen(2), fsconfig(2), fsmount(2) (Linux 5.2).
//!
//! tracefs, debugfs and cgroup2 have one instance each in the kernel. fsmount(2) returns an fd of its root directory,
//! and attaches the mount to no path. No other process sees the mount; closing the fd unmounts it.
//!
//! Kernel: `fs/fsopen.c`, `fs/namespace.c`.
#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use crate::{fd::owned, report, report::check};

/// `FSCONFIG_CMD_CREATE`
const CMD_CREATE: libc::c_long = 6;
/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`
const CLOEXEC: libc::c_long = 1;

/// Mounts the file system `kind` (e.g. `tracefs`) privately and opens its root directory.
///
/// Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// ENOSYS before Linux 5.2, ENODEV if the kernel has no such file system, EPERM without the capability.
pub fn private(kind: &CStr, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string that is borrowed for the call.
    let answer = check(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) });
    report!("fsopen", &answer, why;
        "fsname" = report::Value::from_display(&kind.to_string_lossy()), "flags" = "FSOPEN_CLOEXEC");
    // SAFETY: the kernel has just created this fd for the caller.
    let context = unsafe { owned(answer) }?;

    let none = ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    let value = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CMD_CREATE, none, none, 0_i32) };
    let answer = check(value);
    report!("fsconfig", &answer, "finds the kernel's one instance of the file system";
        "fd" = context.as_raw_fd(), "cmd" = "FSCONFIG_CMD_CREATE");
    answer?;

    // SAFETY: takes numbers alone.
    let answer = check(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0_u32) });
    report!("fsmount", &answer, "makes it a directory that no other process sees";
        "fd" = context.as_raw_fd(), "flags" = "FSMOUNT_CLOEXEC", "attr_flags" = 0);
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }
}

/// Reads the file at `path` of the file system `kind` (e.g. `securityfs`) by a private mount.
///
/// Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// Those of [`private`], ENOENT if there is no such file, and EINVAL if it is not text.
pub fn read(kind: &CStr, path: &CStr, why: &str) -> io::Result<String> {
    let directory = private(kind, "opens the file system by a private mount, because it is not mounted")?;
    let mut text = String::new();
    open_below(directory.as_fd(), path, why)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens for reading the file at `path` below `directory`.
///
/// # Errors
/// Those of openat(2).
pub fn open_below(directory: BorrowedFd<'_>, path: &CStr, why: &str) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string that is borrowed for the call.
    let answer = check(unsafe { libc::openat(directory.as_raw_fd(), path.as_ptr(), flags) });
    report!("openat", &answer, why;
        "dirfd" = directory.as_raw_fd(), "pathname" = report::Value::from_display(&path.to_string_lossy()),
        "flags" = "O_RDONLY|O_CLOEXEC");
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }.map(File::from)
}
