//! The system calls, one function each, reported to the log as they are made.
//!
//! `perf_event_open`, `ioctl`, `read`, `epoll_*` and a pipe: nothing else leaves this crate but `mmap`, which
//! `mapping.rs` does. The log's target is `syscall`, its level trace.

#![expect(unsafe_code, reason = "system calls take raw pointers and answer raw descriptors")]

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// `struct perf_event_attr` as of Linux 3.7 (`PERF_ATTR_SIZE_VER3`, 96 bytes), whose tail holds the clock since 4.1.
///
/// The kernel reads as many bytes as `size` says and takes the rest for zero, so the oldest form that has what is needed
/// works everywhere (`include/uapi/linux/perf_event.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attr {
    pub(crate) kind: u32,
    pub(crate) size: u32,
    pub(crate) config: u64,
    pub(crate) sample_period: u64,
    pub(crate) sample_type: u64,
    pub(crate) read_format: u64,
    pub(crate) flags: u64,
    /// `wakeup_events`, or `wakeup_watermark` under [`FLAG_WATERMARK`].
    pub(crate) wakeup: u32,
    pub(crate) bp_type: u32,
    pub(crate) config1: u64,
    pub(crate) config2: u64,
    pub(crate) branch_sample_type: u64,
    pub(crate) sample_regs_user: u64,
    pub(crate) sample_stack_user: u32,
    pub(crate) clockid: i32,
}

pub(crate) const ATTR_SIZE: u32 = 96;
const _: () = assert!(size_of::<Attr>() == ATTR_SIZE as usize);

pub(crate) const TYPE_SOFTWARE: u32 = 1;
pub(crate) const COUNT_SW_BPF_OUTPUT: u64 = 10;
pub(crate) const SAMPLE_TIME: u64 = 1 << 2;
pub(crate) const SAMPLE_RAW: u64 = 1 << 10;
/// `PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING`.
pub(crate) const FORMAT_TIMES: u64 = 1 << 0 | 1 << 1;
pub(crate) const FORMAT_LOST: u64 = 1 << 4;
pub(crate) const FLAG_DISABLED: u64 = bit(0);
pub(crate) const FLAG_WATERMARK: u64 = bit(14);
pub(crate) const FLAG_USE_CLOCKID: u64 = bit(25);
pub(crate) const FLAG_WRITE_BACKWARD: u64 = bit(27);

const FLAG_FD_CLOEXEC: c_ulong = 1 << 3;

/// The n-th one-bit field of the C struct: counted from the other end on big-endian machines.
const fn bit(n: u32) -> u64 {
    if cfg!(target_endian = "little") { 1 << n } else { 1 << (63 - n) }
}

/// What a system call answered, for the log: its value, or the errno's name.
pub(crate) struct Answer<'a, T>(pub(crate) &'a Result<T, &'a io::Error>);

impl<T: std::fmt::Debug> std::fmt::Display for Answer<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value:?}"),
            Err(error) => write!(f, "{}", crate::error::Errno(error)),
        }
    }
}

