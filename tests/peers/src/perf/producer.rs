//! The kernel's side: an array of perf events, and one program that sends through it on request (`BPF_PROG_RUN`). So
//! every consumer has exactly the same producer.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MAP_CREATE: i64 = 0;
const PROG_LOAD: i64 = 5;
const PROG_RUN: i64 = 10;
const MAP_TYPE_PERF_EVENT_ARRAY: u32 = 4;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

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

/// Creates a perf event array with `slots` slots.
pub fn create_array(slots: u32) -> io::Result<OwnedFd> {
    let mut attr = [pair(MAP_TYPE_PERF_EVENT_ARRAY, 4), pair(4, slots), 0, 0, 0, 0, 0, 0, 0];
    bpf(MAP_CREATE, &mut attr).map(owned)
}

/// Puts `event` into the slot of `cpu`.
pub fn set_slot(array: &OwnedFd, cpu: u32, event: i32) -> io::Result<()> {
    const MAP_UPDATE_ELEM: i64 = 2;
    let mut attr = [pair(array.as_raw_fd() as u32, 0), (&raw const cpu) as u64, (&raw const event) as u64, 0];
    bpf(MAP_UPDATE_ELEM, &mut attr).map(drop)
}

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(imm as u32) << 32 | u64::from(off as u16) << 16 | u64::from(dst | src << 4) << 8 | u64::from(code)
}

/// A program that sends `count` records of eight bytes through the slot of its CPU. If `count` is one, the record is
/// the time (CLOCK_MONOTONIC in nanoseconds), otherwise a running number. Returns the number of records for which the
/// buffer had no space.
pub struct Producer(OwnedFd);

impl Producer {
    pub fn new(array: &OwnedFd) -> io::Result<Self> {
        const OUTPUT: i32 = 25;
        const KTIME: i32 = 5;
        let program = [
            insn(0xbf, 6, 1, 0, 0),                 // r6 = context
            insn(0x79, 7, 6, 0, 0),                 // r7 = count
            insn(0xb7, 8, 0, 0, 0),                 // r8 = 0, the count of lost records
            insn(0xb7, 9, 0, 0, 0),                 // r9 = 0
            insn(0x3d, 9, 7, 17, 0),                // loop: if r9 >= r7 goto out
            insn(0xbf, 0, 9, 0, 0),                 // r0 = r9
            insn(0x55, 7, 0, 1, 1),                 // if r7 != 1 goto +1
            insn(0x85, 0, 0, 0, KTIME),             // r0 = bpf_ktime_get_ns()
            insn(0x7b, 10, 0, -8, 0),               // record = r0
            insn(0xbf, 1, 6, 0, 0),                 // r1 = context
            insn(0x18, 2, 1, 0, array.as_raw_fd()), // r2 = array
            0,
            insn(0xb4, 3, 0, 0, -1), // r3 = BPF_F_CURRENT_CPU
            insn(0xbf, 4, 10, 0, 0), // r4 = &record
            insn(0x07, 4, 0, 0, -8),
            insn(0xb7, 5, 0, 0, 8),              // r5 = 8
            insn(0x85, 0, 0, 0, OUTPUT),         // r0 = bpf_perf_event_output(...)
            insn(0x15, 0, 0, 1, 0),              // if r0 == 0 goto next
            insn(0x07, 8, 0, 0, 1),              // r8 += 1
            insn(0x07, 9, 0, 0, 1),              // next: r9 += 1
            insn(0xa5, 9, 0, -17, BATCH as i32), // if r9 < BATCH goto loop
            insn(0x05, 0, 0, 0, 0),
            insn(0xbf, 0, 8, 0, 0), // out: return r8
            insn(0x95, 0, 0, 0, 0),
        ];
        let license = c"GPL";
        let mut attr = [0_u64; 18];
        attr[0] = pair(PROG_TYPE_RAW_TRACEPOINT, program.len() as u32);
        attr[1] = program.as_ptr() as u64;
        attr[2] = license.as_ptr() as u64;
        if let Ok(fd) = bpf(PROG_LOAD, &mut attr) {
            return Ok(Self(owned(fd)));
        }
        let mut log = vec![0_u8; 1 << 20];
        attr[3] = pair(1, log.len() as u32);
        attr[4] = log.as_mut_ptr() as u64;
        bpf(PROG_LOAD, &mut attr).map(|fd| Self(owned(fd))).map_err(|error| {
            let log = String::from_utf8_lossy(&log);
            io::Error::other(format!("{error}: {}", log.trim_end_matches('\0')))
        })
    }

    /// Runs the program once, on this thread's CPU. Returns the number of records for which the buffer had no space.
    pub fn run(&self, count: u64) -> u64 {
        let context = [count];
        let mut attr = [0_u64; 10];
        attr[0] = pair(self.0.as_raw_fd() as u32, 0);
        attr[5] = pair(size_of_val(&context) as u32, 0);
        attr[6] = context.as_ptr() as u64;
        bpf(PROG_RUN, &mut attr).expect("BPF_PROG_RUN");
        attr[0] >> 32
    }
}
