//! Programs that check instructions against Rust's own arithmetic; the kernel runs them.
//!
//! The operands are added to words of the context. These are zero, but the verifier does not know that, so it cannot
//! compute the results in advance and leave nothing for the CPU to do.

use cutaway_programs::prelude::*;

use crate::forms::Isa;

/// A program of many cases. It returns 0, or the number of the first case that failed, counted from 1.
pub(crate) struct Cases {
    asm: Assembler,
    wrong: Label,
    count: i32,
}

impl Cases {
    fn new() -> Self {
        let mut asm = Assembler::new();
        let wrong = asm.label("wrong");
        asm.load(DW, R9, R1, 0); // 0, but the verifier does not know
        Self { asm, wrong, count: 0 }
    }

    /// Sets R1 and R2.
    fn operands(&mut self, first: u64, second: u64) {
        let asm = &mut self.asm;
        asm.load_imm64(R1, first);
        asm.add(R1, R9);
        asm.load_imm64(R2, second);
        asm.add(R2, R9);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.unsigned_abs()
    }

    /// Adds a case: with the operands in R1 and R2, the instructions must leave `expected` in R1.
    pub(crate) fn case(&mut self, first: u64, second: u64, expected: u64, append: impl FnOnce(&mut Assembler)) {
        self.count += 1;
        self.operands(first, second);
        append(&mut self.asm);
        let asm = &mut self.asm;
        asm.mov(R7, self.count);
        asm.load_imm64(R8, expected);
        asm.jump_if(Ne, R1, R8, self.wrong);
    }

    /// Adds a case: the jump must be taken, or must not.
    fn jump(&mut self, first: u64, second: u64, taken: bool, append: impl FnOnce(&mut Assembler, Label)) {
        self.case(first, second, u64::from(taken), |asm| {
            let (yes, on) = (asm.label("yes"), asm.label("on"));
            append(asm, yes);
            asm.mov(R1, 0);
            asm.jump(on);
            asm.bind(yes);
            asm.mov(R1, 1);
            asm.bind(on);
        });
    }

    pub(crate) fn finish(self) -> Assembler {
        let Self { mut asm, wrong, .. } = self;
        asm.mov(R0, 0);
        asm.exit();
        asm.bind(wrong);
        asm.mov(R0, R7);
        asm.exit();
        asm
    }
}

const MINUS_7: u64 = -7i64 as u64;
const PATTERN: u64 = 0x8182_8384_8586_8788;

/// Adds cases of a method with two registers and with an immediate, each on whole registers and on lower halves.
macro_rules! binary {
    ($cases:ident, $verb:ident, $first:expr, $second:expr, $whole:expr, $half:expr) => {{
        let (first, immediate): (u64, i32) = ($first, $second);
        let second = i64::from(immediate) as u64;
        let (whole, half): (fn(u64, u64) -> u64, fn(u32, u32) -> u32) = ($whole, $half);
        let (whole, half) = (whole(first, second), half(first as u32, second as u32));
        $cases.case(first, second, whole, |asm| asm.$verb(R1, R2));
        $cases.case(first, 0, whole, |asm| asm.$verb(R1, immediate));
        $cases.case(first, second, u64::from(half), |asm| asm.$verb(W1, W2));
        $cases.case(first, 0, u64::from(half), |asm| asm.$verb(W1, immediate));
    }};
}

/// Returns all cases up to this instruction set.
pub(crate) fn cases(isa: Isa) -> Cases {
    let mut cases = Cases::new();
    plain(&mut cases);
    jumps(&mut cases);
    atomics(&mut cases);
    if isa >= Isa::V4 {
        version_4(&mut cases);
    }
    if isa >= Isa::Acquire {
        cases.case(PATTERN, 0, PATTERN & 0xffff, |asm| {
            asm.store_release(DW, R10, -8, R1);
            let low = if cfg!(target_endian = "little") { -8 } else { -2 };
            asm.load_acquire(H, R1, R10, low);
        });
    }
    cases
}

