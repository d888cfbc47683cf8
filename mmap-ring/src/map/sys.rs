//! The system calls that ask the kernel what an fd is. Each is reported to the log.
#![expect(unsafe_code, reason = "system calls and the fds they return")]

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd};

use cutaway_sys::{pseudo, report, report::check};

use super::facts::Facts;

/// The start of `struct bpf_map_info` in `include/uapi/linux/bpf.h`. The kernel fills only `info_len` bytes.
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
    // SAFETY: `attr` is `size` bytes long; the kernel writes at most `info_len` bytes to `info`, which is as long,
    // lives during the call and may hold any bytes.
    let asked = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, &raw mut attr, size) };
    let asked = check(asked);
    report!("bpf", &asked, "asks the kernel what the fd is: records may be borrowed only from a ring";
        "cmd" = "BPF_OBJ_GET_INFO_BY_FD", "bpf_fd" = map.as_raw_fd(), "info_len" = length, "size" = size);
    asked?;
    let MapInfo { kind, max_entries, map_flags: flags, .. } = info;
    Ok(Facts { kind, max_entries, flags })
}

/// Reads the fd's file in `/proc` into `text`. It must be the kernel's own: `/proc` is procfs, and nothing is mounted
/// over the file or a directory above it. A file that is mounted there could contain anything.
pub(super) fn fdinfo<'t>(fd: BorrowedFd<'_>, text: &'t mut [u8]) -> io::Result<&'t str> {
    let path = CString::new(format!("thread-self/fdinfo/{}", fd.as_raw_fd())).map_err(io::Error::other)?;
    let mut file = pseudo::open_proc(&path, "asks /proc what the fd is")?;
    // The kernel returns all of it in one read if there is room (`seq_read_iter` in `fs/seq_file.c`).
    let length = file.read(text)?;
    std::str::from_utf8(text.get(..length).unwrap_or_default()).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn fdinfo_describes_the_fd() {
        let file = File::open("/dev/null").unwrap();
        let mut text = [0; 1024];
        let text = fdinfo(file.as_fd(), &mut text).unwrap();
        assert!(text.starts_with("pos:\t0\n"), "{text:?}");
        assert!(super::super::facts::facts(text).is_none());
    }

    #[test]
    fn info_of_a_file_is_an_error() {
        let file = File::open("/dev/null").unwrap();
        let error = info(file.as_fd()).err().and_then(|error| error.raw_os_error());
        // EPERM without privileges on kernels before 5.19.
        assert!(matches!(error, Some(libc::EINVAL | libc::EPERM | libc::ENOSYS)), "{error:?}");
    }
}
