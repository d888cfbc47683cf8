//! An instruction's text, letter for letter as `llvm-objdump` prints it.
//!
//! LLVM's syntax reads like C: `r1 += r2`, `w1 = 5`, `r1 = *(u32 *)(r2 + 8)`, `if r1 == 0 goto +5`. What LLVM does not know
//! it prints as `<unknown>`, and so does this.

use std::fmt::{self, Display, Formatter};

use super::{Instruction, opcode::*};
use crate::asm::Condition;

impl Display for Instruction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let known = match self.code & 0x07 {
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

/// Whether the instruction was known and printed.
type Known = Result<bool, fmt::Error>;

/// A memory operand's address: `r2 + 8`, `r10 - 16`.
struct Address(u8, i16);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.1 < 0 { '-' } else { '+' };
        write!(f, "r{} {sign} {}", self.0, self.1.unsigned_abs())
    }
}

impl Instruction {
    fn operand(&self, prefix: char) -> String {
        if self.code & X == 0 { self.imm.to_string() } else { format!("{prefix}{}", self.src) }
    }

    /// The size of a memory access in bits.
    fn bits(&self) -> u8 {
        match self.code & 0x18 {
            SIZE_B => 8,
            SIZE_H => 16,
            SIZE_W => 32,
            _ => 64,
        }
    }

    /// The load of a 64-bit immediate, or a load from a packet of old: by a fixed place or a register's.
    fn wide(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, imm, src) = (self.bits(), self.imm, self.src);
        match (self.code & 0xe0, self.high) {
            (IMM, Some(high)) => {
                let value = i64::from(high) << 32 | i64::from(imm.cast_unsigned());
                write!(f, "r{} = {value} ll", self.dst)?;
            }
            (ABS, _) if bits < 64 => write!(f, "r0 = *(u{bits} *)skb[{imm}]")?,
            (IND, _) if bits < 64 => write!(f, "r0 = *(u{bits} *)skb[r{src}]")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn load(&self, f: &mut Formatter<'_>) -> Known {
        let sign = match self.code & 0xe0 {
            MEM => 'u',
            MEMSX if self.bits() < 64 => 's',
            _ => return Ok(false),
        };
        let (bits, address) = (self.bits(), Address(self.src, self.offset));
        write!(f, "r{} = *({sign}{bits} *)({address})", self.dst)?;
        Ok(true)
    }

    fn store(&self, f: &mut Formatter<'_>) -> Known {
        if self.code & 0xe0 != MEM {
            return Ok(false);
        }
        let (bits, address) = (self.bits(), Address(self.dst, self.offset));
        write!(f, "*(u{bits} *)({address}) = {}", self.imm)?;
        Ok(true)
    }

    fn store_register(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, address) = (self.bits(), Address(self.dst, self.offset));
        match self.code & 0xe0 {
            MEM => write!(f, "*(u{bits} *)({address}) = r{}", self.src)?,
            ATOMIC => return self.atomic(f),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn atomic(&self, f: &mut Formatter<'_>) -> Known {
        let (bits, address, src) = (self.bits(), Address(self.dst, self.offset), self.src);
        // The narrow forms name the lower half of the register.
        let r = if bits == 64 { 'r' } else { 'w' };
        match self.imm {
            LOAD_ACQ => {
                let from = Address(self.src, self.offset);
                write!(f, "{r}{} = load_acquire((u{bits} *)({from}))", self.dst)?;
                return Ok(true);
            }
            STORE_REL => {
                write!(f, "store_release((u{bits} *)({address}), {r}{src})")?;
                return Ok(true);
            }
            _ if bits < 32 => return Ok(false),
            _ => {}
        }
        // Exchanges are named by their width, and the narrow ones by the register's, too.
        let width = if bits == 64 { "_64" } else { "32_32" };
        match self.imm {
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
        let (dst, src, imm) = (self.dst, self.src, self.imm);
        let (whole, register) = (r == 'r', self.code & X != 0);
        let sign = match (self.code & 0xf0, self.offset) {
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
        let (whole, register) = (r == 'r', self.code & X != 0);
        let (dst, offset, imm) = (self.dst, self.offset, self.imm);
        match self.code & 0xf0 {
            JA if whole && register => write!(f, "gotox r{dst}")?,
            JA if whole => write!(f, "goto {offset:+}")?,
            JA if !register => write!(f, "gotol {imm:+}")?,
            CALL if whole && register => write!(f, "callx r{dst}")?,
            CALL if whole => write!(f, "call {imm}")?,
            EXIT if whole && !register && imm == 0 => f.write_str("exit")?,
            JCOND if whole && !register => write!(f, "may_goto {offset:+}")?,
            code => {
                let Some(sign) = Condition::sign(code) else {
                    return Ok(false);
                };
                write!(f, "if {r}{dst} {sign} {} goto {offset:+}", self.operand(r))?;
            }
        }
        Ok(true)
    }
}

/// The name and the sign of an atomic operation that has both.
fn atomic_operation(imm: i32) -> Option<(&'static str, char)> {
    match u8::try_from(imm & !FETCH).ok()? {
        ADD => Some(("add", '+')),
        OR => Some(("or", '|')),
        AND => Some(("and", '&')),
        XOR => Some(("xor", '^')),
        _ => None,
    }
}
