//! Direct system calls, and pages shared with the kernel.
#![expect(unsafe_code, reason = "raw system calls and shared memory")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicU32, AtomicU64},
};

/// Pages that stay mapped until the process ends.
pub(super) struct Page {
    start: *mut u8,
    length: usize,
}

// SAFETY: the pages are only touched by atomic accesses.
unsafe impl Sync for Page {}

impl Page {
    pub(super) fn map(fd: BorrowedFd<'_>, offset: usize, length: usize, writable: bool) -> Self {
        let prot = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), length, prot, libc::MAP_SHARED, fd.as_raw_fd(), offset as libc::off_t)
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self { start: start.cast(), length }
    }

    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.length && at.is_multiple_of(8));
        // SAFETY: inside the mapping, which is never unmapped, and aligned.
        unsafe { AtomicU64::from_ptr(self.start.wrapping_add(at).cast()) }
    }

    pub(super) fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.length && at.is_multiple_of(4));
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.start.wrapping_add(at).cast()) }
    }
}

pub(super) const ARRAY: u32 = 2;
pub(super) const PERF_EVENT_ARRAY: u32 = 4;
pub(super) const RINGBUF: u32 = 27;
pub(super) const USER_RINGBUF: u32 = 31;

/// Calls bpf(2) without the loader, because the owner represents other programs. The attribute has 128 bytes: 32-bit
/// words at the first offsets, addresses at the second ones.
fn bpf(command: u32, words: &[(usize, u32)], addresses: &[(usize, u64)]) -> io::Result<i64> {
    let mut attr = [0_u64; 16];
    let bytes: &mut [u8; 128] = {
        // SAFETY: 128 bytes, and any bytes are valid in both.
        unsafe { &mut *ptr::from_mut(&mut attr).cast() }
    };
    for (at, word) in words {
        bytes[*at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, address) in addresses {
        bytes[*at..at + 8].copy_from_slice(&address.to_ne_bytes());
    }
    // SAFETY: the callers give addresses of memory that lives during the call and is as long as the command requires.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(&mut attr), 128) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Returns the fd that a call has returned.
fn owned(answer: i64) -> OwnedFd {
    let fd = RawFd::try_from(answer).unwrap();
    // SAFETY: the kernel has just created this fd for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn name(text: &str) -> [(usize, u32); 4] {
    let mut bytes = [0; 16];
    bytes[..text.len().min(15)].copy_from_slice(&text.as_bytes()[..text.len().min(15)]);
    [0, 4, 8, 12].map(|at| (at, u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())))
}

pub(super) fn map_create(kind: u32, sizes: [u32; 3], text: &str) -> OwnedFd {
    try_map_create(kind, sizes, text).unwrap()
}

pub(super) fn try_map_create(kind: u32, [key, value, entries]: [u32; 3], text: &str) -> io::Result<OwnedFd> {
    let mut words = vec![(0, kind), (4, key), (8, value), (12, entries)];
    words.extend(name(text).map(|(at, word)| (28 + at, word)));
    bpf(0, &words, &[]).map(owned)
}

pub(super) fn map_id(map: BorrowedFd<'_>) -> u32 {
    let mut info = [0_u32; 20];
    bpf(15, &[(0, map.as_raw_fd() as u32), (4, 80)], &[(8, ptr::from_mut(&mut info).expose_provenance() as u64)])
        .unwrap();
    info[1]
}

/// Returns the one element of the map of numbers: the next number, and the count of lost records.
pub(super) fn lookup(map: BorrowedFd<'_>) -> [u64; 2] {
    let (key, mut value) = (0_u32, [0_u64; 2]);
    let addresses = [
        (8, ptr::from_ref(&key).expose_provenance() as u64),
        (16, ptr::from_mut(&mut value).expose_provenance() as u64),
    ];
    bpf(1, &[(0, map.as_raw_fd() as u32)], &addresses).unwrap();
    value
}

/// Sets element 0.
pub(super) fn update(map: BorrowedFd<'_>, value: &[u8]) {
    let key = 0_u32;
    let addresses =
        [(8, ptr::from_ref(&key).expose_provenance() as u64), (16, value.as_ptr().expose_provenance() as u64)];
    bpf(2, &[(0, map.as_raw_fd() as u32)], &addresses).unwrap();
}

/// Loads a program of type `SOCKET_FILTER`, which any process may run by `BPF_PROG_TEST_RUN`.
pub(super) fn load_program(instructions: &[u64], text: &str) -> OwnedFd {
    let mut log = vec![0_u8; 1 << 16];
    let words = [(0, 1), (4, instructions.len() as u32), (24, 1), (28, log.len() as u32)];
    let words: Vec<_> = words.into_iter().chain(name(text).map(|(at, word)| (48 + at, word))).collect();
    let addresses = [
        (8, instructions.as_ptr().expose_provenance() as u64),
        (16, c"GPL".as_ptr().expose_provenance() as u64),
        (32, log.as_mut_ptr().expose_provenance() as u64),
    ];
    let answer = bpf(5, &words, &addresses);
    match answer {
        Ok(answer) => owned(answer),
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&log).trim_end_matches('\0')),
    }
}

/// Runs the program this many times, over an empty packet.
pub(super) fn test_run(program: BorrowedFd<'_>, count: u64) {
    let packet = [0_u8; 64];
    let words = [(0, program.as_raw_fd() as u32), (8, packet.len() as u32), (32, count as u32)];
    if count > 0 {
        bpf(10, &words, &[(16, packet.as_ptr().expose_provenance() as u64)]).unwrap();
    }
}

/// Lifts the memlock limit: before Linux 5.11 all maps of a user count as locked memory, limited to 64 KiB.
pub(super) fn lift_memlock() {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one struct that lives during the call. If it fails, the limit is seldom reached.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) };
}

pub(super) fn pin_to_cpu_0() {
    let mut set = [0_u64; 16];
    set[0] = 1;
    // SAFETY: reads 128 bytes from `set`.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, 128, ptr::from_ref(&set)) };
    assert_eq!(answer, 0);
}

/// Opens an event of CPU 0 through which programs send: software, `BPF_OUTPUT`, raw samples, enabled.
pub(super) fn perf_event() -> OwnedFd {
    let mut attr = [0_u64; 14];
    attr[0] = 112 << 32 | 1;
    attr[1] = 10;
    attr[2] = 1; // sample_period
    attr[3] = 1 << 10; // PERF_SAMPLE_RAW
    // SAFETY: the attribute has 112 bytes, and gives that as its size.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, ptr::from_ref(&attr), -1, 0, -1, 8) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    owned(fd)
}