fn plain(cases: &mut Cases) {
    binary!(cases, mov, 1, -9, |_, b| b, |_, b| b);
    binary!(cases, add, MINUS_7, -9, |a, b| a.wrapping_add(b), |a, b| a.wrapping_add(b));
    binary!(cases, sub, 5, 9, |a, b| a.wrapping_sub(b), |a, b| a.wrapping_sub(b));
    binary!(cases, mul, PATTERN, -9, |a, b| a.wrapping_mul(b), |a, b| a.wrapping_mul(b));
    binary!(cases, div, MINUS_7, 2, |a, b| a / b, |a, b| a / b);
    binary!(cases, rem, MINUS_7, 4, |a, b| a % b, |a, b| a % b);
    binary!(cases, or, PATTERN, -256, |a, b| a | b, |a, b| a | b);
    binary!(cases, and, PATTERN, -256, |a, b| a & b, |a, b| a & b);
    binary!(cases, xor, PATTERN, -256, |a, b| a ^ b, |a, b| a ^ b);
    binary!(cases, lsh, PATTERN, 9, |a, b| a << b, |a, b| a << b);
    binary!(cases, rsh, PATTERN, 9, |a, b| a >> b, |a, b| a >> b);
    binary!(cases, arsh, PATTERN, 9, |a, b| (a as i64 >> b) as u64, |a, b| (a as i32 >> b) as u32);
    cases.case(9, 0, 0, |asm| asm.div(R1, R2));
    cases.case(9, 0, 9, |asm| asm.rem(R1, R2));
    cases.case(7, 0, MINUS_7, |asm| asm.neg(R1));
    cases.case(7, 0, MINUS_7 & 0xffff_ffff, |asm| asm.neg(W1));
    cases.case(PATTERN, 0, u64::from((PATTERN as u16).to_be()), |asm| asm.be(H, R1));
    cases.case(PATTERN, 0, u64::from((PATTERN as u32).to_be()), |asm| asm.be(W, R1));
    cases.case(PATTERN, 0, PATTERN.to_be(), |asm| asm.be(DW, R1));
    cases.case(PATTERN, 0, u64::from((PATTERN as u16).to_le()), |asm| asm.le(H, R1));
    cases.case(PATTERN, 0, u64::from((PATTERN as u32).to_le()), |asm| asm.le(W, R1));
    cases.case(PATTERN, 0, PATTERN.to_le(), |asm| asm.le(DW, R1));
    cases.case(PATTERN, 0, PATTERN & 0xff, |asm| {
        asm.store(B, R10, -1, R1);
        asm.load(B, R1, R10, -1);
    });
    cases.case(PATTERN, 0, PATTERN & 0xffff, |asm| {
        asm.store(H, R10, -2, R1);
        asm.load(H, R1, R10, -2);
    });
    cases.case(PATTERN, 0, PATTERN & 0xffff_ffff, |asm| {
        asm.store(W, R10, -4, R1);
        asm.load(W, R1, R10, -4);
    });
    cases.case(PATTERN, 0, -9i64 as u64, |asm| {
        asm.store(DW, R10, -8, -9);
        asm.load(DW, R1, R10, -8);
    });
}

fn jumps(cases: &mut Cases) {
    // The lower halves compare differently from the whole registers.
    let values = [0, 1, 5, u64::MAX, 0xffff_ffff, 1 << 63, 0x1_0000_0005];
    for (a, b) in values.into_iter().flat_map(|a| values.map(|b| (a, b))) {
        let (c, d) = (a as u32, b as u32);
        let (sa, sb, sc, sd) = (a as i64, b as i64, c as i32, d as i32);
        for (condition, whole, half) in [
            (Eq, a == b, c == d),
            (Ne, a != b, c != d),
            (Gt, a > b, c > d),
            (Ge, a >= b, c >= d),
            (Lt, a < b, c < d),
            (Le, a <= b, c <= d),
            (Sgt, sa > sb, sc > sd),
            (Sge, sa >= sb, sc >= sd),
            (Slt, sa < sb, sc < sd),
            (Sle, sa <= sb, sc <= sd),
            (Set, a & b != 0, c & d != 0),
        ] {
            cases.jump(a, b, whole, |asm, yes| asm.jump_if(condition, R1, R2, yes));
            cases.jump(a, b, half, |asm, yes| asm.jump_if(condition, W1, W2, yes));
        }
    }
    cases.jump(MINUS_7, 0, true, |asm, yes| asm.jump_if(Eq, R1, -7, yes));
    cases.jump(MINUS_7, 0, true, |asm, yes| asm.jump_if(Eq, W1, -7, yes));
    cases.jump(7, 0, true, |asm, yes| asm.jump_if(Sgt, R1, -7, yes));
}

