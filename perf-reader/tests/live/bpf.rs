//! The kernel's side of a live test: a map of perf events, and a program that sends through it.
//!
//! ```text
//! send(size, count):                     a raw tracepoint program, run on a CPU of one's choice by BPF_PROG_TEST_RUN
//!     payload = &PAYLOADS[this CPU]
//!     repeat count times:
//!         payload.number += 1
//!         failures += bpf_perf_event_output(ctx, EVENTS, BPF_F_CURRENT_CPU, payload, size) != 0
//!     return failures
//! ```
//!
//! The instructions are written by hand, so that the tests depend on no loader.

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const MAP_CREATE: c_int = 0;
const MAP_UPDATE_ELEM: c_int = 2;
const PROG_LOAD: c_int = 5;
const PROG_TEST_RUN: c_int = 10;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_PERF_EVENT_ARRAY: u32 = 4;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
const F_TEST_RUN_ON_CPU: u32 = 1;

/// The largest payload it can send.
pub(crate) const MAX_PAYLOAD: usize = 70_000;
/// The most sends in one run.
pub(crate) const MAX_COUNT: u32 = 511;

/// bpf(2) with an attribute of 32-bit words.
fn bpf(command: c_int, attr: &mut [u32]) -> io::Result<c_long> {
    // SAFETY: the attribute is as long as we say, writable, and every pointer in it is to live memory.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr) as u32) };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

fn descriptor(answer: c_long) -> OwnedFd {
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(answer as c_int) }
}

fn map(kind: u32, value_size: u32, entries: u32) -> io::Result<OwnedFd> {
    bpf(MAP_CREATE, &mut [kind, 4, value_size, entries, 0]).map(descriptor)
}

