//! Where the traced function's arguments and result are: `struct pt_regs`, which a uprobe's program gets as its
//! context.
//!
//! It is the machine's own, so an object is for one architecture. (`arch/*/include/asm/ptrace.h`)

/// Offsets in bytes into the context.
pub(super) struct Registers {
    /// The first four arguments, on entry.
    pub(super) arguments: [i16; 4],
    /// The result, on return.
    pub(super) result: i16,
    pub(super) stack_pointer: i16,
    /// What the stack pointer moves by between entry and return: where a call pushes the return address, its size.
    pub(super) popped: i32,
}

#[cfg(target_arch = "x86_64")]
pub(super) const REGISTERS: Registers = Registers {
    arguments: [112, 104, 96, 88], // rdi, rsi, rdx, rcx
    result: 80,                    // rax
    stack_pointer: 152,
    popped: 8,
};

#[cfg(target_arch = "aarch64")]
pub(super) const REGISTERS: Registers = Registers {
    arguments: [0, 8, 16, 24], // x0 to x3
    result: 0,
    stack_pointer: 248,
    popped: 0,
};
