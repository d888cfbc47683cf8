//! Opens files of sysfs and procfs that only the kernel can have written.
//!
//! Memory safety depends on a few of these files. The number of possible CPUs is the number of values that the kernel
//! writes in one lookup. A map's type and flags decide whether its pages can be mapped as a ring. Any file can be
//! bind-mounted over one of them, and containers do so (LXCFS shows a container's own CPUs). So the mount point must be
//! the root of the real file system, and the path below it must cross no mount and follow no link:
//!
//! ```text
//!   /sys, /proc       must be the root of that file system, by magic number and inode number (1 for both)
//!     └─ the file     opened without crossing a mount or following a link: openat2(2), Linux 5.6
//! ```
//!
//! [`sysfs_text`] falls back to a sysfs that it mounts privately. [`open_proc`] does not: a private procfs would show
//! the wrong processes.
//!
//! Kernel: `fs/sysfs/mount.c`, `fs/kernfs/mount.c`, `PROC_ROOT_INO` in `include/linux/proc_fs.h`, `fs/open.c`.
#![expect(unsafe_code, reason = "open(2), fstatfs(2), fstat(2) and openat2(2)")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use crate::{fd::owned, file, mount, report, report::check};

/// Opens a file of procfs, e.g. `thread-self/fdinfo/3`.
///
/// # Errors
/// EXDEV if something is mounted over it, ENODEV if no procfs is mounted on `/proc`, ENOSYS before Linux 5.6.
pub fn open_proc(path: &CStr, why: &str) -> io::Result<File> {
    let root = root(c"/proc", libc::PROC_SUPER_MAGIC as u64)?;
    // Symbolic links are allowed here: `thread-self` is one of the kernel's own, and stays within procfs.
    open_below(
        root.as_fd(),
        path,
        (libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_XDEV|RESOLVE_NO_MAGICLINKS"),
        why,
    )
}

/// Reads a file of sysfs as text, e.g. `devices/system/cpu/possible`; at most [`file::PAGE`] bytes.
///
/// # Errors
/// EXDEV if something is mounted over it, ENODEV if no sysfs is mounted on `/sys`; each only if no private sysfs can be
/// mounted either (Linux 5.2, `CAP_SYS_ADMIN`).
pub fn sysfs_text(path: &CStr, why: &str) -> io::Result<String> {
    const RESOLVE: (u64, &str) =
        (libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS, "RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS");
    let opened = root(c"/sys", libc::SYSFS_MAGIC as u64)
        .and_then(|root| open_below(root.as_fd(), path, RESOLVE, why))
        .or_else(|error| {
            let private = mount::private(c"sysfs", "mounts a sysfs that no other process can cover")
                .and_then(|root| mount::open_below(root.as_fd(), path, why));
            // The first error is the one that the user can fix.
            private.map_err(|_| error)
        })?;
    file::bounded(opened, file::PAGE)
}

/// Opens `path` if it is the root of the file system with this magic number; ENODEV otherwise.
fn root(path: &CStr, magic: u64) -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) });
    // SAFETY: the kernel has just created this fd for the caller.
    let root = unsafe { owned(fd) }?;
    // SAFETY: plain integers, for which 0 is a value.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `system` has room for the result and lives during the call.
    check(unsafe { libc::fstatfs(root.as_raw_fd(), &raw mut system) })?;
    // SAFETY: plain integers, for which 0 is a value.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `about` has room for the result and lives during the call.
    check(unsafe { libc::fstat(root.as_raw_fd(), &raw mut about) })?;
    if system.f_type as u64 != magic || about.st_ino != 1 {
        // The errno of mount(2) for a file system that the kernel does not have.
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(root)
}

/// Opens a file below `root` without leaving its mount, for reading.
fn open_below(root: BorrowedFd<'_>, path: &CStr, (resolve, shown): (u64, &str), why: &str) -> io::Result<File> {
    /// `struct open_how`: flags, mode, resolve.
    const SIZE: usize = size_of::<[u64; 3]>();
    let how: [u64; 3] = [(libc::O_RDONLY | libc::O_CLOEXEC) as u64, 0, resolve];
    // SAFETY: `path` is a C string, `how` is `SIZE` bytes long, and both live during the call.
    let value = unsafe { libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), how.as_ptr(), SIZE) };
    let answer = check(value);
    report!("openat2", &answer, why;
        "dirfd" = root.as_raw_fd(), "pathname" = report::Value::from_display(&path.to_string_lossy()),
        "flags" = "O_RDONLY|O_CLOEXEC", "resolve" = shown);
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }.map(File::from)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn path_out_of_procfs_is_refused() {
        let mut text = String::new();
        open_proc(c"thread-self/status", "tests").unwrap().read_to_string(&mut text).unwrap();
        assert!(text.starts_with("Name:"), "{text}");
        for path in [c"thread-self/cwd", c"thread-self/exe", c"../etc"] {
            let error = open_proc(path, "tests").unwrap_err().raw_os_error();
            assert!(matches!(error, Some(libc::EXDEV | libc::ELOOP)), "{path:?}: {error:?}");
        }
    }

    #[test]
    fn root_of_another_file_system_is_refused() {
        let error = root(c"/proc/self", libc::PROC_SUPER_MAGIC as u64).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let error = root(c"/", libc::PROC_SUPER_MAGIC as u64).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
