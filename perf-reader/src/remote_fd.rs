//! Borrows a perf event of another process.
//!
//! ```text
//!     pidfd_open(pid)          an fd of the process             Linux 5.3
//!     pidfd_getfd(pidfd, fd)   a duplicate of its fd            Linux 5.6, and the right to trace it (ptrace(2))
//!     readlink                 checks that it is a perf event   by the name of its link in /proc
//!     mmap                     maps the same ring, read-only    with exactly as many pages as its owner mapped
//! ```
//!
//! If an event has no ring, mmap(2) *creates* a ring, even for a read-only mapping. The event's owner could then no
//! longer map a ring of its own. So a first mmap(2) checks for a ring. It requests more pages than any ring can have,
//! so it always fails:
//!
//! - EINVAL: there is a ring, and it has another size.
//! - ENOMEM: there is no ring, and the kernel cannot create one of this size.
//! - EPERM: there is no ring, and without CAP_IPC_LOCK this process may not lock so much memory.
//!
//! (`perf_mmap` in `kernel/events/core.c`, `rb_alloc` in `kernel/events/ring_buffer.c`)
#![expect(unsafe_code, reason = "system calls that take and return raw fds")]

use std::ffi::{c_int, c_uint};
use std::fs;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use cutaway_sys::{fd::owned, memory::page_size, report, report::check};

use crate::mapping::Mapping;

/// Duplicates fd `fd` of process `pid`.
pub(crate) fn duplicate(pid: u32, fd: u32) -> io::Result<OwnedFd> {
    let pid = c_int::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: two numbers.
    let answer = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0 as c_uint) });
    report!("pidfd_open", &answer, "opens an fd of the process, which stays the same process even if its pid is reused";
        "pid" = pid,
        "flags" = 0);
    // SAFETY: the kernel has just created this fd for the caller.
    let process = unsafe { owned(answer) }?;
    // SAFETY: three numbers, the first an open fd.
    let answer = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0 as c_uint) });
    report!("pidfd_getfd", &answer, "borrows the perf event of another process, which keeps its own";
        "pidfd" = process.as_raw_fd(),
        "targetfd" = fd,
        "flags" = 0);
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }
}

/// Errors unless the fd is a perf event. A file can be mapped as well, and its owner can truncate it. An access to the
/// mapping would then kill this process (SIGBUS).
///
/// The kernel chooses the link's text for a perf event. The link of a file is a path, which begins with a slash.
pub(crate) fn must_be_an_event(fd: BorrowedFd<'_>) -> io::Result<()> {
    let link = fs::read_link(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()))?;
    if link.as_os_str() == "anon_inode:[perf_event]" {
        return Ok(());
    }
    // The errno of mmap(2) for a file that cannot be mapped.
    Err(io::Error::from_raw_os_error(libc::ENODEV))
}

/// Returns whether the event has a ring, without creating one.
pub(crate) fn has_ring(event: BorrowedFd<'_>) -> io::Result<bool> {
    // The kernel's list of a ring's pages is one allocation of at most 4 MiB, or 64 MiB on machines with pages of 64
    // KiB. The list of 2^23 pages is larger on all machines. The call reserves addresses only while it runs.
    const TOO_MANY: NonZero<usize> = NonZero::<usize>::MIN.saturating_add((1 << 23) - 1);
    match Mapping::of_another(
        event,
        TOO_MANY,
        "checks whether the event has a ring, with a size that cannot be mapped, so that none is created",
    ) {
        // The event has a ring of exactly this size.
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EPERM)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the numbers of data pages of all perf mappings of a process, each number once, ascending.
pub(crate) fn mapped_pages(pid: u32) -> io::Result<Vec<NonZero<usize>>> {
    // The file names in the text may be any bytes.
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    Ok(pages_in(&String::from_utf8_lossy(&maps), page_size()))
}

/// Parses the numbers of data pages from the text of `/proc/PID/maps`: `start-end perms offset dev inode path`.
fn pages_in(maps: &str, page: usize) -> Vec<NonZero<usize>> {
    let perf = maps.lines().filter(|line| line.ends_with("anon_inode:[perf_event]"));
    let mut pages: Vec<_> = perf
        .filter_map(|line| {
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).ok());
            let pages = end?.checked_sub(start?)? / page;
            NonZero::new(pages.checked_sub(1)?).filter(|pages| pages.is_power_of_two())
        })
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}

