//! Facts about this machine's memory.
#![expect(unsafe_code, reason = "sysconf(3)")]

/// Returns the page size in bytes, a power of two.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: takes and returns a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // It cannot fail on Linux. If it did, mmap(2) would refuse offsets that are multiples of the smallest page size
    // alone.
    usize::try_from(size).unwrap_or(4096)
}