/// The two words of an address.
fn address<T: ?Sized>(pointer: *const T) -> [u32; 2] {
    let address = pointer.cast::<u8>() as u64;
    let [a, b, c, d, e, f, g, h] = address.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn update(map: BorrowedFd<'_>, key: u32, value: &[u8]) -> io::Result<()> {
    let [key_low, key_high] = address(&raw const key);
    let [low, high] = address(value.as_ptr());
    let fd = map.as_raw_fd() as u32;
    bpf(MAP_UPDATE_ELEM, &mut [fd, 0, key_low, key_high, low, high, 0, 0]).map(drop)
}

/// A program that sends, its map of events, and its payloads.
pub(crate) struct Sender {
    events: OwnedFd,
    payloads: OwnedFd,
    program: OwnedFd,
}

impl Sender {
    /// Loads it. Without privileges this is EPERM.
    pub(crate) fn new() -> io::Result<Self> {
        let cpus = possible_cpus();
        let events = map(MAP_TYPE_PERF_EVENT_ARRAY, 4, cpus)?;
        let payloads = map(MAP_TYPE_ARRAY, MAX_PAYLOAD as u32, cpus)?;
        let program = load(&instructions(&events, &payloads))?;
        Ok(Self { events, payloads, program })
    }

    /// Puts a perf event in its CPU's slot.
    pub(crate) fn connect(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        update(self.events.as_fd(), cpu, &event.as_raw_fd().to_ne_bytes())
    }

    /// What it sends on `cpu` from now on: the first 8 bytes are a number that it counts up before each send.
    pub(crate) fn payload(&self, cpu: u32, payload: &[u8]) -> io::Result<()> {
        let mut value = payload.to_vec();
        value.resize(MAX_PAYLOAD, 0);
        update(self.payloads.as_fd(), cpu, &value)
    }

    /// Sends `count` payloads of `size` bytes on `cpu`; answers how many the kernel refused.
    pub(crate) fn send(&self, cpu: u32, size: usize, count: u32) -> io::Result<u32> {
        assert!(count <= MAX_COUNT && size <= MAX_PAYLOAD);
        let context = [size as u64, u64::from(count)];
        let [low, high] = address(context.as_ptr());
        let mut attr = [
            self.program.as_raw_fd() as u32,
            0, // retval
            0, // data_size_in
            0, // data_size_out
            0,
            0, // data_in
            0,
            0, // data_out
            0, // repeat
            0, // duration
            size_of_val(&context) as u32,
            0, // ctx_size_out
            low,
            high,
            0,
            0, // ctx_out
            F_TEST_RUN_ON_CPU,
            cpu,
            0, // batch_size
            0,
        ];
        bpf(PROG_TEST_RUN, &mut attr)?;
        Ok(attr[1])
    }
}

/// How many CPUs this machine may ever have.
fn possible_cpus() -> u32 {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let last = list.trim().rsplit(['-', ',']).next().unwrap();
    last.parse::<u32>().unwrap() + 1
}

/// `{u8 code, u4 dst, u4 src, s16 offset, s32 immediate}` as a word.
const fn instruction(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    let [o0, o1] = offset.to_ne_bytes();
    let [i0, i1, i2, i3] = immediate.to_ne_bytes();
    u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
}

fn instructions(events: &OwnedFd, payloads: &OwnedFd) -> Vec<u64> {
    const MOV: u8 = 0xbf;
    const MOV32_IMM: u8 = 0xb4;
    const ADD_IMM: u8 = 0x07;
    const AND_IMM: u8 = 0x57;
    const LOAD64: u8 = 0x79;
    const STORE32: u8 = 0x63;
    const STORE64: u8 = 0x7b;
    const STORE64_IMM: u8 = 0x7a;
    const LOAD_IMM64: u8 = 0x18;
    const JUMP: u8 = 0x05;
    const JUMP_IF_ZERO: u8 = 0x15;
    const JUMP_IF_ABOVE: u8 = 0x25;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const PSEUDO_MAP_FD: u8 = 1;
    let load_map = |register, map: &OwnedFd| [instruction(LOAD_IMM64, register, PSEUDO_MAP_FD, 0, map.as_raw_fd()), 0];
    let mut program = vec![
        instruction(MOV, 6, 1, 0, 0),                    //  0 r6 = ctx
        instruction(LOAD64, 7, 6, 0, 0),                 //  1 r7 = size
        instruction(LOAD64, 8, 6, 8, 0),                 //  2 r8 = count
        instruction(AND_IMM, 8, 0, 0, MAX_COUNT as i32), //  3
        instruction(STORE64_IMM, 10, 0, -16, 0),         //  4 failures = 0
        instruction(CALL, 0, 0, 0, 8),                   //  5 r0 = get_smp_processor_id()
        instruction(STORE32, 10, 0, -4, 0),              //  6 key = r0
    ];
    program.extend(load_map(1, payloads)); //  7, 8
    program.extend([
        instruction(MOV, 2, 10, 0, 0),                            //  9
        instruction(ADD_IMM, 2, 0, 0, -4),                        // 10
        instruction(CALL, 0, 0, 0, 1),                            // 11 r0 = map_lookup_elem(payloads, &key)
        instruction(JUMP_IF_ZERO, 0, 0, 19, 0),                   // 12 to 32
        instruction(MOV, 9, 0, 0, 0),                             // 13 r9 = payload
        instruction(JUMP_IF_ABOVE, 7, 0, 17, MAX_PAYLOAD as i32), // 14 to 32
        instruction(JUMP_IF_ZERO, 8, 0, 16, 0),                   // 15 to 32
        instruction(ADD_IMM, 8, 0, 0, -1),                        // 16
        instruction(LOAD64, 1, 9, 0, 0),                          // 17
        instruction(ADD_IMM, 1, 0, 0, 1),                         // 18
        instruction(STORE64, 9, 1, 0, 0),                         // 19 payload.number += 1
        instruction(MOV, 1, 6, 0, 0),                             // 20
    ]);
    program.extend(load_map(2, events)); // 21, 22
    program.extend([
        instruction(MOV32_IMM, 3, 0, 0, -1),     // 23 BPF_F_CURRENT_CPU
        instruction(MOV, 4, 9, 0, 0),            // 24
        instruction(MOV, 5, 7, 0, 0),            // 25
        instruction(CALL, 0, 0, 0, 25),          // 26 r0 = perf_event_output(...)
        instruction(JUMP_IF_ZERO, 0, 0, -13, 0), // 27 to 15
        instruction(LOAD64, 1, 10, -16, 0),      // 28
        instruction(ADD_IMM, 1, 0, 0, 1),        // 29
        instruction(STORE64, 10, 1, -16, 0),     // 30 failures += 1
        instruction(JUMP, 0, 0, -17, 0),         // 31 to 15
        instruction(LOAD64, 0, 10, -16, 0),      // 32
        instruction(EXIT, 0, 0, 0, 0),           // 33
    ]);
    program
}

fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 1 << 20];
    let [code_low, code_high] = address(instructions.as_ptr());
    let [license_low, license_high] = address(c"GPL".as_ptr());
    let mut attr = [
        PROG_TYPE_RAW_TRACEPOINT,
        instructions.len() as u32,
        code_low,
        code_high,
        license_low,
        license_high,
        0, // log_level
        0, // log_size
        0,
        0, // log_buf
        0, // kern_version
        0, // prog_flags
    ];
    let refused = match bpf(PROG_LOAD, &mut attr) {
        Ok(program) => return Ok(descriptor(program)),
        Err(error) => error,
    };
    let [log_low, log_high] = address(log.as_mut_ptr());
    (attr[6], attr[7], attr[8], attr[9]) = (1, log.len() as u32, log_low, log_high);
    if bpf(PROG_LOAD, &mut attr).is_err() {
        let text = String::from_utf8_lossy(&log);
        let said: Vec<&str> = text.trim_end_matches('\0').lines().rev().take(5).collect();
        eprintln!("the verifier: {said:#?}");
    }
    Err(refused)
}
