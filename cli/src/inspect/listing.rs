//! Instructions as text, as they are in the file and as the kernel gets them.
//!
//! Instructions are numbered by slot from the program's start, as the verifier numbers them.

use std::collections::HashMap;

use cutaway::{FunctionSpec, Helper, Instruction, Line, MapSpec, Subprog, core_relo::Applied, instruction::opcode};
use serde::Serialize;

/// One line of a listing.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "row", rename_all = "lowercase")]
pub(super) enum Row {
    /// A function begins, behind the program that calls it.
    Function { name: String, section: String },
    /// What follows comes from this line of source.
    Source { file: String, line: u32, column: u32, text: String },
    /// An instruction.
    Instruction {
        slot: usize,
        /// As it is in the file, with the name of what it refers to.
        before: String,
        /// What the kernel gets, where that is something else.
        after: Option<String>,
        /// What CO-RE did to it.
        core: Option<String>,
    },
}

/// CO-RE relocations by section, and in each by offset: listings ask about every instruction.
#[derive(Debug, Default)]
pub(super) struct ByLocation<'r>(HashMap<&'r str, Vec<&'r Applied>>);

impl<'r> ByLocation<'r> {
    pub(super) fn of(applied: &'r [Applied]) -> Self {
        let mut sections: HashMap<&str, Vec<_>> = HashMap::new();
        for applied in applied {
            sections.entry(&*applied.section).or_default().push(applied);
        }
        for applied in sections.values_mut() {
            // Of several for one instruction the first counts.
            applied.sort_by_key(|applied| applied.offset);
        }
        Self(sections)
    }

    /// Those of one section, ascending by offset.
    fn section(&self, name: &str) -> &[&'r Applied] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The one of the instruction at `offset`.
fn at<'r>(applied: &[&'r Applied], offset: u64) -> Option<&'r Applied> {
    let index = applied.partition_point(|applied| {
        #[cfg(test)]
        tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
        u64::from(applied.offset) < offset
    });
    applied.get(index).copied().filter(|applied| u64::from(applied.offset) == offset)
}

/// A function as it is in the file.
pub(super) fn unlinked(function: &FunctionSpec) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut slot = 0;
    while slot < function.instructions.len() {
        source(function, slot, &mut rows);
        let (before, slots) = before(function, slot);
        rows.push(Row::Instruction { slot, before, after: None, core: None });
        slot += slots;
    }
    rows
}

/// A program with the functions that it calls.
pub(super) fn linked(
    instructions: &[Instruction],
    subprogs: &[Subprog],
    functions: &[FunctionSpec],
    maps: &[MapSpec],
    core: &ByLocation<'_>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    let names = Names { subprogs, functions, maps };
    for (number, part) in subprogs.iter().enumerate() {
        let Some(function) = functions.get(part.function) else { continue };
        if number > 0 {
            rows.push(Row::Function { name: function.name.clone(), section: function.section.clone() });
        }
        let applied = core.section(&function.section);
        let mut index = 0;
        while index < function.instructions.len() {
            source(function, index, &mut rows);
            let slot = part.start + index;
            let (before, slots) = before(function, index);
            let pair = |code: &[Instruction], at: usize| {
                (code.get(at).copied(), (slots == 2).then(|| code.get(at + 1).copied()))
            };
            let changed = pair(instructions, slot) != pair(&function.instructions, index);
            let after = changed.then(|| names.after(instructions, slot)).flatten();
            let offset = function.offset + index as u64 * 8;
            let core = at(applied, offset).map(ToString::to_string);
            rows.push(Row::Instruction { slot, before, after, core });
            index += slots;
        }
    }
    rows
}

/// The line of source that begins at this slot, if one does that is not already there.
fn source(function: &FunctionSpec, slot: usize, rows: &mut Vec<Row>) {
    let index = function.lines.partition_point(|line| line.slot < slot);
    let Some(line) = function.lines.get(index).filter(|line| line.slot == slot && line.line > 0) else { return };
    let previous = index.checked_sub(1).and_then(|index| function.lines.get(index));
    if previous.is_some_and(|previous| (&previous.file, previous.line) == (&line.file, line.line)) {
        return;
    }
    let Line { file, line, column, text, .. } = line;
    rows.push(Row::Source { file: file.to_string(), line: *line, column: *column, text: text.to_string() });
}

/// The instruction as the file has it, and how many slots it takes.
fn before(function: &FunctionSpec, slot: usize) -> (String, usize) {
    let Some(instruction) = function.instructions.get(slot) else { return ("<cut off>".to_owned(), 1) };
    let shown = instruction.text(function.instructions.get(slot + 1).copied());
    // Ascending by slot.
    let index = function.references.partition_point(|reference| reference.slot < slot);
    let reference = function.references.get(index).filter(|reference| reference.slot == slot);
    let name = reference.map(|reference| reference.name.as_str()).or_else(|| helper(*instruction));
    let text = match name {
        Some(name) => format!("{shown} <{name}>"),
        None => shown.to_string(),
    };
    (text, instruction.slots())
}

/// The kernel's function that is called by its number.
fn helper(instruction: Instruction) -> Option<&'static str> {
    let is_helper = instruction.is_call() && instruction.src() == 0;
    is_helper.then(|| Helper::from_id(instruction.imm)).flatten().map(Helper::name)
}

/// Names for what linking puts into instructions.
struct Names<'a> {
    subprogs: &'a [Subprog],
    functions: &'a [FunctionSpec],
    maps: &'a [MapSpec],
}

impl Names<'_> {
    /// The instruction as the kernel gets it: fds are shown as the map that they stand for.
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
                // What CO-RE and weak externs leave where there is nothing to put.
                None if instruction.is_call() => format!("{text} <no such function: refused if reached>"),
                None => text.to_string(),
            },
        })
    }

    /// The map whose stand-in for an fd this is.
    fn map(&self, number: i32) -> &str {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| self.maps.get(index)).map_or("?", |map| &map.name)
    }

    /// The function at this distance from the slot behind an instruction.
    fn function(&self, slot: usize, distance: i32) -> &str {
        let target = (slot + 1).checked_add_signed(distance as isize);
        // Parts stand one behind the other.
        let index = target.and_then(|target| self.subprogs.binary_search_by_key(&target, |part| part.start).ok());
        index
            .and_then(|index| self.subprogs.get(index))
            .and_then(|part| self.functions.get(part.function))
            .map_or("?", |function| &function.name)
    }
}

#[cfg(test)]
mod tests;
