//! The kernel's side of the live tests: a map of perf events, and a program that sends through it.
//!
//! ```text
//! send(size, count):                     a raw tracepoint program, run on any CPU by BPF_PROG_TEST_RUN
//!     payload = &PAYLOADS[this CPU]
//!     repeat count times:
//!         payload.number += 1
//!         failures += bpf_perf_event_output(ctx, EVENTS, BPF_F_CURRENT_CPU, payload, size) != 0
//!     return failures
//! ```
//!
//! The instructions are written by hand, so that the tests do not depend on a loader.

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const MAP_CREATE: c_int = 0;
const MAP_UPDATE_ELEM: c_int = 2;
const PROG_LOAD: c_int = 5;
const PROG_TEST_RUN: c_int = 10;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_PERF_EVENT_ARRAY: u32 = 4;
const PROG_TYPE_TRACEPOINT: u32 = 5;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
const F_TEST_RUN_ON_CPU: u32 = 1;

/// The largest payload of the program, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 70_000;
/// The maximum number of sends in one run.
pub(crate) const MAX_COUNT: u32 = 511;

/// Calls bpf(2) with an attribute of 32-bit words. These tests call it themselves, because they test the reader without
/// the loader.
fn bpf(command: c_int, attr: &mut [u32]) -> io::Result<c_long> {
    // SAFETY: the attribute is as long as stated, writable, and every pointer in it is to live memory.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr) as u32) };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

fn owned(answer: c_long) -> OwnedFd {
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { OwnedFd::from_raw_fd(answer as c_int) }
}

fn map(kind: u32, value_size: u32, entries: u32) -> io::Result<OwnedFd> {
    bpf(MAP_CREATE, &mut [kind, 4, value_size, entries, 0]).map(owned)
}

/// Returns the two 32-bit words of an address.
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

/// The sending program, its map of events, and its payloads.
pub(crate) struct Sender {
    events: OwnedFd,
    payloads: OwnedFd,
    program: OwnedFd,
}

impl Sender {
    /// Loads the program. EPERM without privileges.
    pub(crate) fn new() -> io::Result<Self> {
        Self::with_slots(possible_cpus())
    }

    /// Loads the program with a map of `slots` slots.
    pub(crate) fn with_slots(slots: u32) -> io::Result<Self> {
        let cpus = possible_cpus();
        let events = map(MAP_TYPE_PERF_EVENT_ARRAY, 4, slots)?;
        let payloads = map(MAP_TYPE_ARRAY, MAX_PAYLOAD as u32, cpus)?;
        let program = load(PROG_TYPE_RAW_TRACEPOINT, &instructions(&events, &payloads))?;
        Ok(Self { events, payloads, program })
    }

    /// Puts a perf event into its CPU's slot.
    pub(crate) fn connect(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        update(self.events.as_fd(), cpu, &event.as_raw_fd().to_ne_bytes())
    }

    /// Sets the payload on `cpu`. The program increments the number in its first 8 bytes before each send.
    pub(crate) fn payload(&self, cpu: u32, payload: &[u8]) -> io::Result<()> {
        let mut value = payload.to_vec();
        value.resize(MAX_PAYLOAD, 0);
        update(self.payloads.as_fd(), cpu, &value)
    }

    /// Sends `count` payloads of `size` bytes on `cpu`. Returns the number that the kernel refused.
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

/// Programs on the scheduler's tracepoints that send `{u32 pid, u32 stage}` when a process is forked (stage 0),
/// executes another program (1) and exits (2).
pub(crate) struct Lives {
    events: OwnedFd,
    _links: Vec<(OwnedFd, OwnedFd)>,
}

impl Lives {
    /// Loads and attaches the programs.
    pub(crate) fn new() -> io::Result<Self> {
        const STAGES: [(&str, &str); 3] =
            [("sched_process_fork", "child_pid"), ("sched_process_exec", "pid"), ("sched_process_exit", "pid")];
        let events = map(MAP_TYPE_PERF_EVENT_ARRAY, 4, possible_cpus())?;
        let mut links = Vec::new();
        for (stage, (name, field)) in STAGES.into_iter().enumerate() {
            let directory = format!("/sys/kernel/tracing/events/sched/{name}");
            let id = std::fs::read_to_string(format!("{directory}/id"))?.trim().parse().unwrap();
            let format = std::fs::read_to_string(format!("{directory}/format"))?;
            let line = format.lines().find(|line| line.contains(&format!(" {field};"))).unwrap();
            let offset = line.split("offset:").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
            let program = load(PROG_TYPE_TRACEPOINT, &announce(&events, offset, stage as i32))?;
            let link = attach(id, &program)?;
            links.push((program, link));
        }
        Ok(Self { events, _links: links })
    }

    /// Puts a perf event into its CPU's slot.
    pub(crate) fn connect(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        update(self.events.as_fd(), cpu, &event.as_raw_fd().to_ne_bytes())
    }
}

/// Returns a program that calls `bpf_perf_event_output(ctx, events, BPF_F_CURRENT_CPU, {*(u32 *)(ctx + offset), stage},
/// 8)`.
fn announce(events: &OwnedFd, offset: i16, stage: i32) -> Vec<u64> {
    vec![
        instruction(0x61, 2, 1, offset, 0),  // w2 = the pid
        instruction(0x63, 10, 2, -8, 0),     // event.pid = w2
        instruction(0x62, 10, 0, -4, stage), // event.stage = stage
        instruction(0x18, 2, 1, 0, events.as_raw_fd()),
        0,
        instruction(0xb4, 3, 0, 0, -1), // BPF_F_CURRENT_CPU
        instruction(0xbf, 4, 10, 0, 0),
        instruction(0x07, 4, 0, 0, -8),
        instruction(0xb7, 5, 0, 0, 8),
        instruction(0x85, 0, 0, 0, 25), // perf_event_output
        instruction(0xb7, 0, 0, 0, 0),
        instruction(0x95, 0, 0, 0, 0),
    ]
}

/// Attaches `program` to the tracepoint with this id, on all CPUs, until the returned fd is closed.
fn attach(id: u64, program: &OwnedFd) -> io::Result<OwnedFd> {
    const TYPE_TRACEPOINT: u64 = 2;
    const ATTR_SIZE: u64 = 64;
    const ALL_PROCESSES: libc::pid_t = -1;
    // type and size, config, sample_period, sample_type, read_format, flags, wakeup_events, config1
    let attr = [TYPE_TRACEPOINT | ATTR_SIZE << 32, id, 1, 0, 0, 0, 0, 0];
    // SAFETY: the attribute is as long as its size field.
    let event = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), ALL_PROCESSES, 0, -1, 8_u64) };
    if event == -1 {
        return Err(io::Error::last_os_error());
    }
    let event = owned(event);
    let requests = [(libc::_IOW::<u32>(u32::from(b'$'), 8), program.as_raw_fd()), (libc::_IO(u32::from(b'$'), 0), 0)];
    for (request, argument) in requests {
        // SAFETY: both requests, SET_BPF and ENABLE, take a number.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// Returns the number of slots of an array with one for each possible CPU.
pub(crate) fn possible_cpus() -> u32 {
    cutaway_sys::cpus::array_len().unwrap()
}

/// Encodes `{u8 code, u4 dst, u4 src, s16 offset, s32 immediate}` as a word.
const fn instruction(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    let [o0, o1] = offset.to_ne_bytes();
    let [i0, i1, i2, i3] = immediate.to_ne_bytes();
    u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
}

fn instructions(events: &OwnedFd, payloads: &OwnedFd) -> Vec<u64> {
    const MOV: u8 = 0xbf;
    const MOV_IMM: u8 = 0xb7;
    const MOV32_IMM: u8 = 0xb4;
    const ADD_IMM: u8 = 0x07;
    const LOAD64: u8 = 0x79;
    const STORE32: u8 = 0x63;
    const STORE64: u8 = 0x7b;
    const LOAD_IMM64: u8 = 0x18;
    const JUMP_UNLESS_BELOW: u8 = 0x3d;
    const JUMP_IF_BELOW: u8 = 0xa5;
    const JUMP_IF_ZERO: u8 = 0x15;
    const JUMP_IF_ABOVE: u8 = 0x25;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const PSEUDO_MAP_FD: u8 = 1;
    let load_map = |register, map: &OwnedFd| [instruction(LOAD_IMM64, register, PSEUDO_MAP_FD, 0, map.as_raw_fd()), 0];
    // r6 = failures, r7 = size, r8 = sends so far, r9 = payload; context and count on the stack.
    let mut program = vec![
        instruction(STORE64, 10, 1, -16, 0), //  0 context = r1
        instruction(LOAD64, 7, 1, 0, 0),     //  1
        instruction(LOAD64, 2, 1, 8, 0),     //  2
        instruction(STORE64, 10, 2, -24, 0), //  3 count = r2
        instruction(MOV_IMM, 6, 0, 0, 0),    //  4
        instruction(MOV_IMM, 8, 0, 0, 0),    //  5
        instruction(CALL, 0, 0, 0, 8),       //  6 r0 = get_smp_processor_id()
        instruction(STORE32, 10, 0, -4, 0),  //  7 key = r0
    ];
    program.extend(load_map(1, payloads)); //  8, 9
    program.extend([
        instruction(MOV, 2, 10, 0, 0),                            // 10
        instruction(ADD_IMM, 2, 0, 0, -4),                        // 11
        instruction(CALL, 0, 0, 0, 1),                            // 12 r0 = map_lookup_elem(payloads, &key)
        instruction(JUMP_IF_ZERO, 0, 0, 18, 0),                   // 13 to 32
        instruction(MOV, 9, 0, 0, 0),                             // 14
        instruction(JUMP_IF_ABOVE, 7, 0, 16, MAX_PAYLOAD as i32), // 15 to 32
        instruction(LOAD64, 1, 10, -24, 0),                       // 16
        instruction(JUMP_UNLESS_BELOW, 8, 1, 14, 0),              // 17 to 32
        instruction(LOAD64, 1, 9, 0, 0),                          // 18
        instruction(ADD_IMM, 1, 0, 0, 1),                         // 19
        instruction(STORE64, 9, 1, 0, 0),                         // 20 payload.number += 1
        instruction(LOAD64, 1, 10, -16, 0),                       // 21
    ]);
    program.extend(load_map(2, events)); // 22, 23
    program.extend([
        instruction(MOV32_IMM, 3, 0, 0, -1),                     // 24 BPF_F_CURRENT_CPU
        instruction(MOV, 4, 9, 0, 0),                            // 25
        instruction(MOV, 5, 7, 0, 0),                            // 26
        instruction(CALL, 0, 0, 0, 25),                          // 27 r0 = perf_event_output(...)
        instruction(JUMP_IF_ZERO, 0, 0, 1, 0),                   // 28 to 30
        instruction(ADD_IMM, 6, 0, 0, 1),                        // 29
        instruction(ADD_IMM, 8, 0, 0, 1),                        // 30
        instruction(JUMP_IF_BELOW, 8, 0, -16, MAX_COUNT as i32), // 31 to 16
        instruction(MOV, 0, 6, 0, 0),                            // 32
        instruction(EXIT, 0, 0, 0, 0),                           // 33
    ]);
    program
}

fn load(kind: u32, instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 1 << 20];
    let [code_low, code_high] = address(instructions.as_ptr());
    let [license_low, license_high] = address(c"GPL".as_ptr());
    let mut attr = [
        kind,
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
        Ok(program) => return Ok(owned(program)),
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
