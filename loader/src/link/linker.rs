//! Links a program: combines it and the functions that it calls into one sequence of instructions, and inserts the fds
//! of maps.
//!
//! **Maps.** `r1 = events ll` is a 64-bit load, which takes two instruction slots. Its relocation names a symbol.
//!
//! - If the symbol is a map, the load's source register becomes `BPF_PSEUDO_MAP_FD`, and the immediate of the first
//!   slot becomes the map's fd.
//! - If the symbol is in a data section, the source register becomes `BPF_PSEUDO_MAP_VALUE`. The immediate of the first
//!   slot becomes the fd of the section's map. The immediate of the second slot becomes the symbol's offset in the
//!   map's value.
//!
//! **Functions.** The kernel has no linker, so a program must contain all functions that it calls. Every called
//! function is appended once. A call has the source register `BPF_PSEUDO_CALL`. The call's immediate becomes the
//! distance, in instruction slots, from the instruction after the call to the called function. A load of a function's
//! address, for a callback, gets the source register `BPF_PSEUDO_FUNC` and such a distance. A function is identified by
//! section *and* address, because several text sections start at address 0.
//!
//! Functions are appended depth-first, in the order of the calls: a callee and its own callees come before the caller's
//! next callee. This is libbpf's order. The kernel computes a program's tag, a hash, from its instructions, so an
//! object has the same tags with both loaders.
//!
//! **Exception callbacks.** The BTF declaration tag `exception_callback:NAME` of a program names the function that
//! `bpf_throw()` calls. This function is appended last.
//!
//! **Externs.** A symbol that the file does not define is an extern ([`crate::resolve::externs`]).
//!
//! - A load of a constant becomes a load of an offset in the map `.kconfig`.
//! - A load of a variable with a type gets the source register `BPF_PSEUDO_BTF_ID` and the variable's BTF id in the
//!   kernel.
//! - A load of a symbol of type `void` gets the symbol's address in the kernel, 64 bits.
//! - A call gets the source register `BPF_PSEUDO_KFUNC_CALL` and the function's BTF id.
//!
//! **Pseudo source registers without a relocation.** A call within a section (`BPF_PSEUDO_CALL`) needs no relocation.
//! Any other instruction that has a pseudo source register (`BPF_PSEUDO_*`) but no relocation is refused. Its fd or
//! index was valid only for the loader that wrote it. Here the kernel would use it as an unrelated fd of this process,
//! or as an index into `fd_array`, which has only the BTF fds of modules.

use std::{fmt, os::fd::AsRawFd};

use cutaway_sys::{Instruction, instruction::opcode};

use super::linked::{Linked, MAX_INSNS};
use crate::{
    Error,
    elf::{Elf, Location, SectionIndex, Start, Symbol, SymbolIndex, describes_maps},
    gate::READS_EXTERNS,
    object::{Functions, MapSpec, Object, ProgramSpec},
    resolve::{Resolved, externs::Value},
    sorted::Sorted,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// The map for a [`Location`] in the file: the map's fd, and the offset of the location's contents in the map's value,
/// in bytes. The offset is 0 except in arenas.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapRef {
    pub(crate) fd: i32,
    pub(crate) base: u32,
}

const MISSING_INSN: &str = "an instruction of a linked program is missing";

/// Returns the table from locations in the file to maps in the kernel. It has an entry for each map and for each data
/// section. `maps` has the descriptions of the maps, each with the map's fd.
pub(super) fn map_refs<'s>(maps: impl Iterator<Item = (&'s MapSpec, i32)>) -> Sorted<Location, MapRef> {
    let mut refs = Vec::new();
    for (spec, fd) in maps {
        refs.push((spec.location, MapRef { fd, base: 0 }));
        if spec.globals.is_some() {
            refs.push((spec.data(), MapRef { fd, base: spec.base() }));
        }
    }
    Sorted::of(refs)
}

