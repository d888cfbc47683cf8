//! The kernel's lines about an fd, `/proc/self/fdinfo/N`.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    path::Path,
};

use cutaway_sys::file;

use crate::Error;

/// Checks that an fd is one of a map. The kernel describes programs and links by the same command as maps, so its
/// answer would be misread.
pub(super) fn check_is_map(fd: BorrowedFd<'_>, attempt: impl FnOnce() -> String) -> Result<(), Error> {
    // Without procfs, the kernel's answers to map commands remain: they refuse an fd of another kind.
    let Ok(text) = fdinfo(fd) else { return Ok(()) };
    let has = |name: &str| text.lines().any(|line| line.starts_with(name));
    let kind = match () {
        () if has("map_type:") => return Ok(()),
        () if has("prog_type:") && !has("link_type:") => "a program",
        () if has("link_type:") => "a link",
        () if has("btf_id:") => "BTF",
        // The kernel refuses it, by an errno.
        () => return Ok(()),
    };
    Err(Error::Invalid { operation: attempt(), why: format!("it is {kind}, not a map") })
}

/// Reads the kernel's lines about an fd (`bpf_map_show_fdinfo` in `kernel/bpf/syscall.c`).
pub(super) fn fdinfo(fd: BorrowedFd<'_>) -> io::Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    file::text(Path::new(&path), "reads the kernel's lines about an fd")
}

/// Returns the number in the line that begins with `name`.
pub(super) fn value(fdinfo: &str, name: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}
