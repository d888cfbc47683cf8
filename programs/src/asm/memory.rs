//! Memory: loads, stores, and the addresses that a linker fills in.
//!
//! An address is a whole register and an offset in bytes. The destination comes first: `load(W, R1, R2, 8)` is
//! `r1 = *(u32 *)(r2 + 8)` and `store(W, R1, 8, R2)` is `*(u32 *)(r1 + 8) = r2`. [`offset!`](crate::offset) gives the
//! offset of a field.

use cutaway_sys::{Instruction, instruction::opcode::*};

use super::{Assembler, Reference};
use crate::{
    handle::{FunctionRef, MapRef, VariableRef},
    register::{Bits64, Operand, Register, Value, Writable},
    size::{SignExtends, Size},
};

impl Assembler {
    /// Appends `dst = *(u64 *)(base + offset)` and so on. A smaller value is zero-extended.
    #[track_caller]
    pub fn load<S, D, A>(&mut self, size: S, dst: D, base: A, offset: i16)
    where
        S: Size,
        D: Writable<Width = Bits64>,
        A: Register<Width = Bits64>,
    {
        let _ = (size, dst, base);
        self.push(Instruction::new(LDX | MEM | S::CODE, D::NUMBER, A::NUMBER, offset, 0));
    }

    /// Appends `dst = *(s32 *)(base + offset)` and so on. The value is sign-extended. Needs Linux 6.6.
    #[track_caller]
    pub fn load_sx<S, D, A>(&mut self, size: S, dst: D, base: A, offset: i16)
    where
        S: SignExtends<Bits64>,
        D: Writable<Width = Bits64>,
        A: Register<Width = Bits64>,
    {
        let _ = (size, dst, base);
        self.push(Instruction::new(LDX | MEMSX | S::CODE, D::NUMBER, A::NUMBER, offset, 0));
    }

    /// Appends `*(u64 *)(base + offset) = src` and so on: stores the low bytes of a register, or an immediate.
    #[track_caller]
    pub fn store<S, A>(&mut self, size: S, base: A, offset: i16, src: impl Operand<Bits64>)
    where
        S: Size,
        A: Register<Width = Bits64>,
    {
        let _ = (size, base);
        let mode = MEM | S::CODE;
        self.push(match src.value() {
            Value::Register(src) => Instruction::new(STX | mode, A::NUMBER, src, offset, 0),
            Value::Immediate(imm) => Instruction::new(ST | mode, A::NUMBER, 0, offset, imm),
        });
    }

    /// Appends `dst = value ll`: loads a whole 64-bit value, in two slots.
    #[track_caller]
    pub fn load_imm64(&mut self, dst: impl Writable<Width = Bits64>, value: u64) {
        self.wide(dst, value, None);
    }

    /// Loads the address of the map itself, as helpers take it.
    #[track_caller]
    pub fn load_map(&mut self, dst: impl Writable<Width = Bits64>, map: MapRef) {
        self.wide(dst, 0, Some(Reference::Map(map)));
    }

    /// Loads the address of a global variable plus `offset` bytes. Needs Linux 5.2.
    #[track_caller]
    pub fn load_address(&mut self, dst: impl Writable<Width = Bits64>, variable: VariableRef, offset: u32) {
        // The loader adds the variable's own offset in its section to the first slot's immediate.
        self.wide(dst, u64::from(offset), Some(Reference::Variable(variable)));
    }

    /// Loads the address of a function, as helpers that call back take it. Needs Linux 5.13.
    #[track_caller]
    pub fn load_function(&mut self, dst: impl Writable<Width = Bits64>, function: FunctionRef) {
        self.wide(dst, 0, Some(Reference::Function(function)));
    }

    #[track_caller]
    fn wide<D: Writable>(&mut self, dst: D, value: u64, reference: Option<Reference>) {
        let _ = dst;
        let [instruction, second] = Instruction::load_imm64(D::NUMBER, 0, value);
        self.statements.push(super::Statement {
            instruction,
            second: Some(second),
            reference,
            at: std::panic::Location::caller(),
        });
    }
}

/// The offset of a field in bytes, as [`Assembler::load`] and [`Assembler::store`] take it. Nested fields are allowed:
/// `offset!(Event, head.pid)`. An offset beyond 32,767 does not compile.
///
/// ```
/// #[repr(C)]
/// struct Event { time_ns: u64, pid: u32 }
/// assert_eq!(cutaway_programs::offset!(Event, pid), 8);
/// ```
#[macro_export]
macro_rules! offset {
    ($type:ty, $($field:tt)+) => {
        const {
            let offset = ::core::mem::offset_of!($type, $($field)+);
            ::core::assert!(offset <= i16::MAX as usize, "an instruction's offset has 16 bits");
            offset as i16
        }
    };
}

/// The size of a type in bytes, as an immediate operand. A size beyond 2,147,483,647 does not compile.
///
/// ```
/// assert_eq!(cutaway_programs::size!([u64; 3]), 24);
/// ```
#[macro_export]
macro_rules! size {
    ($type:ty) => {
        const {
            let size = ::core::mem::size_of::<$type>();
            ::core::assert!(size <= i32::MAX as usize, "an immediate has 32 bits");
            size as i32
        }
    };
}