/// Links a program of an object that this crate's reader has read.
pub(super) fn link(
    object: &Object,
    resolved: &Resolved,
    maps: &Sorted<Location, MapRef>,
    program: &ProgramSpec,
) -> Result<Linked, Error> {
    let (elf, functions, entry) = (object.elf(), object.function_table(), program.entry);
    let mut linker = Linker {
        elf,
        functions,
        maps,
        resolved,
        program: &program.name,
        linked: Linked {
            instructions: Vec::new(),
            func_info: Vec::new(),
            line_info: Vec::new(),
            functions: Vec::new(),
        },
        starts: vec![None; functions.len()],
        open: Vec::new(),
    };
    let callback = match functions.get(&entry).and_then(|function| function.exception_callback.as_ref()) {
        Some(Ok(callback)) => Some(*callback),
        Some(Err(name)) => {
            return Err(linker.broken(format_args!(
                "has the exception callback `{name}`, which is no global function of this object"
            )));
        }
        None => None,
    };
    for root in [Some(entry), callback].into_iter().flatten() {
        linker.append(root)?;
        while let Some((function, index)) = linker.open.pop() {
            linker.resolve(function, index)?;
        }
    }
    Ok(linker.linked)
}

struct Linker<'a> {
    elf: &'a Elf,
    functions: &'a Functions,
    maps: &'a Sorted<Location, MapRef>,
    resolved: &'a Resolved,
    program: &'a str,
    linked: Linked,
    /// The start of each function in the linked program, in instruction slots, by the function's index in `functions`.
    /// `None` if the function is not appended yet.
    starts: Vec<Option<usize>>,
    /// A stack of appended functions, each called by the one before it. Each entry has the function's start in the
    /// file, and an index into the function's instructions: all references before this instruction are resolved.
    open: Vec<(Start, usize)>,
}

impl<'a> Linker<'a> {
    /// Appends the function at `key`, unless it is already appended. Returns its start in the linked program, in
    /// instruction slots.
    fn append(&mut self, key: Start) -> Result<usize, Error> {
        let index = self.functions.position(&key);
        let known = index.and_then(|index| Some((self.functions.at(index)?, self.starts.get_mut(index)?)));
        let Some((function, known)) = known else {
            let (section, address) = key;
            return Err(
                self.broken(format_args!("calls address {address:#x} of section {section}, where no function starts"))
            );
        };
        if let Some(start) = *known {
            return Ok(start);
        }
        let start = self.linked.instructions.len();
        if start + function.instructions.len() > MAX_INSNS {
            return Err(self.broken(format_args!(
                "has more than {MAX_INSNS} instructions with the functions that it calls, and no kernel accepts more"
            )));
        }
        let relocated = index.and_then(|index| self.resolved.relocated.instructions(index));
        self.linked.instructions.extend_from_slice(relocated.unwrap_or(&function.instructions));
        *known = Some(start);
        self.linked.functions.push((key, start));
        self.open.push((key, 0));

        let start = start as u32;
        let functions = function.func_info.iter();
        self.linked.func_info.extend(functions.map(|info| bpf_func_info { insn_off: start + info.insn_off, ..*info }));
        let lines = function.line_info.iter();
        self.linked.line_info.extend(lines.map(|info| bpf_line_info { insn_off: start + info.insn_off, ..*info }));
        Ok(start as usize)
    }

    /// Resolves the references of an appended function from instruction `from` on. Stops after the first reference that
    /// appends another function, because that function is resolved first.
    fn resolve(&mut self, key: Start, from: usize) -> Result<(), Error> {
        let known = self.functions.position(&key);
        let known = known.and_then(|index| Some((self.functions.at(index)?, (*self.starts.get(index)?)?)));
        let Some((function, start)) = known else {
            return Err(Error::bug("a function that is to be linked was not appended"));
        };
        let mut index = from;
        let depth = self.open.len();
        while index < function.instructions.len() {
            let Some(&insn) = self.linked.instructions.get(start + index) else {
                return Err(Error::bug(MISSING_INSN));
            };
            let offset = key.1 + index as u64 * 8;
            let reference = self.elf.reference(key.0, offset);
            match (insn.code, reference) {
                (opcode::JMP_CALL, Some((number, symbol))) if READS_EXTERNS && symbol.section.is_none() => {
                    self.call_kernel(start + index, number, symbol)?;
                }
                (opcode::JMP_CALL, Some((_, symbol))) => {
                    let callee = self.callee(symbol, i64::from(insn.imm) + 1)?;
                    self.call(start + index, callee)?;
                }
                (opcode::JMP_CALL, None) if insn.src() == opcode::PSEUDO_CALL => {
                    // Caller and callee are in the same section, so the compiler has set the distance.
                    let callee = offset.wrapping_add_signed((i64::from(insn.imm) + 1) * 8);
                    self.call(start + index, (key.0, callee))?;
                }
                (opcode::LD_IMM64, Some((number, symbol))) => self.load(start + index, number, symbol, insn)?,
                (_, Some((_, symbol))) => {
                    return Err(self.broken(format_args!(
                        "refers to `{}` in an instruction that takes no reference",
                        symbol.name
                    )));
                }
                (opcode::JMP_CALL | opcode::LD_IMM64, None) if insn.src() != 0 => {
                    return Err(self.broken(format_args!(
                        "is broken: instruction {index} has a pseudo source register (BPF_PSEUDO_*) but no relocation; \
                         values such as fds are valid only in one process"
                    )));
                }
                (_, None) => {}
            }
            index += if insn.code == opcode::LD_IMM64 { 2 } else { 1 };
            if self.open.len() > depth {
                self.open.insert(depth, (key, index));
                break;
            }
        }
        Ok(())
    }

