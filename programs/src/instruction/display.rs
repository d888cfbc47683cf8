//! An instruction's text, letter for letter as `llvm-objdump` prints it.
//!
//! LLVM's syntax reads like C: `r1 += r2`, `w1 = 5`, `r1 = *(u32 *)(r2 + 8)`, `if r1 == 0 goto +5`. What LLVM does not know
//! it prints as `<unknown>`, and so does this.

use std::fmt::{self, Display, Formatter};

use super::{Instruction, opcode::*};

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

    fn wide(&self, f: &mut Formatter<'_>) -> Known {
        let (LD_IMM64, Some(high)) = (self.code, self.high) else {
            return Ok(false);
        };
        let value = i64::from(high) << 32 | i64::from(self.imm.cast_unsigned());
        write!(f, "r{} = {value} ll", self.dst)?;
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
        let width = if bits == 64 { "64" } else { "32_32" };
        match self.imm {
            XCHG => write!(f, "{r}{src} = xchg{}{width}({address}, {r}{src})", under(bits))?,
            CMPXCHG => write!(f, "{r}0 = cmpxchg{}{width}({address}, {r}0, {r}{src})", under(bits))?,
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
        let (dst, imm, register) = (self.dst, self.imm, self.code & X != 0);
        let signed = match self.offset {
            0 => "",
            1 => "s",
            _ => "",
        };
        let sign = match self.code & 0xf0 {
            ADD => "+",
            SUB => "-",
            MUL => "*",
            DIV => "/",
            OR => "|",
            AND => "&",
            LSH => "<<",
            RSH => ">>",
            MOD => "%",
            XOR => "^",
            ARSH => "s>>",
            NEG => {
                write!(f, "{r}{dst} = -{r}{dst}")?;
                return Ok(true);
            }
            MOV => {
                match self.offset {
                    bits @ (8 | 16 | 32) if register => {
                        write!(f, "{r}{dst} = (s{bits}){r}{}", self.src)?;
                    }
                    0 => write!(f, "{r}{dst} = {}", self.operand(r))?,
                    _ => return Ok(false),
                }
                return Ok(true);
            }
            END => {
                let name = match (r, register) {
                    ('w', false) => "le",
                    ('w', true) => "be",
                    (_, false) => "bswap",
                    (_, true) => return Ok(false),
                };
                write!(f, "r{dst} = {name}{imm} r{dst}")?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        write!(f, "{r}{dst} {signed}{sign}= {}", self.operand(r))?;
        Ok(true)
    }

    fn jump(&self, f: &mut Formatter<'_>, r: char) -> Known {
        match (self.code & 0xf0, r) {
            (JA, 'r') => write!(f, "goto {:+}", self.offset)?,
            (JA, _) => write!(f, "gotol {:+}", self.imm)?,
            (CALL, 'r') if self.code & X == 0 => write!(f, "call {}", self.imm)?,
            (CALL, 'r') => write!(f, "callx r{}", self.dst)?,
            (EXIT, 'r') => f.write_str("exit")?,
            (code, _) => {
                let Some(sign) = Condition::sign(code) else {
                    return Ok(false);
                };
                let (dst, operand) = (self.dst, self.operand(r));
                write!(f, "if {r}{dst} {sign} {operand} goto {:+}", self.offset)?;
            }
        }
        Ok(true)
    }
}

use crate::asm::Condition;

const fn under(bits: u8) -> &'static str {
    if bits == 64 { "_" } else { "" }
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
