//! Offsets of registers in `struct pt_regs`, the context of a program on a probe.
//!
//! Compilers name a register by the part that they use (`%al`, `%eax`, `%rax`; `w0`, `x0`); the structure holds the
//! whole register. The first fields never change (`arch/x86/include/asm/ptrace.h`,
//! `arch/arm64/include/uapi/asm/ptrace.h`).

/// The registers of x86 by their names for 64, 32, 16 and 8 bits, in the structure's order.
const X86: [[&str; 4]; 21] = [
    ["r15", "r15d", "r15w", "r15b"],
    ["r14", "r14d", "r14w", "r14b"],
    ["r13", "r13d", "r13w", "r13b"],
    ["r12", "r12d", "r12w", "r12b"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rbx", "ebx", "bx", "bl"],
    ["r11", "r11d", "r11w", "r11b"],
    ["r10", "r10d", "r10w", "r10b"],
    ["r9", "r9d", "r9w", "r9b"],
    ["r8", "r8d", "r8w", "r8b"],
    ["rax", "eax", "ax", "al"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    // `orig_ax`, the number of the system call; not a register.
    ["", "", "", ""],
    ["rip", "eip", "", ""],
    ["", "", "", ""],
    ["", "", "", ""],
    ["rsp", "esp", "sp", "spl"],
    ["", "", "", ""],
];

/// Returns the offset in bytes of a register in x86's `pt_regs`. The name has no `%`.
pub(super) fn x86(name: &str) -> Option<u16> {
    let index = X86.iter().position(|names| !name.is_empty() && names.contains(&name))?;
    u16::try_from(index * 8).ok()
}

/// Returns the offset in bytes of a register in arm64's `pt_regs`.
pub(super) fn arm64(name: &str) -> Option<u16> {
    /// `sp` follows `x0` to `x30`.
    const SP: u16 = 31;
    let index = match name {
        "sp" => SP,
        _ => {
            let number = name.strip_prefix(['x', 'w'])?;
            // As the assembler writes it, without signs and leading zeros.
            (0..SP).find(|index| index.to_string() == number)?
        }
    };
    Some(index * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_register_have_its_offset() {
        for (name, offset) in
            [("r15", 0), ("ebp", 32), ("rax", 80), ("al", 80), ("dil", 112), ("rip", 128), ("rsp", 152)]
        {
            assert_eq!(x86(name), Some(offset), "{name}");
        }
        for (name, offset) in [("x0", 0), ("w29", 232), ("x30", 240), ("sp", 248)] {
            assert_eq!(arm64(name), Some(offset), "{name}");
        }
        // The second byte of a register, and names that do not exist.
        for name in ["", "ah", "xmm0", "rzx", "st(0)", "fs"] {
            assert_eq!(x86(name), None, "{name}");
        }
        for name in ["", "x", "x31", "x00", "w01", "xzr", "d0", "x-1", "x+1"] {
            assert_eq!(arm64(name), None, "{name}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_c_library_agrees() {
        use std::mem::offset_of;
        assert_eq!(x86("rip").map(usize::from), Some(offset_of!(libc::user_regs_struct, rip)));
        assert_eq!(x86("rsp").map(usize::from), Some(offset_of!(libc::user_regs_struct, rsp)));
        assert_eq!(x86("rdi").map(usize::from), Some(offset_of!(libc::user_regs_struct, rdi)));
    }
}