    /// Returns the start of the function that begins `instructions` instruction slots after `symbol`. If `symbol` is a
    /// function's symbol, `instructions` is 0. If `symbol` is a section symbol, `instructions` is the function's offset
    /// in the section.
    fn callee(&self, symbol: &Symbol, instructions: i64) -> Result<Start, Error> {
        let Some(section) = symbol.section else { return Err(self.undefined("calls", symbol)) };
        Ok((section, symbol.address.wrapping_add_signed(instructions * 8)))
    }

    fn call(&mut self, at: usize, callee: Start) -> Result<(), Error> {
        let target = self.append(callee)?;
        let insn = self.instruction(at)?;
        insn.set_src(opcode::PSEUDO_CALL);
        insn.imm = distance(at, target);
        Ok(())
    }

    fn instruction(&mut self, at: usize) -> Result<&mut Instruction, Error> {
        self.linked.instructions.get_mut(at).ok_or_else(|| Error::bug(MISSING_INSN))
    }

    /// Resolves a 64-bit load of a map, of a location in a data section, or of a function's address (for callbacks).
    fn load(&mut self, at: usize, number: SymbolIndex, symbol: &Symbol, insn: Instruction) -> Result<(), Error> {
        let section = match symbol.section {
            Some(section) => section,
            None if READS_EXTERNS => return self.load_extern(at, number, symbol, insn),
            None => return Err(self.undefined("refers to", symbol)),
        };
        if self.elf.section(section).executable {
            let target = self.append(self.callee(symbol, i64::from(insn.imm) / 8)?)?;
            return self.set(at, opcode::PSEUDO_FUNC, distance(at, target), 0);
        }
        if let Some(map) = self.maps.get(&Location::Symbol(number)) {
            return self.set(at, opcode::PSEUDO_MAP_FD, map.fd, 0);
        }
        if let Some(&MapRef { fd, base }) = self.maps.get(&Location::Section(section)) {
            let offset = (u64::from(base) + symbol.address).wrapping_add_signed(i64::from(insn.imm));
            let offset = i32::try_from(offset).map_err(|_| {
                self.broken(format_args!("refers to an offset beyond 2 GiB in the section of `{}`", symbol.name))
            })?;
            return self.set(at, opcode::PSEUDO_MAP_VALUE, fd, offset);
        }
        Err(self.unresolvable(section, symbol, i64::from(insn.imm)))
    }

    /// Returns the error for a reference to a symbol that is not in a map, a data section or a function. `addend` is
    /// the immediate of the instruction: the number of bytes to add to the symbol's address.
    fn unresolvable(&self, index: SectionIndex, symbol: &Symbol, addend: i64) -> Error {
        let section = &self.elf.section(index).name;
        if !cfg!(feature = "advice") {
            return self
                .broken(format_args!("refers to something in section `{section}`, which is neither a map nor data"));
        }
        let address = symbol.address.wrapping_add_signed(if symbol.is_section { addend } else { 0 });
        let mut symbols = self.elf.symbols_in(index);
        let symbol_at = symbols
            .find(|(_, known)| address.checked_sub(known.address).is_some_and(|inside| inside < known.size.max(1)));
        let what = match symbol_at {
            Some((_, found)) if !symbol.is_section => format!("`{}` in section `{section}`", found.name),
            Some((_, found)) => format!("`{}` (section `{section}`, offset {address})", found.name),
            None => format!("section `{section}`, offset {address}, where the file has no symbol"),
        };
        let is_map = section == ".maps" || describes_maps(section);
        let text = match symbol_at {
            Some((_, found)) if is_map && !found.global => {
                format!("refers to the map {what}, which is static: maps must be global, so drop `static`")
            }
            _ if is_map => format!("refers to {what}, which is not a map that this object describes"),
            _ => format!(
                "refers to {what}, which is neither a map nor data nor a function: variables must be in .data, \
                     .rodata or .bss"
            ),
        };
        self.broken(format_args!("{text}"))
    }

