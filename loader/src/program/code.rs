//! A program's code in the kernel: the instructions after the verifier has changed them, their source lines, and the
//! machine code.

use std::{os::fd::AsFd, sync::Arc};

use super::Program;
use crate::{
    Error, Instruction,
    btf::{Btf, Kind, shown},
    object::Line,
    sys::{
        btf,
        func_info::{bpf_func_info, bpf_line_info},
        prog_info::{self, Lists, Wanted},
    },
};

/// A program's code as the kernel has it.
///
/// The kernel hides parts of it. Instructions, functions and machine code need CAP_BPF; names and source lines need
/// CAP_SYS_ADMIN, because the program's BTF is opened by its id. Machine code, addresses, and the instructions of a
/// program whose constants are blinded (`net.core.bpf_jit_harden`) also need a caller that may see the kernel's
/// addresses (`kernel.kptr_restrict`, `kernel.perf_event_paranoid`). Hidden parts are `None`.
#[derive(Debug, Clone)]
#[doc(alias("bpf_prog_info", "bpf_prog_linfo"))]
pub struct ProgramCode {
    instructions: Option<Vec<Instruction>>,
    jited: Option<Vec<u8>>,
    functions: Vec<ProgramFunction>,
    lines: Option<Vec<Line>>,
    line_addresses: Option<Vec<u64>>,
}

/// A function of a program in the kernel: the program itself, or one that it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgramFunction {
    /// Its name in the program's BTF; `None` if the program was loaded without BTF, or its BTF cannot be opened.
    pub name: Option<String>,
    /// The index of its first instruction slot; `None` if the program was loaded without BTF.
    pub slot: Option<usize>,
    /// The address of its machine code in the kernel.
    #[doc(alias = "jited_ksyms")]
    pub address: Option<u64>,
    /// The size of its machine code in bytes.
    #[doc(alias = "jited_func_lens")]
    pub jited_size: Option<u32>,
}

impl ProgramCode {
    /// Returns the instruction slots of all functions, one function after another. Calls and addresses of maps have
    /// the kernel's values; a 16-byte instruction takes two slots.
    #[doc(alias("xlated_prog_insns", "bpftool prog dump xlated"))]
    #[must_use]
    pub fn instructions(&self) -> Option<&[Instruction]> {
        self.instructions.as_deref()
    }

    /// Returns the source lines, in ascending order of their slots.
    #[doc(alias("line_info", "bpf_line_info"))]
    #[must_use]
    pub fn lines(&self) -> Option<&[Line]> {
        self.lines.as_deref()
    }

    /// Returns the source line of the instruction at `slot`: the last line that begins at it or before it.
    #[must_use]
    #[doc(alias = "bpf_prog_linfo__lfind")]
    pub fn line_at(&self, slot: usize) -> Option<&Line> {
        let lines = self.lines.as_deref()?;
        lines.get(lines.partition_point(|line| line.slot <= slot).checked_sub(1)?)
    }

    /// Returns the addresses of the machine code of each of [`ProgramCode::lines`].
    #[doc(alias = "jited_line_info")]
    #[must_use]
    pub fn line_addresses(&self) -> Option<&[u64]> {
        self.line_addresses.as_deref()
    }

    /// Returns the functions. The first is the program itself.
    #[doc(alias("func_info", "bpf_func_info"))]
    #[must_use]
    pub fn functions(&self) -> &[ProgramFunction] {
        &self.functions
    }

    /// Returns the machine code of all functions, one after another, each of its [`ProgramFunction::jited_size`].
    #[doc(alias("jited_prog_insns", "bpftool prog dump jited"))]
    #[must_use]
    pub fn jited(&self) -> Option<&[u8]> {
        self.jited.as_deref()
    }
}

