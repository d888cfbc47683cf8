//! Formats instructions as text, before linking (as in the file) and after linking (as passed to the kernel).
//!
//! Instructions are numbered by slot from the program's start, as the verifier numbers them. A slot is 8 bytes; a
//! 64-bit load takes two.

use std::collections::HashMap;

use cutaway::{FunctionSpec, Helper, Insertion, Instruction, Line, Subprog, core_relo::Applied, instruction::opcode};
use serde::Serialize;

/// One line of a listing.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub(super) enum Row {
    /// The beginning of a function, which follows the program that calls it.
    Function { name: String, section: String },
    /// The line of source of the instructions that follow.
    Source { file: String, line: u32, column: u32, text: String },
    /// An instruction.
    Instruction {
        slot: usize,
        /// The instruction in the file, with the name of the symbol that it refers to.
        before: String,
        /// The linked instruction, if linking changes it.
        after: Option<String>,
        /// The CO-RE relocation that was applied to it.
        core: Option<String>,
    },
    /// An instruction that loading inserts before or after the instruction at `slot`.
    Inserted {
        slot: usize,
        #[serde(rename = "where")]
        place: Place,
        text: String,
    },
}

/// On which side of an instruction others are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Before,
    After,
}

/// A linked program and what its instructions refer to.
pub(super) struct Linked<'a> {
    pub(super) instructions: &'a [Instruction],
    pub(super) subprogs: &'a [Subprog],
    /// The instructions that loading inserts, ascending by slot.
    pub(super) insertions: &'a [Insertion],
    /// All functions of the object.
    pub(super) functions: &'a [FunctionSpec],
    /// The names of the maps in the order of the dry run's fds, from 1 on.
    pub(super) maps: &'a [&'a str],
}

/// CO-RE relocations by section and offset: a listing looks up every instruction.
#[derive(Debug, Default)]
pub(super) struct ByLocation<'r>(HashMap<&'r str, Vec<&'r Applied>>);

impl<'r> ByLocation<'r> {
    pub(super) fn of(applied: &'r [Applied]) -> Self {
        let mut sections: HashMap<&str, Vec<_>> = HashMap::new();
        for applied in applied {
            sections.entry(&*applied.section).or_default().push(applied);
        }
        for applied in sections.values_mut() {
            // The sort is stable: the first of several relocations of one instruction counts.
            applied.sort_by_key(|applied| applied.offset);
        }
        Self(sections)
    }

    /// Returns the relocations of a section, ascending by offset.
    fn section(&self, name: &str) -> &[&'r Applied] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Returns the relocation of the instruction at `offset` bytes in the section.
fn find<'r>(applied: &[&'r Applied], offset: u64) -> Option<&'r Applied> {
    let index = applied.partition_point(|applied| {
        #[cfg(test)]
        tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
        u64::from(applied.offset) < offset
    });
    applied.get(index).copied().filter(|applied| u64::from(applied.offset) == offset)
}

/// Lists a function before linking.
pub(super) fn unlinked(function: &FunctionSpec) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut slot = 0;
    while slot < function.instructions.len() {
        add_source(function, slot, &mut rows);
        let (before, slots) = before(function, slot);
        rows.push(Row::Instruction { slot, before, after: None, core: None });
        slot += slots;
    }
    rows
}

/// Lists a linked program with the functions that it calls.
pub(super) fn linked(program: &Linked<'_>, core: &ByLocation<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let Linked { instructions, functions, .. } = *program;
    for (number, part) in program.subprogs.iter().enumerate() {
        let Some(function) = functions.get(part.function) else { continue };
        if number > 0 {
            rows.push(Row::Function { name: function.name.clone(), section: function.section.clone() });
        }
        let applied = core.section(&function.section);
        let mut index = 0;
        while index < function.instructions.len() {
            add_source(function, index, &mut rows);
            let slot = part.start + index;
            program.add_inserted(slot, Place::Before, &mut rows);
            let (before, slots) = before(function, index);
            let pair = |code: &[Instruction], at: usize| {
                (code.get(at).copied(), (slots == 2).then(|| code.get(at + 1).copied()))
            };
            let changed = pair(instructions, slot) != pair(&function.instructions, index);
            let after = changed.then(|| program.after(instructions, slot)).flatten();
            let offset = function.offset + index as u64 * 8;
            let core = find(applied, offset).map(ToString::to_string);
            rows.push(Row::Instruction { slot, before, after, core });
            program.add_inserted(slot, Place::After, &mut rows);
            index += slots;
        }
    }
    rows
}

