//! Counts failed calls: the instructions after each call, and the counters that they increment.
//!
//! ```text
//!     call bpf_ringbuf_output             call bpf_ringbuf_reserve
//!                                         r1 = r0
//!                                         r1 = le64 r1            the address as a number
//!     if r0 s>= 0 goto +4                 if r1 != 0 goto +4      the call succeeded
//!     r1 = &counters[site] ll             …                       direct address of the counter
//!     r2 = 1
//!     lock *(u64 *)(r1 + 0) += r2
//! ```
//!
//! `bpf_ringbuf_reserve` returns NULL on failure; the other helpers return a negative errno. No register has to be
//! saved: after a call the verifier takes r1 to r5 for uninitialized, so the program cannot read them
//! (`clear_caller_saved_regs`, `kernel/bpf/verifier.c`). If nothing is lost, the cost is the one jump.
//!
//! **The pointer as a number.** The program compares the pointer with NULL after these instructions. The verifier of
//! Linux 6.1 and older does not know that a record that is not NULL stays so (`reg_type_not_null` has no `PTR_TO_MEM`).
//! It would follow the second comparison into the case of NULL, and find a record that is neither submitted nor
//! discarded. The byte swap turns a copy into a number (`check_alu_op`, `BPF_END`), and both branches join in the same
//! state. It does nothing on little-endian machines; on others it keeps zero. Without CAP_PERFMON the verifier refuses
//! the swap ("pointer arithmetic prohibited"); then the pointer is compared.
//!
//! The layout of a counter is an agreement with observers in other processes, such as `cutaway peek`:
//!
//! ```text
//!     byte 0                     byte 8                  byte 12
//!     u64 failed calls           u32 id of the map       u32 source line
//!                                (0: unknown)            (0: unknown)
//! ```

use cutaway_sys::{Helper, Instruction, instruction::opcode};

use super::{
    super::{
        insertions::Insertions,
        map::{CounterMap, load_address},
    },
    sites::{Site, Sites},
};
use crate::{Error, elf::Start};

/// Size of a counter in bytes.
const SIZE: usize = 16;

/// Name of the map with the counters.
pub(in crate::instrument) const NAME: &str = "cutaway_losses";

/// How an inserted instruction compares the result of `bpf_ringbuf_reserve` with NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::instrument) enum NullCheck {
    /// As a number.
    Number,
    /// As a pointer.
    Pointer,
}

/// Inserts the counting after each call of a function whose first instruction is at `start` of the linked program. `fd`
/// is the fd of the map with the counters.
pub(super) fn insert(
    sites: &Sites,
    function: Start,
    start: usize,
    fd: i32,
    check: NullCheck,
    into: &mut Insertions,
) -> Result<(), Error> {
    for (index, site) in sites.of_function(function) {
        let offset = u32::try_from(index * SIZE).map_err(|_| Error::bug("a counter is beyond 4 GiB"))?;
        into.after(start + site.slot, counting(site.helper, fd, offset, check));
    }
    Ok(())
}

/// Returns the instructions that count a failed call of the helper.
fn counting(helper: Helper, fd: i32, offset: u32, check: NullCheck) -> Vec<Instruction> {
    /// `BPF_JNE` and `BPF_JSGE`
    const NOT_EQUAL: u8 = opcode::JMP | 0x50;
    const NOT_NEGATIVE: u8 = opcode::JMP | 0x70;
    /// `BPF_ALU64 | BPF_MOV | BPF_X` and `BPF_ALU | BPF_END | BPF_TO_LE`
    const MOVE: u8 = opcode::ALU64 | opcode::MOV | opcode::X;
    const TO_LITTLE_ENDIAN: u8 = opcode::ALU | opcode::END;
    let mut code = match (helper, check) {
        (Helper::bpf_ringbuf_reserve, NullCheck::Number) => vec![
            Instruction::new(MOVE, 1, 0, 0, 0),
            Instruction::new(TO_LITTLE_ENDIAN, 1, 0, 0, 64),
            Instruction::new(NOT_EQUAL, 1, 0, 4, 0),
        ],
        (Helper::bpf_ringbuf_reserve, NullCheck::Pointer) => vec![Instruction::new(NOT_EQUAL, 0, 0, 4, 0)],
        _ => vec![Instruction::new(NOT_NEGATIVE, 0, 0, 4, 0)],
    };
    code.extend(load_address(1, fd, offset));
    code.push(Instruction::new(opcode::ALU64 | opcode::MOV, 2, 0, 0, 1));
    code.push(Instruction::new(opcode::STX | opcode::ATOMIC | opcode::SIZE_DW, 1, 2, 0, opcode::ADD.into()));
    code
}

/// The counters in the kernel.
#[derive(Debug)]
pub(super) struct Counters(CounterMap);

impl Counters {
    /// Creates the counters. `ids` has the kernel's ids of the object's maps, by their indices in the object.
    pub(super) fn create(sites: &Sites, ids: &dyn Fn(usize) -> Option<u32>) -> Result<Self, Error> {
        let map = CounterMap::create(NAME, sites.len() * SIZE)?;
        for (index, Site { map: of, line, .. }) in sites.iter().enumerate() {
            let id = of.and_then(ids).unwrap_or(0);
            let line = line.as_ref().map_or(0, |line| line.line);
            map.write(index * SIZE + 8, &id.to_ne_bytes())?;
            map.write(index * SIZE + 12, &line.to_ne_bytes())?;
        }
        Ok(Self(map))
    }

    pub(super) fn fd(&self) -> i32 {
        self.0.fd()
    }

    /// Returns the number of failed calls at the site with this index.
    pub(super) fn count(&self, index: usize) -> Result<u64, Error> {
        self.0.read(index * SIZE).map(u64::from_ne_bytes)
    }
}
