//! Creates rings in the running kernel, and programs that produce into them.
//!
//! The programs are raw tracepoint programs that are attached to nothing. `BPF_PROG_TEST_RUN` runs them on request
//! (Linux 5.10), so a test decides which records are produced, when, and on which thread. Their context holds their
//! arguments; their return value is their result. They are assembled here, instruction by instruction, because the
//! crate under test does not load programs.
#![expect(unsafe_code, reason = "bpf(2) and the fds that it returns")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

mod btf;
pub(crate) mod insn;

use insn::{add, add_imm, call, exit, jeq_imm, jge, jgt_imm, jlt_imm, load, map, mov, mov_imm, store, store_u32, sub};

/// Commands of bpf(2), from `include/uapi/linux/bpf.h`.
const MAP_CREATE: i64 = 0;
const MAP_LOOKUP_ELEM: i64 = 1;
const MAP_UPDATE_ELEM: i64 = 2;
const PROG_LOAD: i64 = 5;
const OBJ_PIN: i64 = 6;
const OBJ_GET: i64 = 7;
const PROG_RUN: i64 = 10;
const BTF_LOAD: i64 = 18;

pub(crate) const MAP_TYPE_HASH: u32 = 1;
pub(crate) const MAP_TYPE_ARRAY: u32 = 2;
pub(crate) const MAP_TYPE_RINGBUF: u32 = 27;
pub(crate) const MAP_TYPE_USER_RINGBUF: u32 = 31;
pub(crate) const MAP_TYPE_ARENA: u32 = 33;
pub(crate) const F_MMAPABLE: u32 = 1 << 10;
pub(crate) const F_RB_OVERWRITE: u32 = 1 << 19;
const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// Flags of a commit.
pub(crate) const ADAPTIVE: u64 = 0;
pub(crate) const NO_WAKEUP: u64 = 1;
pub(crate) const FORCE_WAKEUP: u64 = 2;

/// The maximum size of a record of [`Producer::output`], in bytes.
pub(crate) const LONGEST: usize = 4096;