fn atomics(cases: &mut Cases) {
    /// A case with the first operand in memory: the result is the memory afterwards.
    macro_rules! memory {
        ($size:ident, $verb:ident, $expected:expr) => {
            cases.case(PATTERN, 0x1234_5678_ffff, $expected, |asm| {
                asm.store($size, R10, -8, R1);
                asm.$verb($size, R10, -8, R2);
                asm.load($size, R1, R10, -8);
            });
        };
    }
    /// A case with the first operand in memory: the result is the second operand's register afterwards.
    macro_rules! fetched {
        ($size:ident, $verb:ident, $expected:expr) => {
            cases.case(PATTERN, 0x1234_5678_ffff, $expected, |asm| {
                asm.store($size, R10, -8, R1);
                asm.$verb($size, R10, -8, R2);
                asm.mov(R1, R2);
            });
        };
    }
    const B: u64 = 0x1234_5678_ffff;
    const HALF: u64 = 0xffff_ffff;
    memory!(DW, atomic_add, PATTERN + B);
    memory!(DW, atomic_or, PATTERN | B);
    memory!(DW, atomic_and, PATTERN & B);
    memory!(DW, atomic_xor, PATTERN ^ B);
    memory!(W, atomic_add, (PATTERN + B) & HALF);
    memory!(W, atomic_or, (PATTERN | B) & HALF);
    memory!(W, atomic_and, PATTERN & B & HALF);
    memory!(W, atomic_xor, (PATTERN ^ B) & HALF);
    memory!(DW, atomic_fetch_add, PATTERN + B);
    memory!(DW, atomic_fetch_or, PATTERN | B);
    memory!(DW, atomic_fetch_and, PATTERN & B);
    memory!(DW, atomic_fetch_xor, PATTERN ^ B);
    memory!(DW, atomic_xchg, B);
    memory!(W, atomic_xchg, B & HALF);
    fetched!(DW, atomic_fetch_add, PATTERN);
    fetched!(DW, atomic_fetch_or, PATTERN);
    fetched!(DW, atomic_fetch_and, PATTERN);
    fetched!(DW, atomic_fetch_xor, PATTERN);
    fetched!(DW, atomic_xchg, PATTERN);
    fetched!(W, atomic_fetch_add, PATTERN & HALF);
    fetched!(W, atomic_fetch_or, PATTERN & HALF);
    fetched!(W, atomic_fetch_and, PATTERN & HALF);
    fetched!(W, atomic_fetch_xor, PATTERN & HALF);
    fetched!(W, atomic_xchg, PATTERN & HALF);
    for (held, there) in [(PATTERN, B), (PATTERN + 1, PATTERN)] {
        cases.case(PATTERN, B, there, |asm| {
            asm.store(DW, R10, -8, R1);
            asm.load_imm64(R0, held);
            asm.atomic_cmpxchg(DW, R10, -8, R2);
            asm.load(DW, R1, R10, -8);
        });
        cases.case(PATTERN, B, PATTERN, |asm| {
            asm.store(DW, R10, -8, R1);
            asm.load_imm64(R0, held);
            asm.atomic_cmpxchg(DW, R10, -8, R2);
            asm.mov(R1, R0);
        });
    }
}

fn version_4(cases: &mut Cases) {
    let signed = |value: i64| value as u64;
    binary!(cases, sdiv, MINUS_7, 2, |_, _| -3i64 as u64, |_, _| -3i32 as u32);
    binary!(cases, srem, MINUS_7, 4, |_, _| -3i64 as u64, |_, _| -3i32 as u32);
    cases.case(0, PATTERN, signed(i64::from(PATTERN as i8)), |asm| asm.mov_sx(cutaway_programs::B, R1, R2));
    cases.case(0, PATTERN, signed(i64::from(PATTERN as i16)), |asm| asm.mov_sx(H, R1, R2));
    cases.case(0, PATTERN, signed(i64::from(PATTERN as i32)), |asm| asm.mov_sx(W, R1, R2));
    cases.case(0, PATTERN, u64::from(i32::from(PATTERN as i8) as u32), |asm| {
        asm.mov_sx(cutaway_programs::B, W1, W2);
    });
    cases.case(0, PATTERN, u64::from(i32::from(PATTERN as i16) as u32), |asm| asm.mov_sx(H, W1, W2));
    cases.case(PATTERN, 0, u64::from((PATTERN as u16).swap_bytes()), |asm| asm.bswap(H, R1));
    cases.case(PATTERN, 0, u64::from((PATTERN as u32).swap_bytes()), |asm| asm.bswap(W, R1));
    cases.case(PATTERN, 0, PATTERN.swap_bytes(), |asm| asm.bswap(DW, R1));
    cases.case(PATTERN, 0, signed(i64::from(PATTERN as i32)), |asm| {
        asm.store(W, R10, -4, R1);
        asm.load_sx(W, R1, R10, -4);
    });
    cases.case(PATTERN, 0, signed(i64::from(PATTERN as i16)), |asm| {
        asm.store(H, R10, -2, R1);
        asm.load_sx(H, R1, R10, -2);
    });
    cases.jump(0, 0, true, |asm, yes| {
        let no = asm.label("no");
        asm.jump_if(Ne, R1, 0, no);
        asm.jump_long(yes);
        asm.bind(no);
    });
}
