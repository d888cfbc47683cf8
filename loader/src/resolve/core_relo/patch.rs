//! Patches an instruction: finds the value in it and replaces it.
//!
//! ```text
//!     rX = imm, rX += imm, …        the value is `imm`
//!     rX = imm64                    the value is `imm` of this instruction and of the next
//!     rX = *(T *)(rY + off)         the value is `off`, and T is as large as the field: if the kernel's field has
//!     *(T *)(rX + off) = …          another size, T changes too
//! ```
//!
//! An instruction that cannot be patched is *poisoned*: it becomes a call of a function that does not exist. Code that
//! checks first whether the field exists never reaches the call. The verifier knows that and ignores it. If the program
//! can reach the call, the verifier's error has the function's id, which identifies the relocation.

use cutaway_sys::{Instruction, instruction::opcode};

use super::report::POISON;

const SIZE_MASK: u8 = 0x18;
const MODE_MASK: u8 = 0xe0;

/// The change of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The value that the compiler wrote; `None` if it is not certain.
    pub(super) expected: Option<Expected>,
    pub(super) new: u64,
    pub(super) resize: Resize,
}

/// The value that must be in the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) value: u64,
    /// Whether only the low 32 bits are certain.
    pub(super) low_half: bool,
}

impl Expected {
    fn agrees(self, before: u64) -> bool {
        self.value == before || self.low_half && self.value as u32 == before as u32
    }
}

/// How the size of a load or store changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resize {
    /// It stays the same.
    Keep,
    /// Unsigned integers and pointers are zero-extended or truncated.
    Zeroes { from: u32, to: u32 },
    /// Signed integers: possible only for a load that sign-extends.
    Sign { from: u32, to: u32 },
    /// A bit field in only one of program and kernel: the code around the instruction does not fit.
    BitField,
    /// The value would change.
    Impossible { from: u32, to: u32 },
}

/// An instruction and, if it takes two slots, its second half.
pub(super) type Pair = (Instruction, Option<Instruction>);

/// The result of patching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Patched {
    /// The patched instruction, and the old value.
    Changed(Pair, u64),
    /// The instruction cannot hold the new value and must be poisoned.
    Invalid(String),
}

/// Replaces the value. `next` is the instruction after `first`, if there is one.
///
/// An error means that the object contradicts itself.
pub(super) fn patch(first: Instruction, next: Option<Instruction>, change: Change) -> Result<Patched, String> {
    let (before, holds) = match first.class() {
        opcode::ALU | opcode::ALU64 if first.code & opcode::X == 0 => {
            // The machine sign-extends an immediate operand.
            let new = change.new as i64;
            let wide = first.class() == opcode::ALU && u32::try_from(change.new).is_ok();
            (i64::from(first.imm) as u64, wide || i32::try_from(new).is_ok())
        }
        opcode::LDX | opcode::ST | opcode::STX => (i64::from(first.offset) as u64, i16::try_from(change.new).is_ok()),
        opcode::LD if first.is_load_imm64() => {
            let Some(second) = next.filter(|next| (next.code, next.dst(), next.src(), next.offset) == (0, 0, 0, 0))
            else {
                return Err("its 64-bit load has no second half".to_owned());
            };
            if first.src() != 0 || first.offset != 0 {
                return Err("its 64-bit load is of a map or function".to_owned());
            }
            (u64::from(first.imm as u32) | u64::from(second.imm as u32) << 32, true)
        }
        _ => return Err(format!("an instruction with code {:#04x} holds no value to change", first.code)),
    };
    if let Some(expected) = change.expected.filter(|expected| !expected.agrees(before)) {
        return Err(format!(
            "the instruction holds {before}, but must hold {} by the object's own types",
            expected.value
        ));
    }
    if !holds {
        return Ok(Patched::Invalid(format!("the instruction cannot hold {}", change.new)));
    }
    let pair = match first.class() {
        opcode::ALU | opcode::ALU64 => (first.with_imm(change.new as i32), None),
        opcode::LD => {
            let second = Instruction::default().with_imm((change.new >> 32) as i32);
            (first.with_imm(change.new as i32), Some(second))
        }
        _ => match resized(first.code, change.resize) {
            Ok(code) => (first.with_code_and_offset(code, change.new as i16), None),
            Err(why) => return Ok(Patched::Invalid(why)),
        },
    };
    Ok(Patched::Changed(pair, before))
}

/// Returns whether an instruction is poisoned, by this crate or by aya-obj, which adds no index.
#[cfg(feature = "aya-obj")]
pub(crate) fn is_poison(insn: Instruction) -> bool {
    /// More relocations than any object has.
    const MOST: i32 = 1 << 20;
    insn.is_call() && insn.src() == 0 && (POISON..POISON + MOST).contains(&insn.imm)
}

/// Returns the poisoned instruction, with both halves if it has two.
pub(super) fn poison(first: Instruction, number: usize) -> Pair {
    let number = i32::try_from(number).unwrap_or(0);
    let poison = Instruction::new(opcode::JMP_CALL, 0, 0, 0, POISON.saturating_add(number));
    (poison, first.is_load_imm64().then_some(poison))
}

