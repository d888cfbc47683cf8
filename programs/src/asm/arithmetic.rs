//! Arithmetic: instructions that work on registers and immediates.
//!
//! Each method works on whole registers or on their lower halves, depending on the type of its operands: `add(R1, R2)`
//! is the 64-bit instruction `r1 += r2`, `add(W1, W2)` the 32-bit one, `w1 += w2`.

use cutaway_sys::{Instruction, instruction::opcode::*};

use super::Assembler;
use crate::{
    register::{Bits64, Operand, Register, Value, Width, Writable},
    size::{SignExtends, Swaps},
};

macro_rules! binary {
    ($($(#[$doc:meta])* $verb:ident $code:ident $offset:literal;)*) => {
        impl Assembler { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $verb<D: Writable>(&mut self, dst: D, src: impl Operand<D::Width>) {
                self.binary::<D, _>(dst, $code, $offset, src);
            }
        )* }
    };
}

binary! {
    /// Appends `dst = src`. An immediate is sign-extended; for a full 64-bit one see
    /// [`load_imm64`](Assembler::load_imm64).
    mov MOV 0;
    /// Appends `dst += src`.
    add ADD 0;
    /// Appends `dst -= src`.
    sub SUB 0;
    /// Appends `dst *= src`.
    mul MUL 0;
    /// Appends `dst /= src`, unsigned. Dividing by a register that holds 0 gives 0. The verifier refuses to divide by
    /// an immediate 0.
    div DIV 0;
    /// Appends `dst s/= src`, signed. Needs Linux 6.6.
    sdiv DIV 1;
    /// Appends `dst %= src`, unsigned. The remainder by a register that holds 0 is `dst` itself.
    rem MOD 0;
    /// Appends `dst s%= src`, signed. Needs Linux 6.6.
    srem MOD 1;
    /// Appends `dst |= src`.
    or OR 0;
    /// Appends `dst &= src`.
    and AND 0;
    /// Appends `dst ^= src`.
    xor XOR 0;
    /// Appends `dst <<= src`. An immediate must be less than the width. Only the low 6 bits of a register count, 5 for
    /// a lower half.
    lsh LSH 0;
    /// Appends `dst >>= src`, filling with zeroes.
    rsh RSH 0;
    /// Appends `dst s>>= src`, filling with the sign bit.
    arsh ARSH 0;
}

impl Assembler {
    /// Appends `dst = -dst`.
    #[track_caller]
    pub fn neg<D: Writable>(&mut self, dst: D) {
        let _ = dst;
        self.push(Instruction::new(D::Width::ALU | NEG, D::NUMBER, 0, 0, 0));
    }

    /// Appends `dst = (s8)src` and so on: the low bytes of `src`, sign-extended. Needs Linux 6.6.
    #[track_caller]
    pub fn mov_sx<S, D, R>(&mut self, size: S, dst: D, src: R)
    where
        S: SignExtends<D::Width>,
        D: Writable,
        R: Register<Width = D::Width>,
    {
        let _ = size;
        self.binary::<D, _>(dst, MOV, i16::from(S::BYTES) * 8, src);
    }

    /// Appends `dst = be16 dst` and so on: converts between the machine's byte order and big-endian, the network's.
    /// Swaps the bytes on a little-endian machine. On either machine the bytes above the size are cleared.
    #[track_caller]
    pub fn be(&mut self, size: impl Swaps, dst: impl Writable<Width = Bits64>) {
        self.swap(ALU | END | X, size, dst);
    }

    /// Appends `dst = le16 dst` and so on: converts between the machine's byte order and little-endian. Swaps the bytes
    /// on a big-endian machine. On either machine the bytes above the size are cleared.
    #[track_caller]
    pub fn le(&mut self, size: impl Swaps, dst: impl Writable<Width = Bits64>) {
        self.swap(ALU | END | K, size, dst);
    }

    /// Appends `dst = bswap16 dst` and so on: swaps the bytes on any machine, and clears those above the size. Needs
    /// Linux 6.6.
    #[track_caller]
    pub fn bswap(&mut self, size: impl Swaps, dst: impl Writable<Width = Bits64>) {
        self.swap(ALU64 | END | K, size, dst);
    }

    #[track_caller]
    fn binary<D: Writable, O: Operand<D::Width>>(&mut self, dst: D, code: u8, offset: i16, src: O) {
        let _ = dst;
        let code = D::Width::ALU | code;
        self.push(match src.value() {
            Value::Register(src) => Instruction::new(code | X, D::NUMBER, src, offset, 0),
            Value::Immediate(imm) => Instruction::new(code | K, D::NUMBER, 0, offset, imm),
        });
    }

    #[track_caller]
    fn swap<S: Swaps, D: Writable>(&mut self, code: u8, size: S, dst: D) {
        let _ = (size, dst);
        let bits = i32::from(S::BYTES) * 8;
        self.push(Instruction::new(code, D::NUMBER, 0, 0, bits));
    }
}
