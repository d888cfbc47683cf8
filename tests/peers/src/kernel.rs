//! The kernel's side of the comparison: a ring and one program that fills it, loaded by bpf(2) and run on request
//! (`BPF_PROG_RUN`). So every consumer has exactly the same producer.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MAP_CREATE: i64 = 0;
const PROG_LOAD: i64 = 5;
const PROG_RUN: i64 = 10;
const MAP_TYPE_RINGBUF: u32 = 27;
const PROG_TYPE_SYSCALL: u32 = 31;
const F_SLEEPABLE: u32 = 1 << 4;

pub const ADAPTIVE: u64 = 0;
pub const NO_WAKEUP: u64 = 1;
pub const FORCE_WAKEUP: u64 = 2;

/// The largest number of records of one run.
pub const BATCH: u64 = 500;

fn bpf(command: i64, attr: &mut [u64]) -> io::Result<i64> {
    let size = size_of_val(attr);
    // SAFETY: kernel ABI, zero-padded; the memory that it points to outlives the call.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size) } {
        ..0 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: bpf(2) has just returned this fd, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Returns a word of `union bpf_attr` from its halves. Little-endian machines only.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

pub fn create_ring(bytes: u32) -> io::Result<OwnedFd> {
    let mut attr = [pair(MAP_TYPE_RINGBUF, 0), pair(0, bytes), 0, 0, 0, 0, 0, 0, 0];
    bpf(MAP_CREATE, &mut attr).map(owned)
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(imm as u32) << 32 | u64::from(off as u16) << 16 | u64::from(dst | src << 4) << 8 | u64::from(code)
}

/// The program's context: its parameters and its result.
#[repr(C)]
#[derive(Default)]
pub struct Run {
    /// The number of records, up to [`BATCH`].
    pub count: u64,
    /// The flags of all but the last record.
    pub flags: u64,
    /// The flags of the last record.
    pub last_flags: u64,
    /// Result: the number of records for which the ring had no space.
    pub dropped: u64,
}

/// A program that reserves and submits `count` records of eight bytes. If `count` is one, the record is the time
/// (CLOCK_MONOTONIC in nanoseconds), otherwise a running number.
pub struct Producer(OwnedFd);

impl Producer {
    pub fn new(ring: &OwnedFd) -> io::Result<Self> {
        const RESERVE: i32 = 131;
        const SUBMIT: i32 = 132;
        const KTIME: i32 = 5;
        let fd = ring.as_raw_fd();
        let program = [
            insn(0xbf, 6, 1, 0, 0),  // r6 = context
            insn(0x79, 7, 6, 0, 0),  // r7 = count
            insn(0xb7, 9, 0, 0, 0),  // r9 = 0
            insn(0x3d, 9, 7, 24, 0), // loop: if r9 >= r7 goto out
            insn(0x18, 1, 1, 0, fd), // r1 = ring
            0,
            insn(0xb7, 2, 0, 0, 8),       // r2 = 8
            insn(0xb7, 3, 0, 0, 0),       // r3 = 0
            insn(0x85, 0, 0, 0, RESERVE), // r0 = bpf_ringbuf_reserve(r1, r2, r3)
            insn(0x15, 0, 0, 13, 0),      // if r0 == 0 goto dropped
            insn(0xbf, 8, 0, 0, 0),       // r8 = r0
            insn(0xbf, 0, 9, 0, 0),       // r0 = r9
            insn(0x55, 7, 0, 1, 1),       // if r7 != 1 goto +1
            insn(0x85, 0, 0, 0, KTIME),   // r0 = bpf_ktime_get_ns()
            insn(0x7b, 8, 0, 0, 0),       // *r8 = r0
            insn(0xbf, 1, 8, 0, 0),       // r1 = r8
            insn(0x79, 2, 6, 8, 0),       // r2 = flags
            insn(0xbf, 3, 9, 0, 0),       // r3 = r9 + 1
            insn(0x07, 3, 0, 0, 1),
            insn(0x5d, 3, 7, 1, 0),      // if r3 != r7 goto +1
            insn(0x79, 2, 6, 16, 0),     // r2 = last_flags
            insn(0x85, 0, 0, 0, SUBMIT), // bpf_ringbuf_submit(r1, r2)
            insn(0x05, 0, 0, 3, 0),      // goto next
            insn(0x79, 1, 6, 24, 0),     // dropped: context.dropped += 1
            insn(0x07, 1, 0, 0, 1),
            insn(0x7b, 6, 1, 24, 0),
            insn(0x07, 9, 0, 0, 1),              // next: r9 += 1
            insn(0xa5, 9, 0, -25, BATCH as i32), // if r9 < BATCH goto loop
            insn(0xb7, 0, 0, 0, 0),              // out: return 0
            insn(0x95, 0, 0, 0, 0),
        ];
        let license = c"GPL";
        let mut log = vec![0_u8; 1 << 20];
        let mut attr = [0_u64; 18];
        attr[0] = pair(PROG_TYPE_SYSCALL, program.len() as u32);
        attr[1] = program.as_ptr() as u64;
        attr[2] = license.as_ptr() as u64;
        attr[5] = pair(0, F_SLEEPABLE);
        if let Ok(fd) = bpf(PROG_LOAD, &mut attr) {
            return Ok(Self(owned(fd)));
        }
        attr[3] = pair(1, log.len() as u32);
        attr[4] = log.as_mut_ptr() as u64;
        bpf(PROG_LOAD, &mut attr).map(|fd| Self(owned(fd))).map_err(|error| {
            let log = String::from_utf8_lossy(&log);
            io::Error::other(format!("{error}: {}", log.trim_end_matches('\0')))
        })
    }

    /// Runs the program once, on this thread. Returns the number of records for which the ring had no space.
    pub fn run(&self, mut run: Run) -> u64 {
        let mut attr = [0_u64; 10];
        attr[0] = pair(self.0.as_raw_fd() as u32, 0);
        attr[5] = pair(size_of::<Run>() as u32, 0);
        attr[6] = (&raw mut run) as u64;
        bpf(PROG_RUN, &mut attr).expect("BPF_PROG_RUN");
        run.dropped
    }
}
