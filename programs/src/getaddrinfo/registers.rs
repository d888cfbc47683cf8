//! The traced function's arguments and return value in `struct pt_regs`, which is the context of a uprobe's program.
//!
//! The structure depends on the architecture, and so does the object. (`arch/*/include/asm/ptrace.h`)

/// Offsets in bytes into the context.
pub(super) struct Registers {
    /// The first four arguments, on entry.
    pub(super) arguments: [i16; 4],
    /// The return value, on return.
    pub(super) result: i16,
    pub(super) stack_pointer: i16,
    /// The number of bytes that the stack pointer moves between entry and return: the size of the return address where
    /// a call pushes it, otherwise 0.
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
