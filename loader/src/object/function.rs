//! Functions: named runs of instructions, with their type and line information.

use cutaway_sys::{Instruction, instruction::opcode};

use super::btf_ext::Infos;
use crate::{
    Error,
    btf::{Btf, Kind, shown},
    elf::{Elf, Start},
    sorted::{Sorted, sort},
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// A function as the object holds it: references to maps, data and other functions are not resolved.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Visible outside its file; in a section of programs, this makes it a program.
    pub(crate) global: bool,
    pub(crate) instructions: Vec<Instruction>,
    /// Offsets are in instructions from the function's start, also in `line_info`.
    pub(crate) func_info: Vec<bpf_func_info>,
    pub(crate) line_info: Vec<bpf_line_info>,
    /// The function that `bpf_throw()` calls; `Err` with its name if the object has no such global function.
    pub(crate) exception_callback: Option<Result<Start, String>>,
}

/// All functions of the object, by section and address.
pub(crate) type Functions = Sorted<Start, Function>;

/// Reads all functions of the object. If several symbols have the same address, the first global one counts, otherwise
/// the first.
pub(super) fn read(elf: &Elf, infos: &Infos, btf: Option<&Btf<'_>>) -> Result<Functions, Error> {
    let mut starts = Vec::new();
    for symbol in elf.functions() {
        let section = symbol.section.ok_or_else(|| Error::bug("a function is in no section"))?;
        starts.push(((section, symbol.address), symbol));
    }
    sort(&mut starts, |(one, a), (other, b)| (one, !a.global).cmp(&(other, !b.global)));
    starts.dedup_by_key(|(start, _)| *start);
    let mut functions = Vec::new();
    for ((section, address), symbol) in starts {
        let bytes = elf.section(section).bytes_at(address, symbol.size);
        let bytes = bytes.ok_or_else(|| Error::bug("a function lies outside its section"))?;
        let (func_info, line_info) = infos.of_function(section, address, symbol.size);
        let function = Function {
            name: symbol.name.clone(),
            global: symbol.global,
            instructions: bytes.as_chunks().0.iter().map(|&slot| Instruction::from_bytes(slot)).collect(),
            func_info,
            line_info,
            exception_callback: None,
        };
        functions.push(((section, address), function));
    }
    let mut functions = Sorted::in_order(functions);
    if let Some(btf) = btf {
        name_exception_callbacks(&mut functions, btf);
    }
    Ok(functions)
}

/// Returns the functions that another function calls or takes the address of.
pub(super) fn called(elf: &Elf, functions: &Functions) -> Sorted<Start, ()> {
    let mut called = Vec::new();
    for &((section, address), ref function) in functions.iter() {
        for (slot, insn) in (0_u64..).zip(&function.instructions) {
            let offset = address + slot * 8;
            let behind = match insn.code {
                opcode::JMP_CALL => (i64::from(insn.imm) + 1) * 8,
                opcode::LD_IMM64 => i64::from(insn.imm),
                _ => continue,
            };
            match elf.reference(section, offset) {
                Some((_, symbol)) => {
                    let Some(section) = symbol.section else { continue };
                    called.push(((section, symbol.address.wrapping_add_signed(behind)), ()));
                }
                None if insn.is_call() && insn.src() == opcode::PSEUDO_CALL => {
                    called.push(((section, offset.wrapping_add_signed(behind)), ()));
                }
                None => {}
            }
        }
    }
    Sorted::of(called)
}

/// Sets the exception callbacks. A declaration tag on a function's type names the function that runs when `bpf_throw()`
/// is called in it.
fn name_exception_callbacks(functions: &mut Functions, btf: &Btf<'_>) {
    const TAG: &[u8] = b"exception_callback:";
    for tag in btf.types().filter(|ty| ty.kind() == Kind::DeclTag) {
        let Some(name) = tag.name_bytes().strip_prefix(TAG) else { continue };
        let callback = functions.iter().find(|(_, function)| function.global && function.name.as_bytes() == name);
        let callback = callback.map(|(start, _)| *start).ok_or_else(|| shown(name).into_owned());
        let is_meant = |function: &&mut Function| function.func_info.iter().any(|info| info.type_id == tag.referred());
        for function in functions.values_mut().filter(is_meant) {
            function.exception_callback = Some(callback.clone());
        }
    }
}
