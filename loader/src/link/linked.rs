//! A linked program, in the form that the verifier gets.

use cutaway_sys::Instruction;

use crate::{
    elf::Start,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// `BPF_COMPLEXITY_LIMIT_INSNS`: the kernel refuses a longer program before it verifies it.
pub(crate) const MAX_INSNS: usize = 1_000_000;

/// One program, ready for the verifier.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) func_info: Vec<bpf_func_info>,
    pub(crate) line_info: Vec<bpf_line_info>,
    /// The program and the functions that it calls, each with the index of its first instruction.
    pub(crate) functions: Vec<(Start, usize)>,
}
