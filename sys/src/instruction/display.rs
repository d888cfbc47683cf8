//! Text of an instruction, exactly as `llvm-objdump` prints it.
//!
//! LLVM's syntax reads like C: `r1 += r2`, `w1 = 5`, `r1 = *(u32 *)(r2 + 8)`, `if r1 == 0 goto +5`. An instruction that
//! LLVM does not know is `<unknown>`.

use std::fmt::{self, Display, Formatter};

use super::{insn::Instruction, opcode::*};

/// Displays an instruction, see [`Instruction::text`].
#[derive(Clone, Copy, Debug)]
pub struct Text {
    instruction: Instruction,
    /// The upper half of a 64-bit immediate.
    high: Option<i32>,
}

impl Instruction {
    /// Returns the text as `llvm-objdump` prints it. `next` is the following slot: it holds the upper half of a 64-bit
    /// immediate. Without it, a 64-bit load is `<unknown>`.
    #[must_use]
    pub fn text(self, next: Option<Self>) -> Text {
        let high = next.filter(|_| self.is_load_imm64()).map(|next| next.imm);
        Text { instruction: self, high }
    }
}

/// Displays one slot as [`Instruction::text`] does without the slot after it.
impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.text(None).fmt(f)
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let known = match self.instruction.class() {
            LD => self.wide(f),
            LDX => self.load(f),
            ST => self.store(f),
            STX => self.store_register(f),
            ALU => self.arithmetic(f, 'w'),
            ALU64 => self.arithmetic(f, 'r'),
            JMP => self.jump(f, 'r'),
            _ => self.jump(f, 'w'),
        }?;
        if known { Ok(()) } else { f.write_str("<unknown>") }
    }
}

/// `Ok(true)` if the instruction is known and was printed.
type Known = Result<bool, fmt::Error>;

/// A memory operand's address: `r2 + 8`, `r10 - 16`.
struct Address(u8, i16);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "r{} {sign} {}", self.0, self.1.unsigned_abs())
    }
}

impl Text {
    fn operand(&self, prefix: char) -> String {
        if self.instruction.code & X == 0 {
            self.instruction.imm.to_string()
        } else {
            format!("{prefix}{}", self.instruction.src())
        }
    }

    /// Returns the size of a memory access in bits.
    fn bits(&self) -> u8 {
        match self.instruction.code & 0x18 {
            SIZE_B => 8,
            SIZE_H => 16,
            SIZE_W => 32,
            _ => 64,
        }
    }

