//! Type and line information of instructions for `BPF_PROG_LOAD`: `struct bpf_func_info` and `struct bpf_line_info` of
//! `include/uapi/linux/bpf.h`.

/// The function that begins at an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct bpf_func_info {
    /// Instructions from the program's start.
    pub(crate) insn_off: u32,
    pub(crate) type_id: u32,
}

/// The source line of an instruction and of the instructions after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct bpf_line_info {
    /// Instructions from the program's start.
    pub(crate) insn_off: u32,
    /// Offset in the strings of the BTF, like `line_off`.
    pub(crate) file_name_off: u32,
    pub(crate) line_off: u32,
    /// Line number in the upper 22 bits, column in the lower 10.
    pub(crate) line_col: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        assert_eq!(size_of::<bpf_func_info>(), size_of::<aya_obj::generated::bpf_func_info>());
        assert_eq!(size_of::<bpf_line_info>(), size_of::<aya_obj::generated::bpf_line_info>());
    }
}
