//! The parts of an opcode, by the kernel's names without `BPF_`.
//!
//! ```text
//! arithmetic and jumps:  operation (4 bits) │ source (1 bit) │ class (3 bits)
//! loads and stores:      mode (3 bits)      │ size (2 bits)  │ class (3 bits)
//! ```

// Classes.
/// `BPF_LD`
pub const LD: u8 = 0x00;
/// `BPF_LDX`
pub const LDX: u8 = 0x01;
/// `BPF_ST`
pub const ST: u8 = 0x02;
/// `BPF_STX`
pub const STX: u8 = 0x03;
/// `BPF_ALU`
pub const ALU: u8 = 0x04;
/// `BPF_JMP`
pub const JMP: u8 = 0x05;
/// `BPF_JMP32`
pub const JMP32: u8 = 0x06;
/// `BPF_ALU64`
pub const ALU64: u8 = 0x07;

// Sources of the second operand: the immediate, or a register.
/// `BPF_K`
pub const K: u8 = 0x00;
/// `BPF_X`
pub const X: u8 = 0x08;

// Arithmetic.
/// `BPF_ADD`
pub const ADD: u8 = 0x00;
/// `BPF_SUB`
pub const SUB: u8 = 0x10;
/// `BPF_MUL`
pub const MUL: u8 = 0x20;
/// `BPF_DIV`
pub const DIV: u8 = 0x30;
/// `BPF_OR`
pub const OR: u8 = 0x40;
/// `BPF_AND`
pub const AND: u8 = 0x50;
/// `BPF_LSH`
pub const LSH: u8 = 0x60;
/// `BPF_RSH`
pub const RSH: u8 = 0x70;
/// `BPF_NEG`
pub const NEG: u8 = 0x80;
/// `BPF_MOD`
pub const MOD: u8 = 0x90;
/// `BPF_XOR`
pub const XOR: u8 = 0xa0;
/// `BPF_MOV`
pub const MOV: u8 = 0xb0;
/// `BPF_ARSH`
pub const ARSH: u8 = 0xc0;
/// `BPF_END`
pub const END: u8 = 0xd0;

// Jumps. The conditions are in `Condition` of the crate `cutaway-programs`.
/// `BPF_JA`
pub const JA: u8 = 0x00;
/// `BPF_CALL`
pub const CALL: u8 = 0x80;
/// `BPF_EXIT`
pub const EXIT: u8 = 0x90;
/// `BPF_JCOND`
pub const JCOND: u8 = 0xe0;

// Modes of memory access.
/// `BPF_IMM`
pub const IMM: u8 = 0x00;
/// `BPF_ABS`
pub const ABS: u8 = 0x20;
/// `BPF_IND`
pub const IND: u8 = 0x40;
/// `BPF_MEM`
pub const MEM: u8 = 0x60;
/// `BPF_MEMSX`
pub const MEMSX: u8 = 0x80;
/// `BPF_ATOMIC`
pub const ATOMIC: u8 = 0xc0;

// Sizes of memory access.
/// `BPF_W`
pub const SIZE_W: u8 = 0x00;
/// `BPF_H`
pub const SIZE_H: u8 = 0x08;
/// `BPF_B`
pub const SIZE_B: u8 = 0x10;
/// `BPF_DW`
pub const SIZE_DW: u8 = 0x18;

// Atomic operations besides ADD, OR, AND and XOR, in the immediate.
/// `BPF_FETCH`
pub const FETCH: i32 = 0x01;
/// `BPF_XCHG`
pub const XCHG: i32 = 0xe0 | FETCH;
/// `BPF_CMPXCHG`
pub const CMPXCHG: i32 = 0xf0 | FETCH;
/// `BPF_LOAD_ACQ`
pub const LOAD_ACQ: i32 = 0x100;
/// `BPF_STORE_REL`
pub const STORE_REL: i32 = 0x110;

/// `BPF_JMP | BPF_CALL`: calls a helper, a subprogram or a kfunc.
pub const JMP_CALL: u8 = JMP | CALL;

/// `BPF_LD | BPF_IMM | BPF_DW`: loads a 64-bit immediate; the only instruction of two slots.
pub const LD_IMM64: u8 = LD | IMM | SIZE_DW;

/// `BPF_PSEUDO_CALL`: source register of a call whose immediate is the distance to a subprogram, in slots.
pub const PSEUDO_CALL: u8 = 1;
/// `BPF_PSEUDO_KFUNC_CALL`: source register of a call whose immediate is the BTF id of a kernel function.
pub const PSEUDO_KFUNC_CALL: u8 = 2;

/// `BPF_PSEUDO_MAP_FD`: source register of a 64-bit load whose immediate is a map's fd.
pub const PSEUDO_MAP_FD: u8 = 1;
/// `BPF_PSEUDO_MAP_VALUE`: the fd of a map in the first slot, an offset into its value in the second.
pub const PSEUDO_MAP_VALUE: u8 = 2;
/// `BPF_PSEUDO_BTF_ID`: the BTF id of a kernel variable in the first slot, the fd of its module's BTF in the second.
pub const PSEUDO_BTF_ID: u8 = 3;
/// `BPF_PSEUDO_FUNC`: the distance to a subprogram, in slots.
pub const PSEUDO_FUNC: u8 = 4;
