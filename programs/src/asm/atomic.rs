//! Atomics: read, modify and write memory in one step.
//!
//! All but [`atomic_add`](Assembler::atomic_add) need Linux 5.12; [`load_acquire`](Assembler::load_acquire) and
//! [`store_release`](Assembler::store_release) need Linux 6.15. Among the read-modify-write forms, only those that
//! return a value order other accesses.

use cutaway_sys::{Instruction, instruction::opcode::*};

use super::Assembler;
use crate::{
    register::{Bits64, Register, Writable},
    size::{Atomic, Size},
};

macro_rules! atomic {
    ($($(#[$doc:meta])* $verb:ident $source:ident $imm:expr;)*) => {
        impl Assembler { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $verb<S, A, R>(&mut self, size: S, base: A, offset: i16, src: R)
            where
                S: Atomic,
                A: Register<Width = Bits64>,
                R: $source<Width = Bits64>,
            {
                let _ = (size, base, src);
                let code = STX | ATOMIC | S::CODE;
                self.push(Instruction::new(code, A::NUMBER, R::NUMBER, offset, $imm));
            }
        )* }
    };
}

atomic! {
    /// Appends `lock *(u64 *)(base + offset) += src`, or `u32`.
    atomic_add Register ADD as i32;
    /// Appends `lock *(u64 *)(base + offset) |= src`, or `u32`.
    atomic_or Register OR as i32;
    /// Appends `lock *(u64 *)(base + offset) &= src`, or `u32`.
    atomic_and Register AND as i32;
    /// Appends `lock *(u64 *)(base + offset) ^= src`, or `u32`.
    atomic_xor Register XOR as i32;
    /// Appends [`atomic_add`](Assembler::atomic_add) in the form that returns the old value in `src`.
    atomic_fetch_add Writable ADD as i32 | FETCH;
    /// Appends [`atomic_or`](Assembler::atomic_or) in the form that returns the old value in `src`.
    atomic_fetch_or Writable OR as i32 | FETCH;
    /// Appends [`atomic_and`](Assembler::atomic_and) in the form that returns the old value in `src`.
    atomic_fetch_and Writable AND as i32 | FETCH;
    /// Appends [`atomic_xor`](Assembler::atomic_xor) in the form that returns the old value in `src`.
    atomic_fetch_xor Writable XOR as i32 | FETCH;
    /// Exchanges `src` with the memory: writes `src`, which receives the old value.
    atomic_xchg Writable XCHG;
    /// Writes `src` if the memory equals `R0`. `R0` receives the old value in either case.
    atomic_cmpxchg Register CMPXCHG;
}

impl Assembler {
    /// Appends `dst = load_acquire((u64 *)(base + offset))` and so on: no later access is seen before it.
    #[track_caller]
    pub fn load_acquire<S, D, A>(&mut self, size: S, dst: D, base: A, offset: i16)
    where
        S: Size,
        D: Writable<Width = Bits64>,
        A: Register<Width = Bits64>,
    {
        let _ = (size, dst, base);
        let code = STX | ATOMIC | S::CODE;
        self.push(Instruction::new(code, D::NUMBER, A::NUMBER, offset, LOAD_ACQ));
    }

    /// Appends `store_release((u64 *)(base + offset), src)` and so on: no earlier access is seen after it.
    #[track_caller]
    pub fn store_release<S, A, R>(&mut self, size: S, base: A, offset: i16, src: R)
    where
        S: Size,
        A: Register<Width = Bits64>,
        R: Register<Width = Bits64>,
    {
        let _ = (size, base, src);
        let code = STX | ATOMIC | S::CODE;
        self.push(Instruction::new(code, A::NUMBER, R::NUMBER, offset, STORE_REL));
    }
}
