//! Loads programs from instructions, without an object.

use std::ffi::CString;

use cutaway_sys::Instruction;

#[cfg(feature = "load-options")]
use super::LogLevel;
use super::{Program, Shared, Warnings, load::choose_attach_method};
use crate::{
    Error, Section,
    btf::visitor::Types,
    elf::{SectionIndex, Start},
    gate::SEARCHES_BTF,
    link::Linked,
    object::ProgramSpec,
    resolve::{Resolved, Targets},
    token::Tokens,
};

/// Loads a program from instructions, without an object. The crate `cutaway-programs` has an assembler, which makes
/// whole objects with types and source lines; this is for programs of a few instructions.
///
/// The name of a section gives the program's type, its attach type and its target, as in an object: `xdp`,
/// `tracepoint/syscalls/sys_enter_getpgid`, `fentry/do_unlinkat`.
///
/// An instruction refers to a map by the map's fd ([`Instruction::load_imm64`] with the source register 1,
/// `BPF_PSEUDO_MAP_FD`). The map must be open while the program is loaded. The program then keeps the map.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// use cutaway::{Instruction, ProgramBuilder, instruction::opcode};
///
/// // r0 = 2 (XDP_PASS); exit
/// let pass = [
///     Instruction::new(opcode::ALU64 | opcode::MOV | opcode::K, 0, 0, 0, 2),
///     Instruction::new(opcode::JMP | opcode::EXIT, 0, 0, 0, 0),
/// ];
/// let program = ProgramBuilder::new("xdp", &pass).name("pass").load()?;
/// # Ok(())
/// # }
/// ```
///
/// `Send` and `Sync`. Borrows the instructions.
///
/// Needs this crate's feature `programs`.
#[derive(Debug, Clone)]
#[must_use = "no program is loaded before `load`"]
#[doc(alias("bpf_prog_load", "bpf_prog_load_opts", "BPF_PROG_LOAD", "NewProgram"))]
pub struct ProgramBuilder<'b> {
    section: &'b str,
    instructions: &'b [Instruction],
    name: &'b str,
    license: &'b str,
    #[cfg(feature = "load-options")]
    log: Option<LogLevel>,
}

impl<'b> ProgramBuilder<'b> {
    /// Describes a program by the name of its section and its instructions. The name of the program is empty, and it
    /// has no license.
    pub const fn new(section: &'b str, instructions: &'b [Instruction]) -> Self {
        Self {
            section,
            instructions,
            name: "",
            license: "",
            #[cfg(feature = "load-options")]
            log: None,
        }
    }

    /// Sets the program's name. The kernel stores 15 bytes of it, and accepts letters, digits, `_` and `.`; other
    /// characters are replaced by `_`.
    pub const fn name(mut self, name: &'b str) -> Self {
        self.name = name;
        self
    }

    /// Sets the license. Many helpers are only for programs whose license is compatible with the GPL: `GPL`,
    /// `Dual MIT/GPL` and others (`include/linux/license.h`).
    pub const fn license(mut self, license: &'b str) -> Self {
        self.license = license;
        self
    }

    /// Keeps the verifier's log, as [`LoadOptions::verifier_log`](crate::LoadOptions::verifier_log) does.
    ///
    /// Needs this crate's feature `load-options`.
    #[cfg(feature = "load-options")]
    pub const fn verifier_log(mut self, level: LogLevel) -> Self {
        self.log = Some(level);
        self
    }

    /// Passes the program to the kernel, whose verifier checks it.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if the section's name gives no known program type, if the kernel does not have the target,
    ///   or if the license contains a NUL.
    /// - [`Error::Verifier`], with the reason and the log, if the verifier refuses the program.
    /// - [`Error::Syscall`] if the kernel refuses it without a reason: EBADF if an instruction has the fd of no map,
    ///   EPERM without privileges, EINVAL or E2BIG if there are no instructions.
    pub fn load(&self) -> Result<Program, Error> {
        let unfit = |why: &str| Error::Invalid {
            operation: format!("load the program `{}` (SEC(\"{}\"))", self.name, self.section),
            why: why.to_owned(),
        };
        let section =
            Section::named(self.section).ok_or_else(|| unfit("the section's name gives no known program type"))?;
        let license = CString::new(self.license).map_err(|_| unfit("the license contains a NUL"))?;
        let entry: Start = (SectionIndex::NONE, 0);
        let mut spec =
            ProgramSpec { name: self.name.to_owned(), section_name: self.section.to_owned(), section, entry };
        let targets = targets(&spec)?;
        let tokens = Tokens::automatic();
        choose_attach_method(&mut spec, &tokens);
        let linked = Linked {
            instructions: self.instructions.to_vec(),
            func_info: Vec::new(),
            line_info: Vec::new(),
            functions: vec![(entry, 0)],
        };
        let shared = Shared {
            license: &license,
            // Used only if the verifier refuses a call because of the license.
            license_fault: Some("`ProgramBuilder::license` sets the license: `GPL`"),
            kernel_version: 0,
            resolved: &Resolved { targets, ..Resolved::default() },
            btf: None,
            tokens: &tokens,
            #[cfg(feature = "load-options")]
            bound: &[],
            #[cfg(feature = "load-options")]
            log: self.log,
            #[cfg(feature = "usdt")]
            usdt: None,
        };
        let mut warnings = Warnings::default();
        let loaded = Program::load(spec, &linked, &shared, None, &mut warnings);
        #[cfg(feature = "parallel")]
        warnings.log();
        loaded
    }
}

/// Finds the program's target in the kernel's BTF, if it has one there.
fn targets(spec: &ProgramSpec) -> Result<Targets, Error> {
    let wanted = Targets::of_all(std::iter::once(spec));
    if !SEARCHES_BTF {
        return Ok(wanted);
    }
    Types::Running.search(wanted, |mut targets, sources| {
        targets.settle(sources)?;
        Ok(targets)
    })
}
