//! The page size of this machine.
#![expect(unsafe_code, reason = "sysconf(3)")]

/// Returns the page size in bytes, a power of two.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: takes and returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail on Linux. If it did and pages were larger than 4096 bytes, mmap(2) would refuse an offset that is
    // only a multiple of 4096.
    usize::try_from(size).unwrap_or(4096)
}
