//! A `PERF_EVENT_ARRAY` as the map in which programs find perf buffers: fills its slots and queries them.
//!
//! No command of bpf(2) reads a slot. A program on the slot's CPU can read it (`bpf_perf_event_read_value` in
//! `kernel/trace/bpf_trace.c`) without disturbing any reader. So a tiny program is run for that:
//!
//! ```text
//!     run(since):     value = the event in this CPU's slot
//!                     no event                      -> 1
//!                     not readable here             -> 0
//!                     enabled - since, if it fits   -> that + 3
//!                     otherwise                     -> 2
//! ```

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use perf_reader::{AdaptiveReader, EventArray, Options, Slot};

use cutaway_sys::{AttachType, Instruction, fd};

use crate::{
    Error, Map, MapType, ProgramType,
    sys::{
        bpf::{self, BtfTarget, Program},
        elements::Elements,
        run,
    },
    token::Tokens,
};

/// A `PERF_EVENT_ARRAY` as the map in which programs find perf buffers. The kernel empties a slot when the fd that
/// filled it is closed, so this struct keeps one open.
///
/// `Send` and `Sync`.
#[doc(alias("perf_buffer", "BPF_MAP_TYPE_PERF_EVENT_ARRAY"))]
#[derive(Debug)]
pub struct PerfEventArray {
    elements: Elements,
    /// The program that queries a slot; `None` if the kernel does not support or does not allow it.
    slot_reader: Option<OwnedFd>,
}

impl Map {
    /// Opens a perf buffer of `bytes` bytes (a power of two and a multiple of the page size) on every online CPU and
    /// puts it into this map, where `bpf_perf_event_output` finds it. CPUs without a slot in the map are skipped, with
    /// a warning ([`PerCpuBuffers::without_slot`](perf_reader::PerCpuBuffers::without_slot)).
    ///
    /// On Linux 5.10 and later [`AdaptiveReader::refresh`] detects whether another reader has taken the slots. For that
    /// it runs a program of some twenty instructions on each CPU, which interrupts that CPU for some microseconds,
    /// isolated CPUs included.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not a `PERF_EVENT_ARRAY`; [`Error::Perf`] if a buffer cannot be opened, or the
    /// map refuses it (E2BIG: it has no slot for any of the CPUs).
    #[doc(alias("perf_buffer__new", "perf.NewReader"))]
    pub fn perf_buffers(&self, bytes: u32, options: &Options) -> Result<AdaptiveReader<PerfEventArray>, Error> {
        self.must_be(MapType::PERF_EVENT_ARRAY, "read it as perf buffers")?;
        let why =
            "duplicates the map's fd for the reader: the kernel empties a slot when the fd that filled it is closed";
        let array = fd::duplicate(self.as_fd(), why).and_then(Elements::new);
        let elements = array.map_err(|error| self.failed("duplicate the fd of", &error))?;
        // Reading works without this program; only another reader goes unnoticed.
        let slot_reader = load_slot_reader(self.as_fd()).ok();
        Ok(AdaptiveReader::open(bytes, options, PerfEventArray { elements, slot_reader })?)
    }
}

impl EventArray for PerfEventArray {
    fn set(&self, cpu: u32, event: BorrowedFd<'_>) -> io::Result<()> {
        self.elements.update(&cpu.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes(), 0)
    }

    fn query(&self, cpu: u32, since: u64) -> io::Result<Option<Slot>> {
        let Some(slot_reader) = &self.slot_reader else { return Ok(None) };
        let why = "queries the slot of a CPU: another reader may have taken it";
        Ok(match run::prog_test_run_on(slot_reader.as_fd(), cpu, &mut [since], why)? {
            CANNOT => None,
            EMPTY => Some(Slot::Empty),
            OTHER => Some(Slot::Other),
            more => Some(Slot::Enabled(since.saturating_add(more.saturating_sub(FIRST).into()))),
        })
    }
}

const CANNOT: u32 = 0;
const EMPTY: u32 = 1;
const OTHER: u32 = 2;
/// The value that encodes 0 nanoseconds.
const FIRST: u32 = 3;

/// Loads the program that queries the slots of `map`.
fn load_slot_reader(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const LOAD_IMM64: u8 = 0x18;
    const PSEUDO_MAP_FD: u8 = 1;
    const LOAD64: u8 = 0x79;
    const MOV: u8 = 0xbf;
    const MOV_IMM: u8 = 0xb7;
    const MOV32_IMM: u8 = 0xb4;
    const ADD_IMM: u8 = 0x07;
    const SUB: u8 = 0x1f;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const JUMP_IF_EQUAL: u8 = 0x15;
    const JUMP_UNLESS_EQUAL: u8 = 0x55;
    const JUMP_IF_ABOVE: u8 = 0x25;
    const SHIFT_RIGHT: u8 = 0x77;
    const READ_VALUE: i32 = 55;
    /// `sizeof(struct bpf_perf_event_value)`: counter, enabled, running.
    const SIZE: i32 = 24;
    let insn = |code, dst, src, offset, immediate| Instruction::new(code, dst, src, offset, immediate);
    let instructions = [
        insn(LOAD64, 6, 1, 0, 0), //  0 r6 = since
        insn(LOAD_IMM64, 1, PSEUDO_MAP_FD, 0, map.as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(MOV32_IMM, 2, 0, 0, -1), //  3 BPF_F_CURRENT_CPU
        insn(MOV, 3, 10, 0, 0),
        insn(ADD_IMM, 3, 0, 0, -SIZE),
        insn(MOV_IMM, 4, 0, 0, SIZE),
        insn(CALL, 0, 0, 0, READ_VALUE),             //  7
        insn(JUMP_IF_EQUAL, 0, 0, 5, 0),             //  8 to 14
        insn(MOV, 1, 0, 0, 0),                       //  9
        insn(MOV_IMM, 0, 0, 0, EMPTY as i32),        // 10
        insn(JUMP_IF_EQUAL, 1, 0, 1, -libc::ENOENT), // 11 to 13
        insn(MOV_IMM, 0, 0, 0, CANNOT as i32),       // 12
        insn(EXIT, 0, 0, 0, 0),                      // 13
        insn(LOAD64, 1, 10, -16, 0),                 // 14 r1 = enabled
        insn(SUB, 1, 6, 0, 0),                       // 15
        insn(MOV_IMM, 0, 0, 0, OTHER as i32),        // 16
        insn(MOV, 2, 1, 0, 0),                       // 17
        insn(SHIFT_RIGHT, 2, 0, 0, 32),              // 18
        insn(JUMP_UNLESS_EQUAL, 2, 0, 3, 0),         // 19 to 23
        insn(JUMP_IF_ABOVE, 1, 0, 2, i32::MAX - 3),  // 20 to 23
        insn(MOV, 0, 1, 0, 0),                       // 21
        insn(ADD_IMM, 0, 0, 0, FIRST as i32),        // 22
        insn(EXIT, 0, 0, 0, 0),                      // 23
    ];
    let program = Program {
        program_type: ProgramType::RAW_TRACEPOINT,
        expected_attach_type: AttachType::default(),
        flags: 0,
        name: "look",
        instructions: &instructions,
        license: c"GPL",
        kernel_version: 0,
        btf: None,
        target: BtfTarget::default(),
        modules: &[],
        #[cfg(feature = "load-options")]
        bound: &[],
    };
    Tokens::automatic().create(&mut |token| {
        let why = "loads a program that queries a slot, which no command can do";
        bpf::prog_load(&program, token, bpf::LogLevel::Reason, &mut [], why)
    })
}