impl Program {
    /// Returns the program's code as the kernel has it.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel refuses the query; [`Error::Invalid`] if the program's BTF is malformed.
    #[doc(alias("BPF_OBJ_GET_INFO_BY_FD", "xlated_prog_insns", "Program.Instructions", "bpf_program__insns"))]
    pub fn code(&self) -> Result<ProgramCode, Error> {
        let attempt = || format!("read the code of the program `{}`", self.name());
        let why = "reads a program's instructions, source lines and machine code";
        let (known, lists) =
            prog_info::read(self.as_fd(), Wanted::All, why).map_err(|error| Error::kernel(attempt(), &error))?;
        let has_btf = known.info.btf_id != 0;
        let bytes = if has_btf { btf::bytes(known.info.btf_id).ok() } else { None };
        let btf = bytes.as_deref().map(Btf::parse).transpose();
        let btf = btf.map_err(|broken| Error::Invalid { operation: attempt(), why: format!("its BTF: {broken}") })?;
        Ok(ProgramCode {
            functions: functions(&lists, btf.as_ref()),
            lines: btf.as_ref().filter(|_| !lists.line_info.is_empty()).map(|btf| lines(&lists.line_info, btf)),
            instructions: lists.xlated,
            jited: lists.jited,
            line_addresses: lists.jited_line_info,
        })
    }
}

/// Combines the functions' types with their machine code. A program without BTF has no list of types.
fn functions(lists: &Lists, btf: Option<&Btf<'_>>) -> Vec<ProgramFunction> {
    let addresses = lists.jited_ksyms.as_deref().unwrap_or_default();
    let sizes = lists.jited_func_lens.as_deref().unwrap_or_default();
    let count = lists.func_info.len().max(addresses.len()).max(sizes.len());
    let function = |index| {
        let info = lists.func_info.get(index);
        let name = |info: &bpf_func_info| {
            let ty = btf?.ty(info.type_id);
            (ty.kind() == Kind::Func).then(|| ty.name().into_owned())
        };
        ProgramFunction {
            name: info.and_then(name),
            slot: info.map(|info| info.insn_off as usize),
            address: addresses.get(index).copied(),
            jited_size: sizes.get(index).copied(),
        }
    };
    (0..count).map(function).collect()
}

fn lines(infos: &[bpf_line_info], btf: &Btf<'_>) -> Vec<Line> {
    let text = |offset: u32| -> Arc<str> { shown(btf.string(offset).trim_ascii()).into() };
    let mut file: Option<(u32, Arc<str>)> = None;
    let line = |info: &bpf_line_info| {
        // Neighboring lines have the same file.
        let known = file.as_ref().filter(|(offset, _)| *offset == info.file_name_off);
        let name = known.map_or_else(|| text(info.file_name_off), |(_, name)| Arc::clone(name));
        file = Some((info.file_name_off, Arc::clone(&name)));
        Line {
            slot: info.insn_off as usize,
            file: name,
            line: info.line_col >> 10,
            column: info.line_col & 0x3ff,
            text: text(info.line_off),
        }
    };
    infos.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_instruction_begins_before_it() {
        let line = |slot, line| Line { slot, file: "a.c".into(), line, column: 0, text: "".into() };
        let code = ProgramCode {
            instructions: None,
            jited: None,
            functions: Vec::new(),
            lines: Some(vec![line(1, 10), line(4, 20)]),
            line_addresses: None,
        };
        let found = [0, 1, 3, 4, 9].map(|slot| code.line_at(slot).map(|line| line.line));
        assert_eq!(found, [None, Some(10), Some(10), Some(20), Some(20)]);
    }

    #[test]
    fn functions_without_btf_have_their_machine_code() {
        let lists =
            Lists { jited_ksyms: Some(vec![0x1000, 0x2000]), jited_func_lens: Some(vec![16, 32]), ..Lists::default() };
        let found = functions(&lists, None);
        let function = |address, jited_size| ProgramFunction {
            name: None,
            slot: None,
            address: Some(address),
            jited_size: Some(jited_size),
        };
        assert_eq!(found, [function(0x1000, 16), function(0x2000, 32)]);
    }
}