/// Calls bpf(2) with an attribute of 64-bit words. These tests call it themselves, because they test the reader without
/// the loader.
fn bpf(command: i64, attr: &mut [u64]) -> io::Result<i64> {
    let size = size_of_val(attr);
    // SAFETY: `attr` is zero-padded kernel ABI of the stated size; the pointers in
    // it are to memory that outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: the kernel has just created this fd for the caller.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Returns a word of `union bpf_attr` made of two halves, in the machine's byte order.
fn pair(first: u32, second: u32) -> u64 {
    let [a, b, c, d] = first.to_ne_bytes();
    let [e, f, g, h] = second.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

pub(crate) fn create_map(kind: u32, key: u32, value: u32, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = [pair(kind, key), pair(value, entries), pair(flags, 0), 0, 0, 0, 0, 0, 0];
    bpf(MAP_CREATE, &mut attr).map(owned)
}

/// Creates a `BPF_MAP_TYPE_RINGBUF` of `bytes` bytes.
pub(crate) fn create_ring(bytes: u32) -> io::Result<OwnedFd> {
    create_map(MAP_TYPE_RINGBUF, 0, 0, bytes, 0)
}

pub(crate) fn pin(fd: BorrowedFd<'_>, path: &std::ffi::CStr) -> io::Result<()> {
    let mut attr = [path.as_ptr() as u64, pair(fd.as_raw_fd() as u32, 0), 0];
    bpf(OBJ_PIN, &mut attr).map(drop)
}

/// Opens a pinned map; with `read_only`, only for reading.
pub(crate) fn get_pinned(path: &std::ffi::CStr, read_only: bool) -> io::Result<OwnedFd> {
    const F_RDONLY: u32 = 1 << 3;
    let flags = if read_only { F_RDONLY } else { 0 };
    let mut attr = [path.as_ptr() as u64, pair(0, flags), 0];
    bpf(OBJ_GET, &mut attr).map(owned)
}

pub(crate) fn update_map(map: BorrowedFd<'_>, key: u32, value: &[u8]) {
    let mut attr = [pair(map.as_raw_fd() as u32, 0), (&raw const key) as u64, value.as_ptr() as u64, 0];
    bpf(MAP_UPDATE_ELEM, &mut attr).expect("BPF_MAP_UPDATE_ELEM");
}

/// Reads an element whose value is as long as `value`.
pub(crate) fn lookup_map(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) {
    let mut attr = [pair(map.as_raw_fd() as u32, 0), (&raw const key) as u64, value.as_mut_ptr() as u64, 0];
    bpf(MAP_LOOKUP_ELEM, &mut attr).expect("BPF_MAP_LOOKUP_ELEM");
}

/// The number of threads that can use one producer at a time.
const SLOTS: u32 = 8;

pub(crate) const LOOKUP: i32 = 1;
pub(crate) const OUTPUT: i32 = 130;
pub(crate) const RESERVE: i32 = 131;
pub(crate) const SUBMIT: i32 = 132;
const DISCARD: i32 = 133;

/// Loads a raw tracepoint program of one function.
pub(crate) fn load_program(instructions: &[u64]) -> OwnedFd {
    load_functions(instructions, None, &[])
}

/// Loads a raw tracepoint program with a callback function, which begins at instruction `at`.
pub(crate) fn load_with_callback(instructions: &[u64], at: u32) -> OwnedFd {
    let types = btf::of_program_and_callback();
    let (mut log, size) = (vec![0_u8; 1 << 16], types.len() as u32);
    let mut attr = [types.as_ptr() as u64, log.as_mut_ptr() as u64, pair(size, log.len() as u32), pair(1, 0)];
    let Ok(types) = bpf(BTF_LOAD, &mut attr).map(owned) else {
        panic!("BPF_BTF_LOAD: {}", String::from_utf8_lossy(&log).trim_end_matches('\0'));
    };
    load_functions(instructions, Some(&types), &[pair(0, btf::PROGRAM), pair(at, btf::CALLBACK)])
}

/// Loads a raw tracepoint program. `infos` describes its functions by `struct bpf_func_info`: the first instruction and
/// the type id of each.
fn load_functions(instructions: &[u64], types: Option<&OwnedFd>, infos: &[u64]) -> OwnedFd {
    let license = c"MIT";
    let mut attr = [0_u64; 18];
    attr[0] = pair(PROG_TYPE_RAW_TRACEPOINT, instructions.len() as u32);
    attr[1] = instructions.as_ptr() as u64;
    attr[2] = license.as_ptr() as u64;
    if let Some(types) = types {
        attr[9] = pair(types.as_raw_fd() as u32, size_of::<u64>() as u32);
        attr[10] = infos.as_ptr() as u64;
        attr[11] = pair(infos.len() as u32, 0);
    }
    // First without a log, because a log that does not fit makes the call fail.
    let error = match bpf(PROG_LOAD, &mut attr) {
        Ok(fd) => return owned(fd),
        Err(error) => error,
    };
    let mut log = vec![0_u8; 1 << 20];
    attr[3] = pair(1, log.len() as u32);
    attr[4] = log.as_mut_ptr() as u64;
    let again = bpf(PROG_LOAD, &mut attr).map(drop);
    panic!("{error}, then {again:?}: {}", String::from_utf8_lossy(&log).trim_end_matches('\0'));
}

/// Programs that produce into one ring when they are run.
pub(crate) struct Producer {
    /// The slots of `payloads` that no running program uses.
    slots: Mutex<Vec<u32>>,
    payloads: OwnedFd,
    output: OwnedFd,
    discard: OwnedFd,
    submit: OwnedFd,
}

/// The maximum number of records of one run. The verifier walks every iteration of the loop.
pub(crate) const MOST: u64 = 500;

impl Producer {
    pub(crate) fn new(ring: &impl AsFd) -> Self {
        let ring = ring.as_fd();
        let payloads = create_map(MAP_TYPE_ARRAY, 4, LONGEST as u32, SLOTS, 0).expect("an array");
        let [payloads_low, payloads_high] = map(payloads.as_fd());
        let [map_low, map_high] = map(ring);
        // The context, all u64: count, size, flags, the number of the first record, the slot of the payload. Each
        // payload starts with its number: the first one plus its index in the run. The result is the number of
        // failures. It is kept on the stack, and its initial 0 is hidden from the verifier, which would otherwise track
        // its value through every iteration.
        let output = [
            mov(6, 1),
            load(1, 6, 0),
            sub(1, 1),
            store(10, -16, 1),
            load(1, 6, 32),
            store_u32(10, -8, 1),
            mov(2, 10),
            add_imm(2, -8),
            payloads_low,
            payloads_high,
            call(LOOKUP),
            jeq_imm(0, 0, 21),
            mov(7, 0),
            load(8, 6, 8),
            mov_imm(9, 0),
            jgt_imm(8, LONGEST as i32, 17),
            // The loop.
            load(1, 6, 0),
            jge(9, 1, 15),
            load(1, 6, 24),
            add(1, 9),
            store(7, 0, 1),
            map_low,
            map_high,
            mov(2, 7),
            mov(3, 8),
            load(4, 6, 16),
            call(OUTPUT),
            jeq_imm(0, 0, 3),
            load(1, 10, -16),
            add_imm(1, 1),
            store(10, -16, 1),
            add_imm(9, 1),
            jlt_imm(9, MOST as i32, -17),
            load(0, 10, -16),
            exit(),
        ];
        let reserve_and = |end: i32| {
            load_program(&[
                mov(6, 1),
                map_low,
                map_high,
                mov_imm(2, 8),
                mov_imm(3, 0),
                call(RESERVE),
                jeq_imm(0, 0, 7),
                load(1, 6, 8),
                store(0, 0, 1),
                mov(1, 0),
                load(2, 6, 0),
                call(end),
                mov_imm(0, 0),
                exit(),
                mov_imm(0, 1),
                exit(),
            ])
        };
        Self {
            slots: Mutex::new((0..SLOTS).collect()),
            payloads,
            output: load_program(&output),
            discard: reserve_and(DISCARD),
            submit: reserve_and(SUBMIT),
        }
    }

    /// Calls `bpf_ringbuf_output` `count` times with `flags`. Each record is a copy of `payload` whose first eight
    /// bytes are `first`, `first + 1` and so on. Returns the number of calls that failed.
    pub(crate) fn output(&self, first: u64, count: u64, payload: &[u8], flags: u64) -> u64 {
        assert!(count <= MOST && payload.len() <= LONGEST);
        let slot = self.slots.lock().unwrap().pop().expect("no more threads than slots");
        let mut value = vec![0; LONGEST];
        value[..payload.len()].copy_from_slice(payload);
        update_map(self.payloads.as_fd(), slot, &value);
        let failed = run(&self.output, &[count, payload.len() as u64, flags, first, u64::from(slot)]);
        self.slots.lock().unwrap().push(slot);
        failed
    }

    /// Reserves eight bytes (`bpf_ringbuf_reserve`) and discards them (`bpf_ringbuf_discard`) with `flags`.
    pub(crate) fn discard(&self, flags: u64) {
        self.reserved(&self.discard, 0, flags);
    }

    /// Reserves eight bytes (`bpf_ringbuf_reserve`), writes `number` into them and submits them (`bpf_ringbuf_submit`)
    /// with `flags`.
    pub(crate) fn submit(&self, number: u64, flags: u64) {
        self.reserved(&self.submit, number, flags);
    }

    fn reserved(&self, program: &OwnedFd, number: u64, flags: u64) {
        assert_eq!(run(program, &[flags, number]), 0, "bpf_ringbuf_reserve");
    }
}

/// Runs a program once, on this thread, with this context (`BPF_PROG_TEST_RUN`). Returns its result.
pub(crate) fn run(program: &OwnedFd, context: &[u64]) -> u64 {
    let mut attr = [0_u64; 10];
    attr[0] = pair(program.as_raw_fd() as u32, 0);
    attr[5] = pair(size_of_val(context) as u32, 0);
    attr[6] = context.as_ptr() as u64;
    bpf(PROG_RUN, &mut attr).expect("BPF_PROG_TEST_RUN");
    let [.., a, b, c, d] = attr[0].to_ne_bytes();
    u64::from(u32::from_ne_bytes([a, b, c, d]))
}

/// Raises the limit of locked memory. Kernels before 5.11 charge maps to it, and the default is 64 KiB. If this fails,
/// a test fails later.
pub(crate) fn lift_memlock() {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one struct that lives during the call.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) };
}