/// Returns the opcode of a load or store for a field of another size.
fn resized(code: u8, resize: Resize) -> Result<u8, String> {
    let (from, to, sign) = match resize {
        Resize::Keep => return Ok(code),
        Resize::BitField => return Err("it is a bit field in the program or in the kernel, not in both".to_owned()),
        Resize::Zeroes { from, to } => (from, to, false),
        Resize::Sign { from, to } => (from, to, true),
        Resize::Impossible { from, to } => {
            return Err(format!(
                "the field has {from} bytes in the program and {to} in the kernel, and is no pointer or unsigned integer \
                 in both"
            ));
        }
    };
    if sign && (code & 0x07 != opcode::LDX || code & MODE_MASK != opcode::MEMSX) {
        return Err(format!(
            "the field is signed and has {from} bytes in the program and {to} in the kernel, and the instruction does \
             not extend the sign"
        ));
    }
    if bytes_of(code) != from {
        return Err(format!("the instruction moves {} bytes of a field of {from}", bytes_of(code)));
    }
    let size = match to {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        8 => 0x18,
        _ => return Err(format!("no load or store moves {to} bytes")),
    };
    // A load of all 64 bits has no sign to extend, and there is no such sign-extending load.
    let mode = if sign && to == 8 { opcode::MEM } else { code & MODE_MASK };
    Ok(code & 0x07 | mode | size)
}

/// Returns how many bytes a load or store moves.
fn bytes_of(code: u8) -> u32 {
    match code & SIZE_MASK {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(expected: u64, new: u64) -> Change {
        let expected = Some(Expected { value: expected, low_half: false });
        Change { expected, new, resize: Resize::Keep }
    }

    fn instruction(code: u8, offset: i16, imm: i32) -> Instruction {
        Instruction::new(code, 1, 0, offset, imm)
    }

    #[test]
    fn value_that_does_not_fit_is_invalid() {
        let unfit = |first, new| matches!(patch(first, None, change(4, new)), Ok(Patched::Invalid(_)));
        let (load, add, add32) = (instruction(0x61, 4, 0), instruction(0x07, 0, 4), instruction(0x04, 0, 4));
        assert!(!unfit(load, 0x7fff) && unfit(load, 0x8000));
        assert!(!unfit(add, 0x7fff_ffff) && unfit(add, 0x8000_0000) && !unfit(add, -5_i64 as u64));
        assert!(!unfit(add32, 0xffff_ffff) && unfit(add32, 0x1_0000_0000));
    }

    #[test]
    fn contradiction_in_the_object_is_an_error() {
        let second = Some(Instruction::default());
        for (first, next, change) in [
            (instruction(0x61, 4, 0), None, change(8, 12)), // another offset than the types say
            (instruction(0x0f, 0, 4), None, change(4, 8)),  // adds a register
            (instruction(0x85, 0, 4), None, change(4, 8)),  // calls
            (instruction(0x18, 0, 4), None, change(4, 8)),  // 64 bits, cut off
            (instruction(0x18, 0, 4), Some(instruction(0x95, 0, 0)), change(4, 8)), // 64 bits, and then an exit
            (Instruction::new(0x18, 1, 1, 0, 4), second, change(4, 8)), // a map
        ] {
            assert!(patch(first, next, change).is_err(), "{first:?}");
        }
    }

    #[test]
    fn load_of_64_bits_changes_both_halves() {
        let patched = patch(instruction(0x18, 0, 7), Some(Instruction::default()), change(7, 0x1234_5678_9abc_def0));
        let Ok(Patched::Changed((first, Some(second)), 7)) = patched else { panic!("{patched:?}") };
        assert_eq!((first.imm as u32, second.imm as u32), (0x9abc_def0, 0x1234_5678));
    }

    #[test]
    fn size_changes_only_if_the_value_stays_the_same() {
        let mem_u32 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
        assert_eq!(resized(mem_u32, Resize::Zeroes { from: 4, to: 8 }), Ok(0x79));
        assert_eq!(resized(mem_u32, Resize::Zeroes { from: 4, to: 1 }), Ok(0x71));
        assert!(resized(mem_u32, Resize::Zeroes { from: 8, to: 4 }).is_err(), "it moves 4 bytes");
        assert!(resized(mem_u32, Resize::Zeroes { from: 4, to: 3 }).is_err());
        assert!(resized(mem_u32, Resize::Sign { from: 4, to: 8 }).is_err(), "it does not extend the sign");
        let memsx_s32 = 0x81;
        assert_eq!(resized(memsx_s32, Resize::Sign { from: 4, to: 2 }), Ok(0x89));
        assert_eq!(resized(memsx_s32, Resize::Sign { from: 4, to: 8 }), Ok(0x79), "8 bytes have no sign to extend");
        assert!(resized(mem_u32, Resize::Impossible { from: 4, to: 8 }).is_err());
        assert!(resized(mem_u32, Resize::BitField).is_err());
    }
}