/// Returns the event's id in records (`PERF_EVENT_IOC_ID`, Linux 3.12).
fn id(event: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0_u64;
    let request = libc::_IOR::<*mut u64>(u32::from(b'$'), 7);
    // SAFETY: the request writes one `u64` where its argument points, which is live and writable.
    let value = unsafe { libc::ioctl(event.as_raw_fd(), request, &raw mut id) };
    let answer = check(value);
    report!("ioctl", &answer, "reads the event's id, to distinguish it from a count of losses";
        "fd" = event.as_raw_fd(),
        "op" = "PERF_EVENT_IOC_ID");
    answer.map(|_| id)
}

/// Returns the number of lost samples, if the event's owner requested this count.
///
/// read(2) returns `{value, time_enabled, time_running, id, lost}` without the fields that the owner did not request,
/// and does not show which fields these are. The last of five words is the count. The last of four words is the count
/// unless it is the event's id. With fewer words, this returns `None`.
pub(crate) fn lost(event: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    let mut words = [0_u64; 8];
    // SAFETY: the buffer is `size_of_val` bytes long, and any bytes are valid words.
    let value = unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), size_of_val(&words)) };
    let answer = check(value as i64);
    report!("read", &answer, "reads the event's counts, in the format that its owner chose";
        "fd" = event.as_raw_fd(),
        "count" = size_of_val(&words));
    Ok(match (answer?, words) {
        (32, [0, _, _, last, ..]) if last != id(event)? => Some(last),
        (40, [0, _, _, _, last, ..]) => Some(last),
        _ => None,
    })
}

/// Returns the page frame of a mapping's first page, or `None` without CAP_SYS_ADMIN, which the kernel requires.
pub(crate) fn page_frame(first: *const u8) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let mut entry = [0; 8];
    let at = (first.addr() / page_size()).checked_mul(8)?;
    fs::File::open("/proc/self/pagemap").ok()?.read_exact_at(&mut entry, at as u64).ok()?;
    // Bits 0 to 54 are the frame. Bit 63 is set if there is a frame (Documentation/admin-guide/mm/pagemap.rst).
    let entry = u64::from_ne_bytes(entry);
    let frame = entry & ((1 << 55) - 1);
    (entry >> 63 == 1 && frame != 0).then_some(frame)
}

/// Maps the ring of a borrowed event read-only, with as many pages as one of the owner's mappings has.
pub(crate) fn map(event: &OwnedFd, sizes: &[NonZero<usize>]) -> io::Result<Mapping> {
    let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
    for &pages in sizes {
        match Mapping::of_another(
            event.as_fd(),
            pages,
            "maps the ring of a borrowed event read-only, so that observing cannot disturb its owner",
        ) {
            Ok(mapping) => return Ok(mapping),
            // Only after a wrong size, another size is tried.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_perf_mappings_of_whole_rings_are_counted() {
        let maps = "\
7f0000000000-7f0000005000 rw-s 00000000 00:0f 2                          anon_inode:[perf_event]
7f0000010000-7f0000015000 r--s 00000000 00:0f 2                          anon_inode:[perf_event]
7f0000020000-7f0000022000 rw-s 00000000 00:0f 2                          anon_inode:[perf_event]
7f0000030000-7f0000031000 rw-s 00000000 00:0f 2                          anon_inode:[perf_event]
7f0000040000-7f0000044000 rw-s 00000000 00:0f 2                          anon_inode:[perf_event]
7f0000050000-7f0000061000 rw-s 00000000 00:0f 2                          anon_inode:bpf-map
zzz anon_inode:[perf_event]
";
        let pages: Vec<_> = pages_in(maps, 4096).into_iter().map(NonZero::get).collect();
        assert_eq!(pages, [1, 4]);
    }
}
