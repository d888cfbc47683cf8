//! The system calls of this crate, with one function for each call. Each call is reported to the crate `log`, with
//! target `syscall` and level `trace`.
//!
//! `perf_event_open`, `ioctl`, `read`, `membarrier` and `getrlimit` are in this file. `mapping.rs` calls `mmap`,
//! `wait.rs` uses epoll and a pipe, and `remote_fd.rs` borrows fds of other processes.

#![expect(unsafe_code, reason = "system calls take raw pointers and return raw fds")]

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use cutaway_sys::{PerfEventAttr, fd::owned, perf_event::perf_event_open, report, report::check};

pub(crate) const COUNT_SW_BPF_OUTPUT: u64 = 10;
pub(crate) const SAMPLE_TIME: u64 = 1 << 2;
pub(crate) const SAMPLE_RAW: u64 = 1 << 10;
/// `PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING`.
pub(crate) const FORMAT_TIMES: u64 = 1 << 0 | 1 << 1;
pub(crate) const FORMAT_LOST: u64 = 1 << 4;

/// Opens a perf event on `cpu`, for all processes.
pub(crate) fn open_event(attr: &PerfEventAttr, cpu: u32, why: &str) -> io::Result<OwnedFd> {
    // No CPU has such an id: the kernel refuses it like any other id without a CPU.
    let cpu = i32::try_from(cpu).unwrap_or(i32::MAX);
    // SAFETY: every `attr` of this crate has the struct's size, and holds no address.
    let answer = unsafe { perf_event_open(attr, -1, cpu) };
    let is_set = |flag: u64| u32::from(attr.flags & flag != 0);
    report!("perf_event_open", &answer, why;
        "type" = "PERF_TYPE_SOFTWARE",
        "size" = attr.size,
        "config" = "PERF_COUNT_SW_BPF_OUTPUT",
        "sample_period" = attr.sample_period,
        "sample_type" =
            if attr.sample_type & SAMPLE_TIME == 0 { "PERF_SAMPLE_RAW" } else { "PERF_SAMPLE_TIME|PERF_SAMPLE_RAW" },
        "read_format" = if attr.read_format & FORMAT_LOST == 0 {
            "PERF_FORMAT_TOTAL_TIME_ENABLED|PERF_FORMAT_TOTAL_TIME_RUNNING"
        } else {
            "PERF_FORMAT_TOTAL_TIME_ENABLED|PERF_FORMAT_TOTAL_TIME_RUNNING|PERF_FORMAT_LOST"
        },
        "disabled" = is_set(PerfEventAttr::DISABLED),
        "watermark" = is_set(PerfEventAttr::WATERMARK),
        "use_clockid" = is_set(PerfEventAttr::USE_CLOCKID),
        "write_backward" = is_set(PerfEventAttr::WRITE_BACKWARD),
        "wakeup" = attr.wakeup,
        "clockid" = if attr.flags & PerfEventAttr::USE_CLOCKID == 0 { "0" } else { "CLOCK_MONOTONIC" },
        "pid" = -1,
        "cpu" = cpu,
        "group_fd" = -1,
        "flags" = "PERF_FLAG_FD_CLOEXEC");
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { owned(answer) }
}

/// Makes an ioctl on a perf event whose argument is a number.
fn perf_ioctl(event: BorrowedFd<'_>, request: libc::Ioctl, argument: c_ulong, name: &str, why: &str) -> io::Result<()> {
    // SAFETY: these requests take a plain number, and `event` is open.
    let answer = check(unsafe { libc::ioctl(event.as_raw_fd(), request, argument) });
    report!("ioctl", &answer, why;
        "fd" = event.as_raw_fd(),
        "op" = report::Value::from_display(&format_args!("PERF_EVENT_IOC_{name}")),
        "argument" = argument);
    answer.map(drop)
}

/// Enables an event (`PERF_EVENT_IOC_ENABLE`).
pub(crate) fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    perf_ioctl(event, libc::_IO(u32::from(b'$'), 0), 0, "ENABLE", "lets programs write through this event from now on")
}

/// Redirects the output of `event` into the ring of `other` (`PERF_EVENT_IOC_SET_OUTPUT`).
pub(crate) fn set_output(event: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<()> {
    perf_ioctl(
        event,
        libc::_IO(u32::from(b'$'), 5),
        other.as_raw_fd() as c_ulong,
        "SET_OUTPUT",
        "redirects the output of this event into the ring of the other event",
    )
}

/// Pauses or resumes the output of an event (`PERF_EVENT_IOC_PAUSE_OUTPUT`).
pub(crate) fn pause_output(event: BorrowedFd<'_>, pause: bool) -> io::Result<()> {
    perf_ioctl(
        event,
        libc::_IOW::<u32>(u32::from(b'$'), 9),
        c_ulong::from(pause),
        "PAUSE_OUTPUT",
        if pause { "keeps the kernel from writing while the ring is read" } else { "lets the kernel write again" },
    )
}

/// The counts that read(2) returns for an event opened with [`FORMAT_TIMES`], and with [`FORMAT_LOST`] if the kernel
/// supports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// How long the event has been enabled, in nanoseconds.
    pub(crate) enabled: u64,
    /// How long the event has been active on its CPU, in nanoseconds.
    pub(crate) running: u64,
    /// The number of lost samples. `None` without [`FORMAT_LOST`].
    pub(crate) lost: Option<u64>,
}

/// Reads `{value, time_enabled, time_running[, lost]}`.
pub(crate) fn read_counts(event: BorrowedFd<'_>) -> io::Result<Counts> {
    let mut words = [0_u64; 4];
    // SAFETY: the buffer is `size_of_val` bytes long, and any bytes are valid words.
    let answer = check(unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), size_of_val(&words)) as i64 });
    report!("read", &answer, "reads how long the event was active, and how many samples were lost, including the last ones";
        "fd" = event.as_raw_fd(),
        "count" = size_of_val(&words));
    let [_, enabled, running, lost] = words;
    match answer? {
        32 => Ok(Counts { enabled, running, lost: Some(lost) }),
        24 => Ok(Counts { enabled, running, lost: None }),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// Waits for a grace period (`MEMBARRIER_CMD_GLOBAL`, Linux 4.3). All code that ran with preemption disabled at the
/// call has finished when this function returns.
pub(crate) fn membarrier_global() -> io::Result<()> {
    const GLOBAL: c_int = 1;
    // SAFETY: no memory is involved.
    let answer = check(unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) });
    report!("membarrier", &answer, "waits until every program that was writing when the ring was paused has finished";
        "cmd" = "MEMBARRIER_CMD_GLOBAL",
        "flags" = 0,
        "cpu_id" = 0);
    answer.map(drop)
}

/// Returns the soft limit of RLIMIT_MEMLOCK, in bytes.
pub(crate) fn memlock_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is live and writable.
    let _ = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    limit.rlim_cur
}