/// Adds the line of source that begins at this slot, unless the line before it is the same.
fn add_source(function: &FunctionSpec, slot: usize, rows: &mut Vec<Row>) {
    let index = function.lines.partition_point(|line| line.slot < slot);
    let Some(line) = function.lines.get(index).filter(|line| line.slot == slot && line.line > 0) else { return };
    let previous = index.checked_sub(1).and_then(|index| function.lines.get(index));
    if previous.is_some_and(|previous| (&previous.file, previous.line) == (&line.file, line.line)) {
        return;
    }
    let Line { file, line, column, text, .. } = line;
    rows.push(Row::Source { file: file.to_string(), line: *line, column: *column, text: text.to_string() });
}

/// Returns the text of an instruction before linking, and the number of its slots.
fn before(function: &FunctionSpec, slot: usize) -> (String, usize) {
    let Some(instruction) = function.instructions.get(slot) else { return ("<cut off>".to_owned(), 1) };
    let shown = instruction.text(function.instructions.get(slot + 1).copied());
    // The references are sorted by slot.
    let index = function.references.partition_point(|reference| reference.slot < slot);
    let reference = function.references.get(index).filter(|reference| reference.slot == slot);
    let name = reference.map(|reference| reference.name.as_str()).or_else(|| helper(*instruction));
    let text = match name {
        Some(name) => format!("{shown} <{name}>"),
        None => shown.to_string(),
    };
    (text, instruction.slots())
}

/// Returns the name of the helper that the instruction calls.
fn helper(instruction: Instruction) -> Option<&'static str> {
    let is_helper = instruction.is_call() && instruction.src() == 0;
    is_helper.then(|| Helper::from_id(instruction.imm)).flatten().map(Helper::name)
}

impl Linked<'_> {
    /// Adds the instructions that are inserted before or after the instruction at `slot`.
    fn add_inserted(&self, slot: usize, place: Place, rows: &mut Vec<Row>) {
        let first = self.insertions.partition_point(|insertion| insertion.slot < slot);
        let here = self.insertions.get(first..).unwrap_or_default().iter();
        let here = here.take_while(|insertion| insertion.slot == slot);
        let here = here.filter(|insertion| insertion.before == (place == Place::Before));
        for Insertion { instructions, .. } in here {
            let mut index = 0;
            while let Some(instruction) = instructions.get(index) {
                let text = self.after(instructions, index).unwrap_or_default();
                rows.push(Row::Inserted { slot, place, text });
                index += instruction.slots();
            }
        }
    }

    /// Returns the text of a linked instruction. The name of the map replaces the dry run's fd.
    fn after(&self, code: &[Instruction], slot: usize) -> Option<String> {
        let instruction = *code.get(slot)?;
        let next = code.get(slot + 1).copied();
        let (text, high) = (instruction.text(next), next.map_or(0, |next| next.imm));
        let (dst, imm) = (instruction.dst(), instruction.imm);
        Some(match (instruction.code, instruction.src()) {
            (opcode::LD_IMM64, opcode::PSEUDO_MAP_FD) => format!("r{dst} = map[{}]", self.map(imm)),
            (opcode::LD_IMM64, opcode::PSEUDO_MAP_VALUE) => format!("r{dst} = map[{}][0] + {high}", self.map(imm)),
            (opcode::LD_IMM64, opcode::PSEUDO_BTF_ID) => format!("r{dst} = &kernel variable, BTF type {imm}"),
            (opcode::LD_IMM64, opcode::PSEUDO_FUNC) => format!("r{dst} = function {}", self.function(slot, imm)),
            (opcode::JMP_CALL, opcode::PSEUDO_CALL) => format!("call pc{imm:+} <{}>", self.function(slot, imm)),
            (opcode::JMP_CALL, opcode::PSEUDO_KFUNC_CALL) => format!("call kernel function, BTF type {imm}"),
            _ => match helper(instruction) {
                Some(name) => format!("{text} <{name}>"),
                // CO-RE relocations without a candidate and missing weak externs leave such a call.
                None if instruction.is_call() => format!("{text} <no such function: refused if reached>"),
                None => text.to_string(),
            },
        })
    }

    /// Returns the name of the map with this fd of the dry run: the map's index plus 1.
    fn map(&self, fd: i32) -> &str {
        let index = usize::try_from(fd).ok().and_then(|fd| fd.checked_sub(1));
        index.and_then(|index| self.maps.get(index)).copied().unwrap_or("?")
    }

    /// Returns the name of the function at this distance from the slot that follows the instruction.
    fn function(&self, slot: usize, distance: i32) -> &str {
        let target = (slot + 1).checked_add_signed(distance as isize);
        // The subprograms are sorted by their start.
        let index = target.and_then(|target| self.subprogs.binary_search_by_key(&target, |part| part.start).ok());
        index
            .and_then(|index| self.subprogs.get(index))
            .and_then(|part| self.functions.get(part.function))
            .map_or("?", |function| &function.name)
    }
}

#[cfg(test)]
mod tests;