    /// Resolves a 64-bit load of an extern.
    fn load_extern(&mut self, at: usize, number: SymbolIndex, symbol: &Symbol, insn: Instruction) -> Result<(), Error> {
        match self.external(number, symbol, "refers to")? {
            &Value::Constant(offset) => {
                let map = self
                    .maps
                    .get(&Location::Kconfig)
                    .ok_or_else(|| Error::bug("a constant of the kernel's configuration has no map"))?;
                self.set(at, opcode::PSEUDO_MAP_VALUE, map.fd, insn.imm.wrapping_add_unsigned(offset))
            }
            &Value::Type { id, module } => {
                let module = match module.map(|index| self.resolved.externs.modules.get(index)) {
                    // vmlinux
                    None => 0,
                    Some(Some(module)) => module.as_raw_fd(),
                    Some(None) => {
                        return Err(Error::bug("a variable was found in a module that is not open"));
                    }
                };
                self.set(at, opcode::PSEUDO_BTF_ID, id.cast_signed(), module)
            }
            &Value::Address(address) => self.set(at, 0, address as i32, (address >> 32) as i32),
            Value::Missing { .. } => self.set(at, 0, 0, 0),
            Value::Refused(why) => Err(self.invalid(why.clone())),
        }
    }

    /// Resolves a call of a kernel function.
    fn call_kernel(&mut self, at: usize, number: SymbolIndex, symbol: &Symbol) -> Result<(), Error> {
        let (source, id, index) = match self.external(number, symbol, "calls")? {
            // The offset field of a call of a kernel function is an index into the array of modules' BTF fds. The index
            // 0 means vmlinux.
            &Value::Type { id, module } => {
                (opcode::PSEUDO_KFUNC_CALL, id.cast_signed(), module.map_or(0, |index| index + 1))
            }
            &Value::Missing { call } => (0, call, 0),
            Value::Refused(why) => return Err(self.invalid(why.clone())),
            Value::Constant(_) | Value::Address(_) => {
                return Err(self.broken(format_args!("calls `{}`, which is no function", symbol.name)));
            }
        };
        let index =
            i16::try_from(index).map_err(|_| self.broken(format_args!("calls functions of too many modules")))?;
        let insn = self.instruction(at)?;
        insn.set_src(source);
        (insn.imm, insn.offset) = (id, index);
        Ok(())
    }

    fn external(&self, number: SymbolIndex, symbol: &Symbol, does: &str) -> Result<&'a Value, Error> {
        self.resolved.externs.value(number).ok_or_else(|| self.undefined(does, symbol))
    }

    fn undefined(&self, does: &str, symbol: &Symbol) -> Error {
        self.broken(format_args!("{does} `{}`, which this object does not define", symbol.name))
    }

    /// Sets the source register and both immediates of a 64-bit load.
    fn set(&mut self, at: usize, source: u8, low: i32, high: i32) -> Result<(), Error> {
        match self.linked.instructions.get_mut(at..at + 2) {
            Some([first, second]) => {
                first.set_src(source);
                first.imm = low;
                second.imm = high;
                Ok(())
            }
            _ => Err(self.broken(format_args!("ends in the middle of a 64-bit load"))),
        }
    }

    #[cold]
    #[inline(never)]
    fn invalid(&self, why: String) -> Error {
        Error::Invalid { operation: format!("load the program `{}`", self.program), why }
    }

    #[cold]
    #[inline(never)]
    fn broken(&self, why: fmt::Arguments<'_>) -> Error {
        Error::Object { why: format!("program `{}` {why}", self.program) }
    }
}

/// Returns a call's immediate: the distance in instruction slots from the instruction after the call to the called
/// function.
fn distance(from: usize, to: usize) -> i32 {
    (to as i64 - from as i64 - 1) as i32
}

#[cfg(test)]
mod tests;
