//! The numbers that make up an opcode, with the kernel's names less their `BPF_` prefix.
//!
//! ```text
//! arithmetic and jumps:  operation (4 bits) │ source (1 bit) │ class (3 bits)
//! loads and stores:      mode (3 bits)      │ size (2 bits)  │ class (3 bits)
//! ```

// Classes.
pub(crate) const LD: u8 = 0x00;
pub(crate) const LDX: u8 = 0x01;
pub(crate) const ST: u8 = 0x02;
pub(crate) const STX: u8 = 0x03;
pub(crate) const ALU: u8 = 0x04;
pub(crate) const JMP: u8 = 0x05;
pub(crate) const JMP32: u8 = 0x06;
pub(crate) const ALU64: u8 = 0x07;

// Sources of the second operand: the immediate, or a register.
pub(crate) const K: u8 = 0x00;
pub(crate) const X: u8 = 0x08;

// Arithmetic.
pub(crate) const ADD: u8 = 0x00;
pub(crate) const SUB: u8 = 0x10;
pub(crate) const MUL: u8 = 0x20;
pub(crate) const DIV: u8 = 0x30;
pub(crate) const OR: u8 = 0x40;
pub(crate) const AND: u8 = 0x50;
pub(crate) const LSH: u8 = 0x60;
pub(crate) const RSH: u8 = 0x70;
pub(crate) const NEG: u8 = 0x80;
pub(crate) const MOD: u8 = 0x90;
pub(crate) const XOR: u8 = 0xa0;
pub(crate) const MOV: u8 = 0xb0;
pub(crate) const ARSH: u8 = 0xc0;
pub(crate) const END: u8 = 0xd0;

// Jumps; the conditions themselves are in `Condition`.
pub(crate) const JA: u8 = 0x00;
pub(crate) const CALL: u8 = 0x80;
pub(crate) const EXIT: u8 = 0x90;
pub(crate) const JCOND: u8 = 0xe0;

// Modes of memory access.
pub(crate) const IMM: u8 = 0x00;
pub(crate) const ABS: u8 = 0x20;
pub(crate) const IND: u8 = 0x40;
pub(crate) const MEM: u8 = 0x60;
pub(crate) const MEMSX: u8 = 0x80;
pub(crate) const ATOMIC: u8 = 0xc0;

// Sizes of memory access.
pub(crate) const SIZE_W: u8 = 0x00;
pub(crate) const SIZE_H: u8 = 0x08;
pub(crate) const SIZE_B: u8 = 0x10;
pub(crate) const SIZE_DW: u8 = 0x18;

// What the immediate of an atomic instruction asks for beside ADD, OR, AND and XOR.
pub(crate) const FETCH: i32 = 0x01;
pub(crate) const XCHG: i32 = 0xe0 | FETCH;
pub(crate) const CMPXCHG: i32 = 0xf0 | FETCH;
pub(crate) const LOAD_ACQ: i32 = 0x100;
pub(crate) const STORE_REL: i32 = 0x110;

// The one instruction of two slots.
pub(crate) const LD_IMM64: u8 = LD | IMM | SIZE_DW;

// What the source register field of a call says when it is not 0: the immediate counts slots to another function.
pub(crate) const PSEUDO_CALL: u8 = 1;
