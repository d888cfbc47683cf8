//! Offsets of registers in `struct pt_regs`, the context of a program on a probe.
//!
//! Compilers name a register by the part that they use (`%al`, `%eax`, `%rax`; `w0`, `x0`); the structure holds the
//! whole register. The first fields never change (`arch/x86/include/asm/ptrace.h` and
//! `arch/{arm64,riscv,s390}/include/uapi/asm/ptrace.h`). The file's machine selects the table, not this machine, so
//! every table is tested on every machine.

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
        _ => numbered(name.strip_prefix(['x', 'w'])?, SP)?,
    };
    Some(index * 8)
}

/// The registers of RISC-V by their names in the calling convention: `x0` to `x31`. The structure begins with `pc`
/// and has no `x0`, which is always 0.
const RISCV: [&str; 32] = [
    "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2",
    "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

/// Returns the offset in bytes of a register in the `user_regs_struct` of 64-bit RISC-V. Compilers use the names of
/// the calling convention; assembler code can have `x5` and `fp`.
pub(super) fn riscv64(name: &str) -> Option<u16> {
    let index = match name {
        // `s0` is the frame pointer.
        "fp" => return riscv64("s0"),
        _ => match RISCV.iter().position(|&known| known == name) {
            Some(index) => u16::try_from(index).ok()?,
            None => numbered(name.strip_prefix('x')?, 32).filter(|&index| index != 0)?,
        },
    };
    Some(index * 8)
}

/// Returns the offset in bytes of a general register in the `user_pt_regs` of s390x: `args[1]` and `psw` precede
/// `gprs`. The name has no `%`.
pub(super) fn s390x(name: &str) -> Option<u16> {
    /// `unsigned long args[1]` and `psw_t psw`, a mask and an address.
    const GPRS: u16 = 8 + 16;
    Some(GPRS + numbered(name.strip_prefix('r')?, 16)? * 8)
}

/// Returns the register's number if it is below `count`. The assembler writes it without signs and leading zeros.
fn numbered(number: &str, count: u16) -> Option<u16> {
    (0..count).find(|index| index.to_string() == number)
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

    /// The offsets in the kernel's `struct user_regs_struct` (`arch/riscv/include/uapi/asm/ptrace.h`), field by field.
    #[test]
    fn riscv_registers_have_the_structures_offsets() {
        let fields =
            "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6";
        for (index, name) in fields.split(' ').enumerate() {
            assert_eq!(riscv64(name).map(usize::from), Some(index * 8), "{name}");
        }
        for (name, offset) in [("x1", 8), ("x2", 16), ("fp", 64), ("x8", 64), ("x10", 80), ("x31", 248)] {
            assert_eq!(riscv64(name), Some(offset), "{name}");
        }
        for name in ["", "x", "x0", "zero", "x32", "x01", "x-1", "a8", "s12", "t7", "fa0", "ft0", "r1", "A0"] {
            assert_eq!(riscv64(name), None, "{name}");
        }
    }

    #[test]
    fn s390x_registers_follow_args_and_psw() {
        for (name, offset) in [("r0", 24), ("r2", 40), ("r11", 112), ("r15", 144)] {
            assert_eq!(s390x(name), Some(offset), "{name}");
        }
        // Floating-point, access, control and vector registers are not in the structure.
        for name in ["", "r", "r16", "r00", "r-1", "r+1", "f0", "a1", "c0", "v24", "%r1", "2"] {
            assert_eq!(s390x(name), None, "{name}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn c_library_has_the_offsets_of_x86() {
        use std::mem::offset_of;
        assert_eq!(x86("rip").map(usize::from), Some(offset_of!(libc::user_regs_struct, rip)));
        assert_eq!(x86("rsp").map(usize::from), Some(offset_of!(libc::user_regs_struct, rsp)));
        assert_eq!(x86("rdi").map(usize::from), Some(offset_of!(libc::user_regs_struct, rdi)));
    }
}