/// The answer of a call that says -1 for failure.
fn checked(answer: impl Into<i64>) -> io::Result<i64> {
    match answer.into() {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// The descriptor that a successful call answered.
fn owned(answer: &io::Result<i64>) -> io::Result<OwnedFd> {
    match answer {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(*fd as c_int) }),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// Bytes in a page of this machine.
pub(crate) fn page_size() -> usize {
    // SAFETY: no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Opens a perf event on `cpu`, for all processes.
pub(crate) fn perf_event_open(attr: &Attr, cpu: u32, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a live struct whose `size` says how long it is; the kernel only reads it, or writes its own
    // size back into it on E2BIG, which the copy below bears.
    let answer = checked(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &mut { *attr },
            -1 as libc::pid_t,
            cpu as c_int,
            -1 as c_int,
            FLAG_FD_CLOEXEC,
        )
    });
    log::trace!(
        target: "syscall",
        syscall = "perf_event_open",
        "type" = "PERF_TYPE_SOFTWARE",
        size = attr.size,
        config = "PERF_COUNT_SW_BPF_OUTPUT",
        sample_period = attr.sample_period,
        sample_type = if attr.sample_type & SAMPLE_TIME == 0 { "PERF_SAMPLE_RAW" } else { "PERF_SAMPLE_TIME|PERF_SAMPLE_RAW" },
        read_format = if attr.read_format & FORMAT_LOST == 0 {
            "PERF_FORMAT_TOTAL_TIME_ENABLED|PERF_FORMAT_TOTAL_TIME_RUNNING"
        } else {
            "PERF_FORMAT_TOTAL_TIME_ENABLED|PERF_FORMAT_TOTAL_TIME_RUNNING|PERF_FORMAT_LOST"
        },
        disabled = u32::from(attr.flags & FLAG_DISABLED != 0),
        watermark = u32::from(attr.flags & FLAG_WATERMARK != 0),
        use_clockid = u32::from(attr.flags & FLAG_USE_CLOCKID != 0),
        write_backward = u32::from(attr.flags & FLAG_WRITE_BACKWARD != 0),
        wakeup = attr.wakeup,
        clockid = if attr.flags & FLAG_USE_CLOCKID == 0 { "0" } else { "CLOCK_MONOTONIC" },
        pid = -1,
        cpu = cpu,
        group_fd = -1,
        flags = "PERF_FLAG_FD_CLOEXEC",
        answer:% = Answer(&answer.as_ref());
        "{why}"
    );
    owned(&answer)
}

/// An ioctl on a perf event whose argument is a number.
fn perf_ioctl(event: BorrowedFd<'_>, request: libc::Ioctl, argument: c_ulong, name: &str, why: &str) -> io::Result<()> {
    // SAFETY: these requests take a plain number, and `event` is open.
    let answer = checked(unsafe { libc::ioctl(event.as_raw_fd(), request, argument) });
    log::trace!(
        target: "syscall",
        syscall = "ioctl",
        fd = event.as_raw_fd(),
        op:% = format_args!("PERF_EVENT_IOC_{name}"),
        argument = argument,
        answer:% = Answer(&answer.as_ref());
        "{why}"
    );
    answer.map(drop)
}

/// `PERF_EVENT_IOC_ENABLE`.
pub(crate) fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    perf_ioctl(event, libc::_IO(u32::from(b'$'), 0), 0, "ENABLE", "lets programs write through this event from now on")
}

/// `PERF_EVENT_IOC_SET_OUTPUT`.
pub(crate) fn set_output(event: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<()> {
    perf_ioctl(
        event,
        libc::_IO(u32::from(b'$'), 5),
        other.as_raw_fd() as c_ulong,
        "SET_OUTPUT",
        "has this event write into the ring of the other one, its twin",
    )
}

/// `PERF_EVENT_IOC_PAUSE_OUTPUT`.
pub(crate) fn pause_output(event: BorrowedFd<'_>, pause: bool) -> io::Result<()> {
    perf_ioctl(
        event,
        libc::_IOW::<u32>(u32::from(b'$'), 9),
        c_ulong::from(pause),
        "PAUSE_OUTPUT",
        if pause { "keeps the kernel from writing while the ring is read" } else { "lets the kernel write again" },
    )
}

/// What read(2) tells of an event opened with [`FORMAT_TIMES`], and with [`FORMAT_LOST`] where the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Nanoseconds since the event was enabled.
    pub(crate) enabled: u64,
    /// Nanoseconds that the event was active on its CPU.
    pub(crate) running: u64,
    /// Samples that found no room; `None` without [`FORMAT_LOST`].
    pub(crate) lost: Option<u64>,
}

/// Reads `{value, time_enabled, time_running[, lost]}`.
pub(crate) fn read_counts(event: BorrowedFd<'_>) -> io::Result<Counts> {
    let mut words = [0_u64; 4];
    // SAFETY: the buffer is `size_of_val` bytes long, and any bytes are valid words.
    let answer =
        checked(unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), size_of_val(&words)) as i64 });
    log::trace!(
        target: "syscall",
        syscall = "read",
        fd = event.as_raw_fd(),
        count = size_of_val(&words),
        answer:% = Answer(&answer.as_ref());
        "asks the kernel how long the event was active, and how many samples found no room, the last ones included"
    );
    let [_, enabled, running, lost] = words;
    match answer? {
        32 => Ok(Counts { enabled, running, lost: Some(lost) }),
        24 => Ok(Counts { enabled, running, lost: None }),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// `MEMBARRIER_CMD_GLOBAL` (Linux 4.3): returns after a grace period, so after everything that ran with preemption disabled
/// when it was called.
pub(crate) fn membarrier_global() -> io::Result<()> {
    const GLOBAL: c_int = 1;
    // SAFETY: no memory is involved.
    let answer = checked(unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) });
    log::trace!(
        target: "syscall",
        syscall = "membarrier",
        cmd = "MEMBARRIER_CMD_GLOBAL",
        flags = 0,
        cpu_id = 0,
        answer:% = Answer(&answer.as_ref());
        "waits until every program that was writing when the ring was paused has finished"
    );
    answer.map(drop)
}

