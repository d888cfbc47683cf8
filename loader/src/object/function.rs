//! Functions: runs of instructions with a name, and what is told of them.

use cutaway_sys::{Instruction, instruction::opcode};

use super::infos::Infos;
use crate::{
    btf::{Btf, Kind, shown},
    core_relo,
    elf::{Elf, Start},
    sorted::{Sorted, sort},
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// A function as the object holds it: references to maps, data and other functions are still open.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Visible outside its file: in a section of programs, a program.
    pub(crate) global: bool,
    pub(crate) instructions: Vec<Instruction>,
    /// Counted in instructions from the function's start, as all infos here.
    pub(crate) func_info: Vec<bpf_func_info>,
    pub(crate) line_info: Vec<bpf_line_info>,
    /// The function in which `bpf_throw()` ends; its name if the object has no such global function.
    pub(crate) exception_callback: Option<Result<Start, String>>,
}

/// All functions of the object, by where they start.
pub(crate) type Functions = Sorted<Start, Function>;

/// All functions of the object. Where several symbols name the same place, the first global one counts, else the first.
pub(super) fn read(elf: &Elf, infos: &Infos, btf: Option<&Btf<'_>>) -> Functions {
    let starts = elf.functions().filter_map(|symbol| Some(((symbol.section?, symbol.address), symbol)));
    let mut starts: Vec<_> = starts.collect();
    sort(&mut starts, |(one, a), (other, b)| (one, !a.global).cmp(&(other, !b.global)));
    starts.dedup_by_key(|(start, _)| *start);
    let functions = starts.into_iter().filter_map(|((section, address), symbol)| {
        let bytes = elf.section(section)?.bytes_at(address, symbol.size)?;
        let (func_info, line_info) = infos.of_function(section, address, symbol.size);
        let function = Function {
            name: symbol.name.clone(),
            global: symbol.global,
            instructions: bytes.as_chunks().0.iter().map(|&slot| Instruction::from_bytes(slot)).collect(),
            func_info,
            line_info,
            exception_callback: None,
        };
        Some(((section, address), function))
    });
    let mut functions = Sorted::in_order(functions.collect());
    if let Some(btf) = btf {
        name_exception_callbacks(&mut functions, btf);
    }
    functions
}

/// The functions that another one calls or takes the address of.
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

/// A function says by a tag on its type which other one is called when an exception is thrown in it.
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

/// The object's instructions as CO-RE relocation sees them: by section and place in it.
pub(super) struct Code<'o> {
    /// The first section of each name.
    sections: Sorted<&'o str, usize>,
    functions: &'o mut Functions,
}

impl<'o> Code<'o> {
    pub(super) fn of(elf: &'o Elf, functions: &'o mut Functions) -> Self {
        // Of several with one name the table finds the last.
        let sections = elf.sections().iter().enumerate().rev();
        Self { sections: Sorted::of(sections.map(|(place, section)| (section.name.as_str(), place))), functions }
    }

    /// The place of the function that the instruction is in, and the instruction's place in that.
    fn find(&self, section: &str, offset: u32) -> Option<(usize, usize)> {
        let section = *self.sections.get(section)?;
        let place = self.functions.place_up_to(&(section, u64::from(offset)))?;
        let (start, _) = self.functions.pair(place)?;
        if start.0 != section {
            return None;
        }
        Some((place, usize::try_from(u64::from(offset).checked_sub(start.1)? / 8).ok()?))
    }
}

impl core_relo::Code for Code<'_> {
    fn read(&self, section: &str, offset: u32) -> Option<Instruction> {
        let (place, index) = self.find(section, offset)?;
        let insn = self.functions.at(place)?.instructions.get(index)?;
        Some(*insn)
    }

    fn write(&mut self, section: &str, offset: u32, instruction: Instruction) {
        // Only offsets are written that `read` has found.
        let Some((place, index)) = self.find(section, offset) else { return };
        let insn = self.functions.at_mut(place).and_then(|function| function.instructions.get_mut(index));
        if let Some(insn) = insn {
            *insn = instruction;
        }
    }
}