    /// Prints the load of a 64-bit immediate, or a legacy load from a packet at a constant or variable offset.
    fn wide(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, imm, src) = (self.bits(), self.instruction.imm, self.instruction.src());
        match (self.instruction.code & 0xe0, self.high) {
            (IMM, Some(high)) => {
                let value = i64::from(high) << 32 | i64::from(imm.cast_unsigned());
                write!(f, "r{} = {value} ll", self.instruction.dst())?;
            }
            (ABS, _) if bits < 64 => write!(f, "r0 = *(u{bits} *)skb[{imm}]")?,
            (IND, _) if bits < 64 => write!(f, "r0 = *(u{bits} *)skb[r{src}]")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn load(&self, f: &mut Formatter<'_>) -> Known {
        let sign = match self.instruction.code & 0xe0 {
            MEM => 'u',
            MEMSX if self.bits() < 64 => 's',
            _ => return Ok(false),
        };
        let (bits, address) = (self.bits(), Address(self.instruction.src(), self.instruction.offset));
        write!(f, "r{} = *({sign}{bits} *)({address})", self.instruction.dst())?;
        Ok(true)
    }

    fn store(&self, f: &mut Formatter<'_>) -> Known {
        if self.instruction.code & 0xe0 != MEM {
            return Ok(false);
        }
        let (bits, address) = (self.bits(), Address(self.instruction.dst(), self.instruction.offset));
        write!(f, "*(u{bits} *)({address}) = {}", self.instruction.imm)?;
        Ok(true)
    }

    fn store_register(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, address) = (self.bits(), Address(self.instruction.dst(), self.instruction.offset));
        match self.instruction.code & 0xe0 {
            MEM => write!(f, "*(u{bits} *)({address}) = r{}", self.instruction.src())?,
            ATOMIC => return self.atomic(f),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn atomic(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, address, src) =
            (self.bits(), Address(self.instruction.dst(), self.instruction.offset), self.instruction.src());
        // The 8- to 32-bit forms name the lower half of the register.
        let r = if bits == 64 { 'r' } else { 'w' };
        match self.instruction.imm {
            LOAD_ACQ => {
                let from = Address(self.instruction.src(), self.instruction.offset);
                write!(f, "{r}{} = load_acquire((u{bits} *)({from}))", self.instruction.dst())?;
                return Ok(true);
            }
            STORE_REL => {
                write!(f, "store_release((u{bits} *)({address}), {r}{src})")?;
                return Ok(true);
            }
            _ if bits < 32 => return Ok(false),
            _ => {}
        }
        // LLVM's name of an exchange ends with its width. The 32-bit name also has the width of the register.
        let width = if bits == 64 { "_64" } else { "32_32" };
        match self.instruction.imm {
            XCHG => write!(f, "{r}{src} = xchg{width}({address}, {r}{src})")?,
            CMPXCHG => write!(f, "{r}0 = cmpxchg{width}({address}, {r}0, {r}{src})")?,
            imm => {
                let Some((name, sign)) = atomic_operation(imm) else {
                    return Ok(false);
                };
                if imm & FETCH == 0 {
                    write!(f, "lock *(u{bits} *)({address}) {sign}= {r}{src}")?;
                } else {
                    write!(f, "{r}{src} = atomic_fetch_{name}((u{bits} *)({address}), {r}{src})")?;
                }
            }
        }
        Ok(true)
    }

    fn arithmetic(&self, f: &mut Formatter<'_>, r: char) -> Known {
        let (dst, src, imm) = (self.instruction.dst(), self.instruction.src(), self.instruction.imm);
        let (whole, register) = (r == 'r', self.instruction.code & X != 0);
        let sign = match (self.instruction.code & 0xf0, self.instruction.offset) {
            (ADD, 0) => "+",
            (SUB, 0) => "-",
            (MUL, 0) => "*",
            (DIV, 0) => "/",
            (DIV, 1) => "s/",
            (OR, 0) => "|",
            (AND, 0) => "&",
            (LSH, 0) => "<<",
            (RSH, 0) => ">>",
            (MOD, 0) => "%",
            (MOD, 1) => "s%",
            (XOR, 0) => "^",
            (ARSH, 0) => "s>>",
            (MOV, 0) => "",
            (MOV, 1) if whole && register => {
                let (to, from) = (imm.cast_unsigned() >> 16, imm & 0xffff);
                write!(f, "r{dst} = addr_space_cast(r{src}, {to}, {from})")?;
                return Ok(true);
            }
            (MOV, bits @ (8 | 16 | 32)) if register && (whole || bits < 32) => {
                write!(f, "{r}{dst} = (s{bits}){r}{src}")?;
                return Ok(true);
            }
            (NEG, _) if !register => {
                write!(f, "{r}{dst} = -{r}{dst}")?;
                return Ok(true);
            }
            (END, _) if matches!(imm, 16 | 32 | 64) && !(whole && register) => {
                let name = if whole {
                    "bswap"
                } else if register {
                    "be"
                } else {
                    "le"
                };
                write!(f, "r{dst} = {name}{imm} r{dst}")?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        write!(f, "{r}{dst} {sign}= {}", self.operand(r))?;
        Ok(true)
    }

    fn jump(&self, f: &mut Formatter<'_>, r: char) -> Known {
        let (whole, register) = (r == 'r', self.instruction.code & X != 0);
        let (dst, offset, imm) = (self.instruction.dst(), self.instruction.offset, self.instruction.imm);
        match self.instruction.code & 0xf0 {
            JA if whole && register => write!(f, "gotox r{dst}")?,
            JA if whole => write!(f, "goto {offset:+}")?,
            JA if !register => write!(f, "gotol {imm:+}")?,
            CALL if whole && register => write!(f, "callx r{dst}")?,
            CALL if whole => write!(f, "call {imm}")?,
            EXIT if whole && !register && imm == 0 => f.write_str("exit")?,
            JCOND if whole && !register => write!(f, "may_goto {offset:+}")?,
            code => {
                let Some(sign) = comparison(code) else {
                    return Ok(false);
                };
                write!(f, "if {r}{dst} {sign} {} goto {offset:+}", self.operand(r))?;
            }
        }
        Ok(true)
    }
}

/// Returns the name and the sign of an atomic operation that has both.
fn atomic_operation(imm: i32) -> Option<(&'static str, char)> {
    match u8::try_from(imm & !FETCH).ok()? {
        ADD => Some(("add", '+')),
        OR => Some(("or", '|')),
        AND => Some(("and", '&')),
        XOR => Some(("xor", '^')),
        _ => None,
    }
}

/// Returns the sign of the comparison in the operation bits of a conditional jump.
const fn comparison(code: u8) -> Option<&'static str> {
    Some(match code {
        0x10 => "==",
        0x20 => ">",
        0x30 => ">=",
        0x40 => "&",
        0x50 => "!=",
        0x60 => "s>",
        0x70 => "s>=",
        0xa0 => "<",
        0xb0 => "<=",
        0xc0 => "s<",
        0xd0 => "s<=",
        _ => return None,
    })
}
