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
//! **Without a jump.** The verifier follows both ways of each jump, and refuses a program with more than 8192 of them
//! on one path (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`). So a loop that ignores the result of `bpf_ringbuf_output` can be
//! refused because of the counting. Then the sign of the result is added to the counter. This costs an atomic
//! operation for each call, so it is not the first choice:
//!
//! ```text
//!     r2 = r0
//!     r2 >>= 63                           1 if the result is negative, otherwise 0
//!     r1 = &counters[site] ll
//!     lock *(u64 *)(r1 + 0) += r2
//! ```
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
use crate::{Error, elf::Start, token::Tokens};

/// Size of a counter in bytes.
const SIZE: usize = 16;

/// Name of the map with the counters.
pub(in crate::instrument) const NAME: &str = "cutaway_losses";

/// The form of the counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::instrument) enum Form {
    /// The result of `bpf_ringbuf_reserve` is compared as a number.
    Number,
    /// The result of `bpf_ringbuf_reserve` is compared as a pointer.
    Pointer,
    /// The sign of a result is added to the counter, without a jump. `bpf_ringbuf_reserve` is counted as by `Number`.
    Sum,
}

/// Inserts the counting after each call of a function whose first instruction is at `start` of the linked program. `fd`
/// is the fd of the map with the counters.
pub(super) fn insert(
    sites: &Sites,
    function: Start,
    start: usize,
    fd: i32,
    form: Form,
    into: &mut Insertions,
) -> Result<(), Error> {
    for (index, site) in sites.of_function(function) {
        let offset = u32::try_from(index * SIZE).map_err(|_| Error::bug("a counter is beyond 4 GiB"))?;
        into.after(start + site.slot, counting(site.helper, fd, offset, form));
    }
    Ok(())
}

/// Returns the instructions that count a failed call of the helper.
fn counting(helper: Helper, fd: i32, offset: u32, form: Form) -> Vec<Instruction> {
    /// `BPF_JNE` and `BPF_JSGE`
    const NOT_EQUAL: u8 = opcode::JMP | 0x50;
    const NOT_NEGATIVE: u8 = opcode::JMP | 0x70;
    /// `BPF_ALU64 | BPF_MOV | BPF_X` and `BPF_ALU | BPF_END | BPF_TO_LE`
    const MOVE: u8 = opcode::ALU64 | opcode::MOV | opcode::X;
    const TO_LITTLE_ENDIAN: u8 = opcode::ALU | opcode::END;
    const SHIFT_RIGHT: u8 = opcode::ALU64 | opcode::RSH;
    let [low, high] = load_address(1, fd, offset);
    let add = Instruction::new(opcode::STX | opcode::ATOMIC | opcode::SIZE_DW, 1, 2, 0, opcode::ADD.into());
    let mut code = match (helper, form) {
        (Helper::bpf_ringbuf_reserve, Form::Number | Form::Sum) => vec![
            Instruction::new(MOVE, 1, 0, 0, 0),
            Instruction::new(TO_LITTLE_ENDIAN, 1, 0, 0, 64),
            Instruction::new(NOT_EQUAL, 1, 0, 4, 0),
        ],
        (Helper::bpf_ringbuf_reserve, Form::Pointer) => vec![Instruction::new(NOT_EQUAL, 0, 0, 4, 0)],
        (_, Form::Sum) => {
            let sign = [Instruction::new(MOVE, 2, 0, 0, 0), Instruction::new(SHIFT_RIGHT, 2, 0, 0, 63)];
            return [sign.as_slice(), &[low, high, add]].concat();
        }
        (_, Form::Number | Form::Pointer) => vec![Instruction::new(NOT_NEGATIVE, 0, 0, 4, 0)],
    };
    code.extend([low, high, Instruction::new(opcode::ALU64 | opcode::MOV, 2, 0, 0, 1), add]);
    code
}

/// The counters in the kernel.
#[derive(Debug)]
pub(super) struct Counters(CounterMap);

impl Counters {
    /// Creates the counters. `ids` has the kernel's ids of the object's maps, by their indices in the object.
    pub(super) fn create(
        sites: &Sites,
        ids: &dyn Fn(usize) -> Option<u32>,
        tokens: &Tokens<'_>,
    ) -> Result<Self, Error> {
        let map = CounterMap::create(NAME, sites.len() * SIZE, tokens)?;
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
