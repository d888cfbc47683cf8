//! Files of sysfs that memory safety rests on: what is read is the kernel's own word, whatever is mounted where.
//!
//! ```text
//!   /sys              is it the root of a sysfs? by file system (`SYSFS_MAGIC`) and inode (1, the root of `kernfs`)
//!     └─ the file     opened without crossing a mount or following a link: openat2(2), Linux 5.6
//!   otherwise         the same file of a sysfs that this process mounts for itself, and nobody else sees
//! ```
//!
//! A file of any content can be bind-mounted over one of sysfs, another file of sysfs just as well, and containers do so
//! (LXCFS shows the CPUs of the container). So it is not enough that what was opened is of sysfs.
#![expect(unsafe_code, reason = "open(2), fstatfs(2), fstat(2) and openat2(2)")]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use log::kv;

use super::{file, mount};

/// The text of the file at `path` below the root of sysfs, which has neither links nor mounts on its way.
///
/// # Errors
///
/// If `/sys` does not have it (EXDEV: something is mounted over it; ENODEV: it is no sysfs), and no sysfs can be mounted
/// (Linux 5.2, `CAP_SYS_ADMIN`).
pub(crate) fn text(path: &CStr, why: &str) -> io::Result<String> {
    let file = root().and_then(|root| below(root.as_fd(), path, why)).or_else(|error| {
        let private = mount::private(c"sysfs", "mounts a sysfs that nobody has covered and nobody else sees")
            .and_then(|root| mount::open_below(root.as_fd(), path, why));
        // The first reason is the one to be mended.
        private.map_err(|_| error)
    })?;
    file::bounded(file, file::PAGE)
}

/// The root of sysfs, if it is what is mounted on `/sys`.
fn root() -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(c"/sys".as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    let root = owned(super::answer(fd.into())?)?;
    // SAFETY: plain integers, of which 0 is a value.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `system` has room for the answer and lives during the call.
    super::answer(unsafe { libc::fstatfs(root.as_raw_fd(), &raw mut system) }.into())?;
    // SAFETY: plain integers, of which 0 is a value.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `about` has room for the answer and lives during the call.
    super::answer(unsafe { libc::fstat(root.as_raw_fd(), &raw mut about) }.into())?;
    if system.f_type as u64 != libc::SYSFS_MAGIC as u64 || about.st_ino != 1 {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(root)
}

/// Opens a file below `root` without leaving its mount, for reading.
fn below(root: BorrowedFd<'_>, path: &CStr, why: &str) -> io::Result<File> {
    /// `struct open_how`: flags, mode, resolve.
    const SIZE: usize = size_of::<[u64; 3]>();
    let how: [u64; 3] =
        [(libc::O_RDONLY | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS];
    // SAFETY: `path` is a C string, `how` is `SIZE` bytes long, and both live during the call.
    let value = unsafe { libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), how.as_ptr(), SIZE) };
    let answer = super::answer(value);
    let name = path.to_string_lossy();
    let arguments: [(&str, kv::Value<'_>); 4] = [
        ("dirfd", root.as_raw_fd().into()),
        ("pathname", name.as_ref().into()),
        ("flags", "O_RDONLY|O_CLOEXEC".into()),
        ("resolve", "RESOLVE_NO_XDEV|RESOLVE_NO_SYMLINKS".into()),
    ];
    super::report("openat2", &arguments.as_slice(), &answer, why);
    owned(answer?).map(File::from)
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for the caller, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
