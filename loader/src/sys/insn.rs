//! An instruction, and what is told of instructions, as `BPF_PROG_LOAD` takes them: `struct bpf_insn`, `struct bpf_func_info`,
//! `struct bpf_line_info` and `BPF_PSEUDO_…` of `include/uapi/linux/bpf.h`.

/// One slot of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct bpf_insn {
    pub(crate) code: u8,
    /// Two bit fields of four bits, which each byte order puts its own way round.
    registers: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

impl bpf_insn {
    /// An instruction; of the registers' numbers four bits count.
    pub(crate) fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        let registers = if cfg!(target_endian = "little") { src << 4 | dst & 0xf } else { dst << 4 | src & 0xf };
        Self { code, registers, off, imm }
    }

    pub(crate) fn dst_reg(self) -> u8 {
        if cfg!(target_endian = "little") { self.registers & 0xf } else { self.registers >> 4 }
    }

    pub(crate) fn src_reg(self) -> u8 {
        if cfg!(target_endian = "little") { self.registers >> 4 } else { self.registers & 0xf }
    }

    pub(crate) fn set_src_reg(&mut self, src: u8) {
        *self = Self::new(self.code, self.dst_reg(), src, self.off, self.imm);
    }
}

/// Which function begins at an instruction.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct bpf_func_info {
    /// Instructions from the program's start.
    pub(crate) insn_off: u32,
    pub(crate) type_id: u32,
}

/// Which line of source an instruction comes from, it and those behind it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct bpf_line_info {
    /// Instructions from the program's start.
    pub(crate) insn_off: u32,
    /// Among the strings of the BTF, as is `line_off`.
    pub(crate) file_name_off: u32,
    pub(crate) line_off: u32,
    /// The line's number in the upper 22 bits, the column's below.
    pub(crate) line_col: u32,
}

// What the source register of a load of 64 bits says of its immediate.
pub(crate) const BPF_PSEUDO_MAP_FD: u32 = 1;
pub(crate) const BPF_PSEUDO_MAP_VALUE: u32 = 2;
pub(crate) const BPF_PSEUDO_BTF_ID: u32 = 3;
pub(crate) const BPF_PSEUDO_FUNC: u32 = 4;
// The same of a call.
pub(crate) const BPF_PSEUDO_CALL: u32 = 1;
pub(crate) const BPF_PSEUDO_KFUNC_CALL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_where_the_kernel_has_them() {
        let mut insn = bpf_insn::new(0x7b, 10, 1, -8, -2);
        assert_eq!((insn.dst_reg(), insn.src_reg()), (10, 1));
        insn.set_src_reg(6);
        assert_eq!((insn.dst_reg(), insn.src_reg()), (10, 6));
        assert_eq!(insn.registers, if cfg!(target_endian = "little") { 0x6a } else { 0xa6 });
        let theirs = aya_obj::generated::bpf_insn::new_bitfield_1(10, 6);
        assert_eq!(theirs.get(0, 8), u64::from(insn.registers));
        assert_eq!(size_of::<bpf_insn>(), 8);
        assert_eq!(size_of::<bpf_func_info>(), size_of::<aya_obj::generated::bpf_func_info>());
        assert_eq!(size_of::<bpf_line_info>(), size_of::<aya_obj::generated::bpf_line_info>());
        assert_eq!(BPF_PSEUDO_BTF_ID, aya_obj::generated::BPF_PSEUDO_BTF_ID);
        assert_eq!(BPF_PSEUDO_FUNC, aya_obj::generated::BPF_PSEUDO_FUNC);
        assert_eq!(BPF_PSEUDO_KFUNC_CALL, aya_obj::generated::BPF_PSEUDO_KFUNC_CALL);
    }
}
