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
#![expect(unsafe_code, reason = "fstatfs(2) and openat2(2)")]

use std::{
    ffi::CStr,
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
};

use log::kv;

use super::mount;

/// The most bytes that are read. The kernel writes a page at most for most files, and a list of CPUs may have more.
const MOST: u64 = 64 * 1024;

/// The text of the file at `path` below the root of sysfs, which has neither links nor mounts on its way.
///
/// # Errors
///
/// If `/sys` does not have it, and no sysfs can be mounted (Linux 5.2, `CAP_SYS_ADMIN`): both reasons.
pub(crate) fn text(path: &CStr, why: &str) -> io::Result<String> {
    let file = mounted(path, why).or_else(|error| {
        let private = mount::private(c"sysfs", "mounts a sysfs that nobody has covered and nobody else sees");
        private.and_then(|root| mount::open_below(root.as_fd(), path, why)).map_err(|private| {
            io::Error::new(
                error.kind(),
                format!(
                    "/sys does not have the kernel's own ({error}), and a sysfs of one's own is refused ({private})"
                ),
            )
        })
    })?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens the file where sysfs is mounted.
fn mounted(path: &CStr, why: &str) -> io::Result<File> {
    let root = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open("/sys")?;
    if kind(root.as_fd())? != libc::SYSFS_MAGIC as u64 || root.metadata()?.ino() != 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not the root of a sysfs"));
    }
    below(root.as_fd(), path, why).map_err(|error| match error.raw_os_error() {
        Some(libc::EXDEV) => io::Error::new(error.kind(), "something is mounted over it"),
        _ => error,
    })
}

/// Of which kind a file's file system is.
fn kind(file: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: plain integers, of which 0 is a value.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `about` has room for the answer and lives during the call.
    let asked = unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut about) };
    super::answer(asked.into())?;
    Ok(about.f_type as u64)
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
    let fd = RawFd::try_from(answer?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for the caller, and nothing else knows it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
