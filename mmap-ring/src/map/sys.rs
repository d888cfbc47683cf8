//! The two questions, as system calls, each reported to the log when it is made.
#![expect(unsafe_code, reason = "system calls and the descriptors they return")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::Facts;
use crate::error::answer;

/// `struct bpf_map_info` of `include/uapi/linux/bpf.h`, as far as it is needed; the kernel fills as much as it is told of.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// Asks bpf(2) what the map is.
pub(super) fn info(map: BorrowedFd<'_>) -> io::Result<Facts> {
    const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    let mut info = MapInfo::default();
    let length = size_of::<MapInfo>() as u32;
    let size = size_of::<GetInfo>() as u32;
    let address = (&raw mut info).expose_provenance() as u64;
    let mut attr = GetInfo { bpf_fd: map.as_raw_fd().cast_unsigned(), info_len: length, info: address };
    // SAFETY: `attr` is `size` bytes long; the kernel writes at most `info_len` bytes to `info`, which is as long, lives
    // during the call and may hold any bytes.
    let asked = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, &raw mut attr, size) };
    let asked = if asked < 0 { Err(io::Error::last_os_error()) } else { Ok(asked) };
    log::trace!(
        target: "syscall",
        syscall = "bpf",
        cmd = "BPF_OBJ_GET_INFO_BY_FD",
        bpf_fd = map.as_raw_fd(),
        info_len = length,
        size = size,
        answer:% = answer(&asked);
        "asks the kernel what the descriptor is: only of a ring may a record be lent"
    );
    asked?;
    let MapInfo { kind, max_entries, map_flags: flags, .. } = info;
    Ok(Facts { kind, max_entries, flags })
}

/// What `/proc` says of the descriptor, read into `text`. It must be the kernel's own: `/proc` is procfs, and nothing is mounted
/// over the file or a directory above it, for that could say anything.
pub(super) fn fdinfo<'t>(fd: BorrowedFd<'_>, text: &'t mut [u8]) -> io::Result<&'t str> {
    let proc = root_of_proc()?;
    let path = format!("thread-self/fdinfo/{}\0", fd.as_raw_fd());
    let mut file = File::from(open_below(proc.as_fd(), &path)?);
    // The kernel gives all of it at once if there is room (`seq_read_iter` in `fs/seq_file.c`).
    let length = file.read(text)?;
    std::str::from_utf8(text.get(..length).unwrap_or_default()).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The root of a procfs, which has inode 1 (`PROC_ROOT_INO` in `include/linux/proc_fs.h`).
fn root_of_proc() -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(c"/proc".as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    let proc = owned(fd.into())?;
    // SAFETY: plain integers, of which 0 is a value.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `system` has room for the answer.
    let system_known = unsafe { libc::fstatfs(proc.as_raw_fd(), &raw mut system) };
    // SAFETY: plain integers, of which 0 is a value.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `about` has room for the answer.
    let known = unsafe { libc::fstat(proc.as_raw_fd(), &raw mut about) };
    if system_known < 0 || known < 0 {
        return Err(io::Error::last_os_error());
    }
    if system.f_type as u64 != libc::PROC_SUPER_MAGIC as u64 || about.st_ino != 1 {
        // What mount(2) says of a file system that is not there.
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    Ok(proc)
}

/// Opens a file below a directory without leaving its mount (openat2(2), Linux 5.6). `path` ends with a zero byte.
fn open_below(directory: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    /// `struct open_how`: flags, mode, resolve.
    const SIZE: usize = size_of::<[u64; 3]>();
    let how: [u64; 3] =
        [(libc::O_RDONLY | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_MAGICLINKS];
    // SAFETY: `path` is a C string, `how` is `SIZE` bytes long, and both live during the call.
    owned(unsafe { libc::syscall(libc::SYS_openat2, directory.as_raw_fd(), path.as_ptr(), how.as_ptr(), SIZE) })
}

/// What a system call answered with a new descriptor.
fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_is_that_of_the_descriptor() {
        let file = File::open("/dev/null").unwrap();
        let mut text = [0; 1024];
        let text = fdinfo(file.as_fd(), &mut text).unwrap();
        assert!(text.starts_with("pos:\t0\n"), "{text:?}");
        assert!(super::super::facts(text).is_none());
    }

    #[test]
    fn what_is_no_bpf_object_is_not_told() {
        let file = File::open("/dev/null").unwrap();
        let error = info(file.as_fd()).err().and_then(|error| error.raw_os_error());
        // EPERM without privileges on kernels before 5.19.
        assert!(matches!(error, Some(libc::EINVAL | libc::EPERM | libc::ENOSYS)), "{error:?}");
    }

    #[test]
    fn a_path_leaves_its_mount_nowhere() {
        let proc = root_of_proc().unwrap();
        assert!(open_below(proc.as_fd(), "thread-self/status\0").is_ok());
        for path in ["thread-self/cwd\0", "thread-self/exe\0", "../etc\0"] {
            let error = open_below(proc.as_fd(), path).err().and_then(|error| error.raw_os_error());
            assert!(matches!(error, Some(libc::EXDEV | libc::ELOOP)), "{path}: {error:?}");
        }
    }
}