/// An epoll instance.
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    let answer = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
    log::trace!(
        target: "syscall",
        syscall = "epoll_create1",
        flags = "EPOLL_CLOEXEC",
        answer:% = Answer(&answer.as_ref());
        "makes one thing to wait on for all CPUs"
    );
    owned(&answer)
}

/// Adds `fd` to `epoll`, for reading, under the name `token`.
pub(crate) fn epoll_add(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, token: u64, why: &str) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
    // SAFETY: both descriptors are open and the event is live.
    let answer =
        checked(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) });
    log::trace!(
        target: "syscall",
        syscall = "epoll_ctl",
        epfd = epoll.as_raw_fd(),
        op = "EPOLL_CTL_ADD",
        fd = fd.as_raw_fd(),
        events = "EPOLLIN",
        data = token,
        answer:% = Answer(&answer.as_ref());
        "{why}"
    );
    answer.map(drop)
}

/// Removes `fd` from `epoll`.
pub(crate) fn epoll_delete(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    // SAFETY: both descriptors are open, and this operation takes no event.
    let answer = checked(unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut())
    });
    log::trace!(
        target: "syscall",
        syscall = "epoll_ctl",
        epfd = epoll.as_raw_fd(),
        op = "EPOLL_CTL_DEL",
        fd = fd.as_raw_fd(),
        answer:% = Answer(&answer.as_ref());
        "{why}"
    );
    answer.map(drop)
}

/// Waits for at most `events.len()` descriptors, and not longer than `timeout`; a signal ends it
/// with nothing ready.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    events: &mut [libc::epoll_event],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let timeout =
        timeout.map_or(-1, |timeout| c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    let max = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
    // SAFETY: the kernel writes at most `max` events, and the slice has as many.
    let answer = checked(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), max, timeout) });
    log::trace!(
        target: "syscall",
        syscall = "epoll_wait",
        epfd = epoll.as_raw_fd(),
        maxevents = max,
        timeout = timeout,
        answer:% = Answer(&answer.as_ref());
        "sleeps until a CPU has records; asking consumes a perf event's readiness"
    );
    match answer {
        Ok(ready) => Ok(usize::try_from(ready).unwrap_or(0)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

/// A pipe whose ends never block: what to read from, what to write to.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors.
    let answer = checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) });
    log::trace!(
        target: "syscall",
        syscall = "pipe2",
        pipefd:? = ends,
        flags = "O_CLOEXEC|O_NONBLOCK",
        answer:% = Answer(&answer.as_ref());
        "makes a line by which another thread or a signal ends the wait"
    );
    answer?;
    let [read, write] = ends.map(|end| {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        unsafe { OwnedFd::from_raw_fd(end) }
    });
    Ok((read, write))
}

/// Writes one byte.
pub(crate) fn write_byte(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: one readable byte.
    let answer = checked(unsafe { libc::write(fd.as_raw_fd(), [1_u8].as_ptr().cast(), 1) as i64 });
    log::trace!(
        target: "syscall",
        syscall = "write",
        fd = fd.as_raw_fd(),
        count = 1,
        answer:% = Answer(&answer.as_ref());
        "ends the wait at the other end of the pipe"
    );
    answer.map(drop)
}

/// Reads a pipe that does not block until it is empty.
pub(crate) fn empty_pipe(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0_u8; 64];
    loop {
        // SAFETY: as many writable bytes as it says.
        let answer = checked(unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) as i64 });
        log::trace!(
            target: "syscall",
            syscall = "read",
            fd = fd.as_raw_fd(),
            count = bytes.len(),
            answer:% = Answer(&answer.as_ref());
            "empties the pipe, so that it can end a wait anew"
        );
        match answer {
            Ok(n) if n > 0 => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The soft limit of RLIMIT_MEMLOCK, in bytes.
pub(crate) fn memlock_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is live and writable.
    let _ = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    limit.rlim_cur
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is live and writable.
    let _ = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    let [seconds, nanoseconds] = [time.tv_sec as u64, time.tv_nsec as u64];
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds)
}
