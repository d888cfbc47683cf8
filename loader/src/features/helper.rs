//! Probes which helpers programs of a type can call.

use cutaway_sys::{Helper, Instruction, instruction::opcode};

use super::{
    support::{EXIT, Support, logged},
    types::{program_type as supported, smallest},
};
use crate::{ProgramType, token::Tokens};

/// The verifier's log of a program of two instructions is shorter.
const LOG_SIZE: usize = 1024;

/// The beginnings of the verifier's sentences about a helper that a program cannot call: the kernel does not have it,
/// or programs of this type cannot call it (on kernels before and after 6.11).
const UNKNOWN: [&str; 3] = ["invalid func ", "unknown func ", "program of this type cannot use helper "];

/// Probes whether programs of a type can call a helper, by loading a program that calls it without arguments.
///
/// If the verifier refuses the program for another reason, such as a missing argument, programs can call the helper.
/// [`Support::Unknown`] for the types `TRACING`, `LSM`, `EXT` and `STRUCT_OPS`: the verifier needs a target before it
/// reads the instructions, and the helpers depend on the target. The answer is not kept.
///
/// The kernel logs a warning if a program calls `bpf_trace_printk`, `bpf_trace_vprintk` or `bpf_probe_write_user`; so
/// does this probe for one of them.
#[must_use]
#[doc(alias("libbpf_probe_bpf_helper", "HaveProgramHelper"))]
pub fn helper(program_type: ProgramType, helper: Helper) -> Support {
    if matches!(program_type, ProgramType::TRACING | ProgramType::LSM | ProgramType::EXT | ProgramType::STRUCT_OPS) {
        return match supported(program_type) {
            Support::Yes => Support::Unknown,
            answer => answer,
        };
    }
    let call = [Instruction::new(opcode::JMP_CALL, 0, 0, 0, helper.id()), EXIT];
    let mut log = [0; LOG_SIZE];
    let loaded = logged(&smallest(program_type, &call), &mut log, &Tokens::automatic());
    if loaded.is_ok() {
        return Support::Yes;
    }
    let log = String::from_utf8_lossy(&log);
    let log = log.trim_end_matches('\0');
    if log.is_empty() {
        // The verifier has not read the program.
        return match supported(program_type) {
            Support::Yes => Support::Unknown,
            answer => answer,
        };
    }
    if UNKNOWN.iter().any(|sentence| log.contains(sentence)) { Support::No } else { Support::Yes }
}
