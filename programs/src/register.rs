//! The registers, each with a type of its own.
//!
//! An eBPF program has ten 64-bit registers and a frame pointer. [`R0`] to [`R9`] are the whole registers, [`W0`] to
//! [`W9`] their lower halves; writing a lower half clears the upper one. [`R10`] points one byte past the top of the
//! program's 512-byte stack frame. It cannot be written: it is a [`Register`] but not [`Writable`], so an attempt does
//! not compile.
//!
//! | register | role in the calling convention |
//! | --- | --- |
//! | `R0` | the return value of a call, and of the program |
//! | `R1` to `R5` | arguments; a call destroys them |
//! | `R6` to `R9` | survive calls |
//! | `R10` | the frame pointer, read-only |
//!
//! The operands of an instruction have the same width:
//!
//! ```
//! # use cutaway_programs::prelude::*;
//! Assembler::new().add(W1, W2);
//! ```
//!
//! ```compile_fail
//! # use cutaway_programs::prelude::*;
//! Assembler::new().add(R1, W2);
//! ```
//!
//! Kernel: `include/uapi/linux/bpf.h` (`enum BPF_REG_*`), `Documentation/bpf/standardization/abi.rst`.

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// The number of bits of a register that an instruction works on: [`Bits64`] or [`Bits32`].
///
/// The width decides the instruction's class: `ALU64` and `JMP`, or `ALU` and `JMP32`.
pub trait Width: Sealed {
    #[doc(hidden)]
    const ALU: u8;
    #[doc(hidden)]
    const JMP: u8;
}

/// The whole register: `r1` in LLVM's syntax.
#[derive(Clone, Copy, Debug)]
pub enum Bits64 {}

/// The lower half of a register: `w1` in LLVM's syntax. 32-bit jumps need Linux 5.1.
#[derive(Clone, Copy, Debug)]
pub enum Bits32 {}

impl Sealed for Bits64 {}
impl Sealed for Bits32 {}

impl Width for Bits64 {
    const ALU: u8 = cutaway_sys::instruction::opcode::ALU64;
    const JMP: u8 = cutaway_sys::instruction::opcode::JMP;
}

impl Width for Bits32 {
    const ALU: u8 = cutaway_sys::instruction::opcode::ALU;
    const JMP: u8 = cutaway_sys::instruction::opcode::JMP32;
}

/// A register that can be read.
pub trait Register: Sealed + Copy {
    /// Its number in the instruction encoding, 0 to 10.
    const NUMBER: u8;
    /// The whole register or its lower half.
    type Width: Width;
}

/// A register that can be written: all but [`R10`].
pub trait Writable: Register {}

/// The second operand of an instruction: a register as wide as the first, or an `i32`, which is sign-extended to that
/// width. An `i16` is accepted too, so that an [`offset!`](crate::offset) can be added.
pub trait Operand<W: Width>: Sealed {
    #[doc(hidden)]
    fn value(self) -> Value;
}

/// An operand without its type: the part that is encoded in the instruction.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Register(u8),
    Immediate(i32),
}

impl<R: Register> Operand<R::Width> for R {
    fn value(self) -> Value {
        Value::Register(R::NUMBER)
    }
}

impl Sealed for i32 {}

impl<W: Width> Operand<W> for i32 {
    fn value(self) -> Value {
        Value::Immediate(self)
    }
}

impl Sealed for i16 {}

impl<W: Width> Operand<W> for i16 {
    fn value(self) -> Value {
        Value::Immediate(i32::from(self))
    }
}

macro_rules! registers {
    ($($name:ident = $number:literal $width:ident $text:literal $($writable:ident)?;)*) => { $(
        #[doc = $text]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;
        impl Sealed for $name {}
        impl Register for $name {
            const NUMBER: u8 = $number;
            type Width = $width;
        }
        $(impl $writable for $name {})?
    )* };
}

registers! {
    R0 = 0 Bits64 "The return value of a call or of the program." Writable;
    R1 = 1 Bits64 "The first argument; at the start of a program, its context." Writable;
    R2 = 2 Bits64 "The second argument." Writable;
    R3 = 3 Bits64 "The third argument." Writable;
    R4 = 4 Bits64 "The fourth argument." Writable;
    R5 = 5 Bits64 "The fifth argument." Writable;
    R6 = 6 Bits64 "Survives calls." Writable;
    R7 = 7 Bits64 "Survives calls." Writable;
    R8 = 8 Bits64 "Survives calls." Writable;
    R9 = 9 Bits64 "Survives calls." Writable;
    R10 = 10 Bits64 "The frame pointer: the end of the stack's 512 bytes. Read-only.";
    W0 = 0 Bits32 "The lower half of [`R0`]." Writable;
    W1 = 1 Bits32 "The lower half of [`R1`]." Writable;
    W2 = 2 Bits32 "The lower half of [`R2`]." Writable;
    W3 = 3 Bits32 "The lower half of [`R3`]." Writable;
    W4 = 4 Bits32 "The lower half of [`R4`]." Writable;
    W5 = 5 Bits32 "The lower half of [`R5`]." Writable;
    W6 = 6 Bits32 "The lower half of [`R6`]." Writable;
    W7 = 7 Bits32 "The lower half of [`R7`]." Writable;
    W8 = 8 Bits32 "The lower half of [`R8`]." Writable;
    W9 = 9 Bits32 "The lower half of [`R9`]." Writable;
}
