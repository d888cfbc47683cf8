//! The clock of the kernel's event timestamps.
#![expect(unsafe_code, reason = "clock_gettime(2)")]

/// Returns `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` does.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is alive and writable. The call cannot fail for this clock.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let [seconds, nanoseconds] = [time.tv_sec as u64, time.tv_nsec as u64];
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}

/// Returns `CLOCK_BOOTTIME` in nanoseconds: the time since boot, including suspension, as the kernel records when it
/// loads a program.
#[must_use]
pub fn boottime_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is alive and writable. The call cannot fail for this clock.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let [seconds, nanoseconds] = [time.tv_sec as u64, time.tv_nsec as u64];
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}
